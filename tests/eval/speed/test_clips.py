"""A clip by many evaluations and by few."""

from __future__ import annotations

import pytest
import torch

from fada.data.audio.features import LogMelEncoder
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.eval.speed import clips as module
from fada.eval.speed.clips import ClipWork, measure_clips
from fada.generation.pipelines import FadaPipeline
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.vae import new_vae


def pipeline(model: DualUNet, steps: int) -> FadaPipeline:
    scheduler = PeRFlowScheduler(
        prediction_type="v_prediction", beta_schedule="linear", rescale_betas_zero_snr=True, num_windows=4
    )
    return FadaPipeline(
        new_vae((8, 16), 4).eval().requires_grad_(False), model.reference_unet, model.denoising_unet,
        AudioProjection(5, 1, 12, 16, 2, 8), LogMelEncoder(3), scheduler, frames=3, motion_frames=2, size=16,
        steps=steps, audio_scale=4.0, reference_scale=2.0, is_student=model.is_guided,
        guidance_layers=model.guidance_layers,
    )  # fmt: skip


def test_evaluations_are_counted_and_the_first_way_is_what_others_are_held_against(
    small_teacher: DualUNet, student: AvatarDenoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = {
        "many": ClipWork(pipeline(small_teacher, 5), guidance="ladder"),
        "few": ClipWork(pipeline(student.eval(), 6), guidance="embedded"),
    }

    def once(works: dict[str, ClipWork], rounds: int, on_work: object) -> dict[str, list[float]]:
        for work in works.values():
            work()
        works["many"].stages[-1]["denoise"], works["few"].stages[-1]["denoise"] = 6.0, 2.0
        return {"many": [8.0], "few": [4.0]}

    monkeypatch.setattr(module, "take_turns", once)
    many, few = measure_clips(works, rounds=1)
    assert (many.nfe, few.nfe) == (15, 6)
    assert many.times_faster == {"denoise": 1.0, "whole": 1.0}
    assert few.times_faster == {"denoise": 3.0, "whole": 2.0}
    assert set(few.seconds) == {"whole", "audio", "reference", "denoise", "decode"}
    # Three frames at 25 a second, in four seconds.
    assert few.frames_per_second == pytest.approx(0.75)
    assert few.real_time_factor == pytest.approx(4 / 0.12)


def test_a_work_generates_the_whole_clip(student: AvatarDenoiser) -> None:
    made = ClipWork(pipeline(student.eval(), 4), guidance="embedded")()
    assert made.frames.shape == (3, 16, 16, 3)
    assert torch.isfinite(made.latents).all()
