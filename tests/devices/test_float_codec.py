"""FLOAT's codec on a device that is not the CPU: a step of its training, with all that it may have, and clips."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from pretended import DEVICE, gradients, pretended_device, values

from fada.data.sampling.dataset import BatchShape
from fada.data.world.draw import make_clip
from fada.engine.objective import StepLoss
from fada.teacher.float.codec_losses import pyramid_distance
from fada.teacher.float.codec_training import CodecAndJudges, CodecObjective, CodecWeights
from fada.teacher.float.frame_pairs import FramePairs
from fada.teacher.float.motion_autoencoder import MotionAutoencoder

WEIGHTS = CodecWeights(
    l1=1.0, squared=1.0, perceptual=0.5, component=0.5, lip_squared=5.0, motion=1.0, adversarial=0.1,
    eye_adversarial=0.1, lip_adversarial=0.1, eye_statistics=0.1, lip_statistics=0.1, r1=10.0,
)  # fmt: skip


def new_codec(finds_face: bool) -> MotionAutoencoder:
    """One that already moves: nothing of it at zero."""
    torch.manual_seed(2)
    codec = MotionAutoencoder(
        size=32, style_dim=16, motion_dim=4, channels=(8, 8, 8, 6), edges="replicated", in_pixels=True, fills=True,
        finds_face=finds_face,
    )  # fmt: skip
    for parameter in codec.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return codec.eval()


def objective(pairs: FramePairs, finds_face: bool) -> CodecObjective:
    module = CodecAndJudges(new_codec(finds_face), WEIGHTS, pyramid_distance)
    return CodecObjective(module, pairs, BatchShape(2), 5, judges_from=0, r1_every=1)


def stepped(made: CodecObjective) -> StepLoss:
    loss = made.loss(made.module, 0, 0)
    loss.total.backward()
    return loss


@pytest.mark.parametrize("finds_face", [True, False])
def test_a_step_is_the_cpus_and_waits_for_nothing(
    pairs: FramePairs, finds_face: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Autocast knows the devices by name; here it would be off.
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: nullcontext())
    made = objective(pairs, finds_face)
    with pretended_device() as told:
        there = copy.deepcopy(made)
        there.module.to(DEVICE)
        del told.waits[:]
        found = stepped(there)
        assert told.waits == []
    expected = stepped(made)
    torch.testing.assert_close(values(found.total), expected.total.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients(there.module), gradients(made.module), rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("finds_face", [True, False])
def test_clips_are_the_cpus_and_wait_for_pictures_alone(pairs: FramePairs, finds_face: bool) -> None:
    codec = new_codec(finds_face)
    frames = np.stack([make_clip(1, 7, size=32, frames=2).frames[0], make_clip(1, 8, size=32, frames=2).frames[1]])
    with pretended_device() as told:
        there = copy.deepcopy(codec).to(DEVICE)
        latents = there.encode(frames)
        portrait = there.appearance(frames[0])
        del told.waits[:]
        found = there.decode(latents, portrait)
        assert told.waits == [("a copy from the device", "motion_autoencoder.py:<listcomp>")]
    expected = codec.encode(frames)
    torch.testing.assert_close(values(latents), expected, rtol=1e-4, atol=1e-5)
    drawn = codec.decode(expected, codec.appearance(frames[0]))
    assert drawn.std() > 5
    assert np.abs(found.astype(int) - drawn).max() <= 1
