"""Differences in low rank: known spectra, LoRA's own layers as the reference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fada.export.delta import DeltaError, load_delta, write_delta
from fada.export.low_rank import adapter_config, apply_low_rank, low_rank, rank_that_keeps, share_kept
from fada.export.part_weights import read_weights


def of_singular_values(rows: int, columns: int, values: list[float]) -> torch.Tensor:
    left, right = (torch.linalg.qr(torch.randn(n, n, dtype=torch.float64))[0] for n in (rows, columns))
    count = len(values)
    return left[:, :count] @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ right[:count]


@pytest.mark.parametrize("shape", [(6, 9), (9, 6)])
def test_a_difference_of_rank_two_is_kept_by_two_and_to_nine_tenths_by_one(shape: tuple[int, int]) -> None:
    base = {"a.weight": torch.zeros(shape, dtype=torch.float64)}
    own = {"a.weight": of_singular_values(*shape, [3.0, 1.0])}
    low = low_rank(base, own, 2, torch.float64)
    assert share_kept([low], 1) == pytest.approx(0.9)
    assert share_kept([low], 2) == pytest.approx(1.0)
    torch.testing.assert_close(
        apply_low_rank(base, low.factors, low.whole)["a.weight"].double(), own["a.weight"], atol=1e-6, rtol=1e-6
    )
    one = apply_low_rank(base, low_rank(base, own, 1, torch.float64).factors, {})["a.weight"].double()
    assert float((own["a.weight"] - one).square().sum()) == pytest.approx(1.0, rel=1e-5)


def test_factors_are_lora_layers_whose_sum_with_the_teacher_is_the_student() -> None:
    """peft runs `lora_B(lora_A(x))` beside a layer: a convolution of the layer's kernel, then one of 1 x 1."""
    base, own = nn.Conv2d(3, 5, 3, 2, 1), nn.Conv2d(3, 5, 3, 2, 1)
    own.bias = base.bias
    named = low_rank({"c.weight": base.weight.data}, {"c.weight": own.weight.data}, 5, torch.float32).factors
    down, up = nn.Conv2d(3, 5, 3, 2, 1, bias=False), nn.Conv2d(5, 5, 1, bias=False)
    down.load_state_dict({"weight": named["c.lora_A.weight"]})
    up.load_state_dict({"weight": named["c.lora_B.weight"]})
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(base(x) + up(down(x)), own(x), atol=1e-5, rtol=1e-5)


def test_what_is_no_matrix_stays_whole_and_what_did_not_change_is_left_out() -> None:
    base = {"l.weight": torch.eye(4), "l.bias": torch.zeros(4), "n.weight": torch.ones(4), "k.weight": torch.eye(3)}
    own = {key: value + (key != "k.weight") for key, value in base.items()} | {"tokens": torch.ones(2, 3, 4)}
    low = low_rank(base, own, 1, torch.bfloat16)
    assert set(low.factors) == {"l.lora_A.weight", "l.lora_B.weight"}
    assert {value.dtype for value in low.factors.values()} == {torch.bfloat16}
    assert set(low.whole) == {"l.bias", "n.weight", "tokens"}
    merged = apply_low_rank(base, low.factors, low.whole)
    torch.testing.assert_close(merged["l.weight"], own["l.weight"], atol=0.01, rtol=0)
    assert all(torch.equal(merged[key], own[key]) for key in ("l.bias", "n.weight", "tokens", "k.weight"))


def test_smaller_matrices_have_their_own_rank_and_scale_in_peft_s_settings() -> None:
    base = {"wide.weight": torch.zeros(8, 8), "slim.weight": torch.zeros(2, 8)}
    own = {key: torch.randn_like(value) for key, value in base.items()}
    config = adapter_config(low_rank(base, own, 4, torch.float32).factors, 4)
    assert (config["r"], config["lora_alpha"]) == (4, 4)
    assert config["rank_pattern"] == config["alpha_pattern"] == {"slim": 2}
    assert config["target_modules"] == ["wide", "slim"]


def test_the_lowest_rank_that_keeps_a_share_of_every_part() -> None:
    parts = [
        low_rank(
            {"a.weight": torch.zeros(4, 4)}, {"a.weight": of_singular_values(4, 4, values).float()}, 4, torch.float32
        )
        for values in ([3.0, 1.0], [1.0, 1.0, 1.0, 1.0])
    ]
    assert rank_that_keeps(parts, 0.5) == 2
    assert rank_that_keeps(parts, 0.9) == 4
    assert share_kept(parts, 1) == pytest.approx(10 / 14)


def test_a_folder_of_full_rank_returns_the_student(student_run: Path, tmp_path: Path) -> None:
    model, teacher = student_run / "students" / "fast", student_run / "teacher"
    parts = write_delta(model, teacher, tmp_path / "lora", form="lora", rank=10**4)
    assert parts["denoising_unet"].kept == pytest.approx(1.0)
    names = load_file(tmp_path / "lora" / "denoising_unet" / "adapter_model.safetensors").keys()
    assert all(name.startswith("base_model.model.") for name in names)
    assert {name.split(".")[-2] for name in names} == {"lora_A", "lora_B"}
    found = load_delta(tmp_path / "lora", teacher)
    for part in ("denoising_unet", "audio_projection"):
        own = read_weights(model / part)
        torch.testing.assert_close(dict(getattr(found, part).state_dict()), own, atol=1e-6, rtol=1e-5)


def test_a_rank_that_keeps_little_is_refused_unless_that_is_asked_for(student_run: Path, tmp_path: Path) -> None:
    model, teacher = student_run / "students" / "fast", student_run / "teacher"
    # Noise has no low rank.
    pattern = (
        r"rank 1 keeps 0\.\d\d of audio_projection's, 0\.\d\d of denoising_unet's difference .*, less than 0.5; "
        r"rank \d+ keeps that, rank \d+ keeps 0.9: give another --rank"
    )
    with pytest.raises(DeltaError, match=pattern):
        write_delta(model, teacher, tmp_path / "refused", form="lora", rank=1)
    write_delta(model, teacher, tmp_path / "taken", form="lora", rank=1, keep=0.0)
    told = json.loads((tmp_path / "taken" / "delta.json").read_text())
    kept = [part["kept"] for part in told["parts"].values() if part["kept"] is not None]
    assert min(kept) < told["kept"] < max(kept) < 0.6
