"""V-Express's stages of training: which parts learn, and what the loss is, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from small_model import CONTEXT, SIDE, latent_clips, small_model
from torch import Tensor

from fada.data.sampling.dataset import BatchShape, ClipSampler
from fada.data.sampling.seeds import sample_generator
from fada.teacher.frame_dropout import FrameDropout, KeptFrames, draw_kept_frames
from fada.teacher.pretrain import DropRates, PretrainObjective
from fada.teacher.v_express.model import VExpress

SEED, STEP = 5, 3
STAGES = {
    "frames": (("reference", "keypoints", "spatial"), 1),
    "sound": (("audio", "temporal"), 4),
    "all": (("reference", "keypoints", "spatial", "audio", "temporal"), 4),
}
"""As in recipes/v-express/teacher.yaml: parts, and frames of a sample."""


def objective(
    model: VExpress, trains: Sequence[str] = STAGES["all"][0], frames: int = 4, shape: BatchShape | None = None,
    **options: Any,
) -> PretrainObjective:  # fmt: skip
    sampler = ClipSampler(latent_clips(), frames, 0, CONTEXT)
    drop = DropRates({"reference": 0.0, "audio": 0.0}, 0.0)
    shape = shape or BatchShape(2)
    return PretrainObjective(model, sampler, shape, trains, drop, SEED, is_image_stage=frames == 1, **options)


@torch.no_grad()
def loss_of(made: PretrainObjective, model: VExpress) -> float:
    """Its number, in step STEP."""
    return float(made.loss(model, STEP, 0).total)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_trains_exactly_the_parts_that_it_names(stage: str) -> None:
    trains, frames = STAGES[stage]
    model = small_model()
    made = objective(model, trains, frames)
    expected = {id(parameter) for part in trains for parameter in model.part(part)}
    assert {id(parameter) for parameter in model.parameters() if parameter.requires_grad} == expected
    made.loss(model, STEP, 0).total.backward()
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert {id(parameter) for parameter in named.values()} <= expected
    for part in trains:
        learned = [float(each.grad.abs().max()) for each in model.part(part) if each.grad is not None]
        assert max(learned) > 0, part


def test_single_frames_are_trained_on_without_motion_modules() -> None:
    """Nor are they asked: other weights in them change nothing of the loss."""
    losses = []
    for scale in (1.0, 3.0):
        model = small_model()
        for parameter in model.part("temporal"):
            parameter.data *= scale
        losses.append([loss_of(objective(model, frames=each), model) for each in (1, 4)])
    assert losses[0][0] == losses[1][0]
    assert losses[0][1] != losses[1][1]


def silent_model() -> VExpress:
    """One that predicts zero noise, whatever it sees."""
    model = small_model()
    for parameter in model.denoising_unet.conv_out.parameters():
        torch.nn.init.zeros_(parameter)
    return model


def drawn_noise(sample: int, offset: float) -> Tensor:
    """A sample's noise (4, 4, h, w) as the objective draws it: after the time, and the dropout's two numbers."""
    generator = sample_generator(SEED, STEP, sample, "teacher")
    torch.randint(1000, (), generator=generator)
    torch.rand(2, generator=generator)
    noise = torch.randn(4, 4, SIDE, SIDE, generator=generator)
    return noise + offset * torch.randn(4, generator=generator)[:, None, None] if offset else noise


def test_the_loss_of_a_silent_model_is_the_noises_square_with_its_offset() -> None:
    model = silent_model()
    for offset in (0.0, 0.05, 2.0):
        found = loss_of(objective(model, offset_noise=offset), model)
        expected = torch.stack([drawn_noise(sample, offset) for sample in range(2)]).square().mean()
        assert found == pytest.approx(float(expected), rel=1e-5)


def test_squares_on_the_lips_weigh_more_in_the_loss_and_a_samples_mean_weight_is_one() -> None:
    # The lips' box, 0.375 to 0.625, is 0.25 to 0.75 when twice as large: a quarter of each of the 2 x 2 cells, so that
    # all cells weigh alike.
    model = silent_model()
    made = objective(model, lip_weight=3.0)
    plain = torch.stack([drawn_noise(sample, 0.0) for sample in range(2)]).square()
    assert loss_of(made, model) == pytest.approx(float(plain.mean()), rel=1e-5)
    for clip in made.sampler.clips:
        assert clip.keypoints is not None
        # Twice as large it is the left half of the picture: cells there weigh 3, the others 1, all over their mean 2.
        clip.keypoints.lip_box.copy_(torch.tensor([0.125, 0.25, 0.375, 0.75]))
    weights = torch.tensor([1.5, 0.5])
    assert loss_of(made, model) == pytest.approx(float((plain * weights).mean()), rel=1e-5)
    assert float((plain * weights).mean()) != pytest.approx(float(plain.mean()), rel=1e-2)


def kept_in(made: PretrainObjective, model: VExpress, micro: int) -> list[KeptFrames | None]:
    """What the model's inputs hold of kept frames in a micro-batch."""
    asked: list[KeptFrames | None] = []
    own = type(model).inputs_of

    def inputs_of(clips: Any) -> Any:
        asked.append(clips.kept)
        return own(model, clips)

    model.inputs_of = inputs_of  # type: ignore[method-assign]
    made.loss(model, STEP, micro)
    return asked


def test_conditional_dropout_is_that_of_the_process_and_micro_batchs_own_samples() -> None:
    rates, model = FrameDropout(0.4, 0.6), silent_model()
    shape = BatchShape(2, rank=1, world=2, accumulate=2)
    (kept,) = kept_in(objective(model, frame_drop=rates, shape=shape), model, 1)
    assert kept is not None
    expected = draw_kept_frames(rates, 4, SEED, STEP, (6, 7))
    assert torch.equal(kept.reference, expected.reference)
    assert torch.equal(kept.keypoints, expected.keypoints)
    assert not kept.reference.all()


def test_without_rates_nothing_is_dropped_or_drawn() -> None:
    model = silent_model()
    assert kept_in(objective(model), model, 0) == [None]


def test_a_frame_that_keeps_neither_condition_teaches_neither_network() -> None:
    model = small_model()
    made = objective(model, frame_drop=FrameDropout(1.0, 1.0))
    made.loss(model, STEP, 0).total.backward()
    for part, learns in (("reference", False), ("keypoints", False), ("audio", True)):
        grads = [each.grad for each in model.part(part) if each.grad is not None]
        assert any(bool(grad.any()) for grad in grads) is learns, part
