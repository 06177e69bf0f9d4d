"""Generation on a device that is not the CPU: its latents, and one clip's whole way."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from pretended import DEVICE, pretended_device, values
from torch import Tensor

from fada.data.audio.features import LogMelEncoder
from fada.data.sampling.dataset import BatchShape, ClipSampler
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.diffusion.spacing import spaced_windows
from fada.generation.denoising import ClipDenoiser, Settings
from fada.generation.pipelines import FadaPipeline
from fada.student.copies import student_of
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.inputs import ClipInputs
from fada.teacher.vae import new_vae

WAYS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "teacher": (None, {"is_student": False}, {"guidance": "ladder"}),
    "teacher, second order": (
        None, {"is_student": False}, {"guidance": "ladder", "solver": "dpmpp_2m", "spacing": "noise_share"}
    ),
    "balanced": ("none", {}, {"guidance": "ladder"}),
    "fast": ("tokens", {}, {"guidance": "embedded"}),
    "trajectory": ("layer", {"gamma": 0.3}, {"guidance": "embedded"}),
}  # fmt: skip


CASES = [("dual_unet", way) for way in WAYS] + [
    pytest.param(family, way, marks=() if way in ("teacher", "fast") else pytest.mark.slow)
    for family in ("hallo", "v_express", "float")
    for way in WAYS
]


@torch.no_grad()
def denoised(model: AvatarDenoiser, way: str, sampler: ClipSampler, device: torch.device) -> tuple[Tensor, int]:
    """Two steps of one clip; the model lies on the device."""
    _, options, chosen = WAYS[way]
    clip = sampler.batch(0, BatchShape(1)).to(device)
    network: Any = model
    conditions = network.prepare(network.inputs_of(ClipInputs.of_batch(clip)))
    windows = spaced_windows(model.path, 2, "log_snr", is_matched=True)
    made = {"is_student": True, "windows": windows, "gamma": None, **options}
    told = {"steps": 2, "scales": torch.tensor([[2.0, 4.0]]), "solver": "ddim", "spacing": "time", "seed": 0, **chosen}
    return ClipDenoiser(model, **made)(clip.latents, conditions, Settings(**told), 0, None)


@pytest.mark.parametrize(("model", "way"), CASES, indirect=["model"])
def test_denoising_is_the_cpus_and_waits_for_nothing(model: AvatarDenoiser, sampler: ClipSampler, way: str) -> None:
    mode = WAYS[way][0]
    network = model if mode is None else student_of(model, mode, 2)
    with pretended_device() as told:
        there = copy.deepcopy(network).to(DEVICE)
        del told.waits[:]
        found, evaluations = denoised(there, way, sampler, DEVICE)
        assert told.waits == []
    expected, as_many = denoised(network, way, sampler, torch.device("cpu"))
    assert evaluations == as_many
    torch.testing.assert_close(values(found), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("model", ["dual_unet"], indirect=True)
def test_a_video_is_the_cpus(model: AvatarDenoiser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sound, portrait, two clips with motion frames between them, and frames; for the family that needs no face."""
    # Autocast knows the devices by name; that the VAE runs in float32 in both makes them comparable.
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: nullcontext())
    torch.manual_seed(0)
    encoder, network = LogMelEncoder(3), model
    network.audio_projection = AudioProjection(5, encoder.layers, encoder.states_dim, 16, 2, 8)
    student = student_of(network, "tokens", 2)
    scheduler = PeRFlowScheduler(
        prediction_type="v_prediction", beta_schedule="linear", rescale_betas_zero_snr=True, num_windows=4
    )
    pipeline = FadaPipeline(
        new_vae((8, 16), 4), student.reference_unet, student.denoising_unet, student.audio_projection, encoder,
        scheduler, frames=4, motion_frames=2, size=16, steps=4, is_student=True, audio_scale=3.0, reference_scale=2.0,
        guidance_layers=student.guidance_layers,
    )  # fmt: skip
    portrait = np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    sound = np.random.default_rng(1).normal(0, 0.1, 4480).astype(np.float32)
    expected = pipeline(portrait, sound)
    with pretended_device():
        found = pipeline.to(DEVICE)(portrait, sound)
        assert pipeline.device == DEVICE
    assert expected.frames.std() > 5
    torch.testing.assert_close(found.latents, expected.latents, rtol=1e-3, atol=1e-3)
    assert np.abs(found.frames.astype(int) - expected.frames).max() <= 2
