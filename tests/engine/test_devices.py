"""What a card can compute in, by its compute capability."""

from __future__ import annotations

import pytest
import torch

from fada.engine.devices import has_bf16
from fada.engine.parallel import ParallelSettings, new_accelerator
from fada.generation.devices import pick_dtype
from fada.teacher import vae
from fada.teacher.vae import encode_frames, new_vae

CARDS = {"V100": (7, 0), "T4": (7, 5), "A100": (8, 0), "RTX 4090": (8, 9), "H100": (9, 0)}


@pytest.fixture(params=CARDS)
def card(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: CARDS[request.param])
    monkeypatch.setattr(torch.version, "hip", None)
    return str(request.param)


def test_cards_before_ampere_have_no_bfloat16(card: str) -> None:
    has = has_bf16(torch.device("cuda:0"))
    assert has == (card not in ("V100", "T4"))
    assert pick_dtype(None, torch.device("cuda")) == (torch.bfloat16 if has else torch.float32)


def test_a_cpu_has_bfloat16_and_an_unknown_device_none() -> None:
    assert has_bf16(torch.device("cpu"))
    assert not has_bf16(torch.device("mps"))


@pytest.mark.parametrize("card", ["V100", "T4"], indirect=True)
def test_training_in_bf16_is_refused_where_the_card_has_none(card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ValueError, match=r"engine\.precision: bf16 needs a CUDA device of 2020 or later \(Ampere\)"):
        new_accelerator(ParallelSettings(precision="bf16"), batch=1)


@pytest.mark.parametrize("has", [True, False])
def test_a_vae_encodes_in_bfloat16_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    seen = []
    autocast = torch.autocast

    def watched(*args: object, **options: object) -> object:
        seen.append(options["enabled"])
        return autocast(*args, **options)

    monkeypatch.setattr(vae, "has_bf16", lambda device: has)
    monkeypatch.setattr(torch, "autocast", watched)
    encode_frames(new_vae((8, 16), 4), torch.zeros(1, 16, 16, 3, dtype=torch.uint8).numpy())
    assert seen == [has]
