"""Students of a Hallo: they start as their teacher, and hear the scales."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fada.data.clips.face import FaceClues
from fada.diffusion.paths import NoisePath
from fada.student.copies import neutral_scales, student_of
from fada.teacher.guidance import at_branch
from fada.teacher.hallo.checkpoint import read_hallo
from fada.teacher.hallo.conditions import HalloInputs
from fada.teacher.hallo.model import Hallo
from fada.teacher.hallo.schedule import hallo_scheduler
from fada.teacher.inputs import ClipInputs

T = torch.tensor([0.5], dtype=torch.float64)
MODES = ("none", "time_embed", "layer", "tokens")


@pytest.fixture(scope="module")
def hallo(small_file: Path) -> Hallo:
    path = NoisePath.from_config(hallo_scheduler().config)
    return Hallo(**read_hallo(small_file).parts, path=path, bank_tiling="fixed")


@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_an_untouched_student_is_its_teachers_conditional_prediction(
    hallo: Hallo, inputs: HalloInputs, noise: Tensor, mode: str
) -> None:
    student = student_of(hallo, mode, 2)  # type: ignore[arg-type]
    assert isinstance(student, Hallo)
    assert (student.bank_tiling, student.motion_frames) == ("fixed", hallo.motion_frames)
    expected = at_branch(hallo, hallo.prepare(inputs), torch.tensor([2]))(noise, T)
    found, other = (student(inputs, noise, T, scales=torch.tensor([scales])) for scales in ([2.0, 5.0], [1.0, 1.0]))
    # What the scales add is nothing at all. The teacher's pass holds all branches' conditions, and some processors sum
    # the rows of a larger product in another order.
    assert torch.equal(found, other)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", MODES[1:])
@torch.no_grad()
def test_layers_that_are_no_longer_zero_answer_to_the_scales(
    hallo: Hallo, inputs: HalloInputs, noise: Tensor, mode: str
) -> None:
    student = student_of(hallo, mode, 2)  # type: ignore[arg-type]
    for parameter in student.guidance_layers.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.5)
    scales = (neutral_scales(1, 2), torch.tensor([[2.0, 5.0]]))
    neutral, told = (student(inputs, noise, T, scales=each) for each in scales)
    assert not torch.allclose(neutral, told, atol=1e-3)


def test_a_guidance_layer_stands_in_each_of_the_sixteen_audio_modules(hallo: Hallo) -> None:
    student = student_of(hallo, "tokens", 2)
    widths = [site.proj_in.out_channels for site in student.denoising_unet.audio_sites()]
    assert len(widths) == 16
    assert [layer.attn.to_q.in_features for layer in student.guidance_layers.layers] == widths


@torch.no_grad()
def test_shared_features_and_a_pair_of_points_give_the_same_as_each_alone(
    hallo: Hallo, inputs: HalloInputs, noise: Tensor
) -> None:
    student = student_of(hallo, "tokens", 2)
    pair = student(inputs, torch.cat([noise, -noise]), T.repeat(2), features=hallo.features(inputs))
    apart = torch.cat([student(inputs, sign * noise, T) for sign in (1, -1)])
    torch.testing.assert_close(pair, apart, atol=1e-5, rtol=0)


def test_a_clip_without_motion_frames_sees_its_reference_in_their_place(hallo: Hallo, inputs: HalloInputs) -> None:
    box = torch.tensor([[0.2, 0.2, 0.8, 0.8]])
    clips = ClipInputs(
        inputs.reference, inputs.audio, inputs.motion, torch.tensor([False]), FaceClues(torch.zeros(1, 20), box, box)
    )
    motion = hallo.inputs_of(clips).motion
    assert motion is not None
    assert torch.equal(motion, inputs.reference[:, None].expand_as(motion))
    assert torch.equal(hallo.inputs_of(replace(clips, has_motion=torch.tensor([True]))).motion, inputs.motion)  # type: ignore[arg-type]


def test_drawn_inputs_fit_the_networks(hallo: Hallo, inputs: HalloInputs) -> None:
    face = FaceClues(torch.zeros(1, 20), torch.tensor([[0.2, 0.2, 0.8, 0.8]]), torch.tensor([[0.4, 0.6, 0.6, 0.7]]))
    drawn = hallo.inputs_of(ClipInputs(inputs.reference, inputs.audio, face=face))
    assert [tuple(mask.shape) for mask in drawn.masks] == [tuple(mask.shape) for mask in inputs.masks]
    with torch.no_grad():
        assert hallo.prepare(drawn).located.isfinite().all()
