"""One full step, everything in one type."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import torch
from rich.console import Console

from fada.data.sampling.dataset import ClipSampler
from fada.eval.bench.results import read_json
from fada.eval.speed.once import FullStep, run_once
from fada.student.distillation import DistillSettings
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.inputs import ClipInputs


def ran(teacher: DualUNet, student: AvatarDenoiser, sampler: ClipSampler, settings: DistillSettings) -> FullStep:
    inputs = ClipInputs.of_batch(sampler.sample(0, 0, 1))
    return run_once(teacher, student, sampler, settings, inputs, torch.randn(1, 3, 4, 8, 8))


def test_a_full_step_runs_all_branches_and_moves_weights_with_moments_of_their_type(
    small_teacher: DualUNet, student: AvatarDenoiser, sampler: ClipSampler, settings: DistillSettings
) -> None:
    rows: list[int] = []
    teacher, trained = small_teacher.to(torch.bfloat16), student.to(torch.bfloat16)
    teacher.denoising_unet.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    found = ran(teacher, trained, sampler, settings)
    assert rows == [3] * 8
    assert found.dtype == "bfloat16"
    counts = [p.numel() for p in trained.parameters() if p.requires_grad]
    assert found.trained == sum(counts)
    # Two moments of two bytes a weight, and a step's number for every tensor.
    assert found.optimizer_bytes == 2 * 2 * sum(counts) + 4 * len(counts)
    assert found.moved > 0
    assert set(found.seconds) == {"forward", "teacher and student", "teacher", "backward", "update"}


def test_it_is_shown_and_saved(tmp_path: Path) -> None:
    found = FullStep("bfloat16", 2_000_000, 3_000_000, {"forward": 1.25}, 3 * 2**30, 2**29, 0.5, 1e-5)
    shown = Console(file=StringIO(), width=200)
    found.print(shown)
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    assert "trained weights 2 M, frozen 3 M, in bfloat16" in text
    assert "forward 1.2 s" in text
    assert "peak memory 3.00 GiB, of it the optimiser's moments 0.50 GiB" in text
    found.save(tmp_path / "once.json")
    assert read_json(tmp_path / "once.json")["trained"] == 2_000_000


def test_memory_that_the_system_does_not_tell_is_unknown() -> None:
    shown = Console(file=StringIO(), width=200)
    FullStep("float32", 1, 1, {}, None, 0, 0.0, 0.0).print(shown)
    assert "peak memory unknown" in shown.file.getvalue()  # type: ignore[attr-defined]
