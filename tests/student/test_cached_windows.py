"""Windows out of a cache: on the noise path at their start, of their number's window, at times of this step alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fada.data.sampling.dataset import BatchShape, ClipSampler, LatentClip
from fada.engine.clock import Clock
from fada.student.copies import student_of
from fada.student.mixed_loss import MixedLossConfig
from fada.student.solved_windows import DistillSettings, SolvedWindows
from fada.student.target_cache import TargetCache
from fada.teacher.dual_unet.model import DualUNet

CPU = torch.device("cpu")
SETTINGS = DistillSettings(
    guidance="sync", windows=4, times="uniform", solver="ddim", solver_steps=1,
    scales=((1.0, 1.0), (1.0, 1.0)), motion_drop=0.0, loss=MixedLossConfig(), gt_guidance="neutral", seed=0,
)  # fmt: skip


@pytest.fixture
def windows(teacher: DualUNet, tmp_path: Path) -> SolvedWindows:
    """Sixteen cached windows whose ends are their numbers; batches of three."""
    clips = [LatentClip(f"{i}", "A", torch.randn(6, 4, 8, 8), torch.randn(6, 1, 12)) for i in range(4)]
    cache = TargetCache(tmp_path, 16, 4, 0, {})
    cache.fill(lambda numbers: torch.tensor(numbers).view(-1, 1, 1, 1, 1).expand(-1, 3, 4, 8, 8).clone(), batch=16)
    sampler = ClipSampler(clips, frames=3, motion_frames=2, context=2)
    student = student_of(teacher, "none", 2)
    return SolvedWindows(teacher, student, sampler, SETTINGS, BatchShape(3), cache)


def test_a_cached_window_begins_on_the_noise_path_at_its_start_whatever_time_is_asked(windows: SolvedWindows) -> None:
    for step in range(6):
        found = windows.solved(step, 0, CPU, Clock())
        draws = found.draws
        a, c = (level.view(-1, 1, 1, 1, 1).float() for level in windows.path.signal_noise(draws.t_start))
        torch.testing.assert_close(found.z_start, a * found.batch.latents + c * draws.noise)
        numbers = found.z_end[:, 0, 0, 0, 0].long()
        # Numbers take turns at the windows, whatever the batch.
        assert draws.t_start.tolist() == [(number % 4 + 1) / 4 for number in numbers.tolist()]
        assert bool((draws.t_end < draws.t).all() & (draws.t <= draws.t_start).all())


def test_times_never_reach_the_window_below_however_the_draw_falls(
    windows: SolvedWindows, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = windows.cached_inputs(list(range(12)), CPU)[1]
    windows.shape = BatchShape(12)
    # The least and the greatest number that float32 draws.
    for share, place in ((0.0, 1.0), (1 - 2.0**-24, 2.0**-24)):
        monkeypatch.setattr(torch, "rand", lambda *size, share=share, **options: torch.tensor(share).double())
        t = windows.redraw_times(draws, 0, 0).t
        expected = torch.ceil((draws.t_end + place * (draws.t_start - draws.t_end)) * 1000 - 1e-6) / 1000
        torch.testing.assert_close(t, expected, rtol=0, atol=1e-9)
        # 250 grid points in a quarter: from the one above its end to its start.
        edge = draws.t_start if place == 1.0 else draws.t_end + 0.001
        torch.testing.assert_close(t, edge, rtol=0, atol=1e-9)


def test_at_starts_alone_cached_windows_keep_their_times(windows: SolvedWindows) -> None:
    windows.settings = replace(SETTINGS, times="starts")
    found = windows.solved(0, 0, CPU, Clock())
    assert torch.equal(found.draws.t, found.draws.t_start)
