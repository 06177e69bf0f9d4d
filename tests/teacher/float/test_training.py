"""FLOAT's training: what its loss has beside the squared error, and which conditions are dropped."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fada.data.sampling.dataset import BatchShape, ClipSampler, LatentClip
from fada.diffusion.paths import NoisePath
from fada.recipe.sections.teacher import Teacher
from fada.teacher.pretrain import DropRates, PretrainObjective

FRAMES, MOTION, NUMBERS = 4, 2, 3


class Known(nn.Module):
    """Answers velocities wrong by 1, 2, 3, 4 in its frames, and motion frames with 5; notes what it is given."""

    branches = ("nothing", "audio", "emotion")

    def __init__(self) -> None:
        super().__init__()
        self.path, self.number = NoisePath("flow_prediction"), nn.Parameter(torch.zeros(()))
        self.target: Tensor | None = None
        self.seen: list[Any] = []

    def inputs_of(self, clips: Any) -> Any:
        return clips

    def part(self, name: str) -> list[nn.Parameter]:
        return [self.number]

    def forward(
        self, inputs: Any, latents: Tensor, t: Tensor, branch: Tensor, use_temporal: bool, shows_motion: bool = False
    ) -> Tensor:
        self.seen.append((inputs, branch))
        assert self.target is not None
        wrong = torch.arange(1.0, 1 + FRAMES)[:, None] + self.number
        answer = self.target + wrong
        before = torch.full((len(latents), MOTION, NUMBERS), 5.0)
        return torch.cat([before, answer], dim=1) if shows_motion else answer


def objective(drop: DropRates = DropRates({}, 0.0), **weights: float) -> PretrainObjective:  # noqa: B008 - frozen
    latents = torch.full((FRAMES + MOTION, NUMBERS), 2.0)
    clips = [LatentClip(f"{number}", "A", latents, torch.zeros(len(latents), 1, 2)) for number in range(2)]
    sampler = ClipSampler(clips, frames=FRAMES, motion_frames=MOTION, context=0)
    made = PretrainObjective(Known(), sampler, BatchShape(64), ("audio",), drop, 0, **weights)  # type: ignore[arg-type]
    noise = torch.stack([made._draw(torch.zeros(FRAMES, NUMBERS), 0, sample)[3] for sample in range(64)])
    made.module.target = noise - 2.0  # type: ignore[assignment]
    return made


def _total(drop: DropRates = DropRates({}, 0.0), **weights: float) -> float:  # noqa: B008 - frozen
    made = objective(drop, **weights)
    return float(made.loss(made.module, 0, 0).total.detach())


def test_changes_between_frames_are_weighed_as_the_recipe_says() -> None:
    # Errors of 1, 2, 3, 4 have squares of 7.5 in the mean, and change by 1 from each frame to the next.
    assert _total() == pytest.approx(7.5)
    assert _total(velocity_weight=2.0) == pytest.approx(7.5 + 2.0)


def test_motion_frames_are_to_be_answered_as_they_are_where_there_are_any() -> None:
    made = objective(motion_weight=0.5)
    loss = made.loss(made.module, 0, 0)
    has_motion = made.module.seen[-1][0].has_motion  # type: ignore[union-attr, index]
    assert 0 < int(has_motion.sum()) < len(has_motion)
    # 5 is asked for where 2 is right: 9.
    share = float(has_motion.float().mean())
    assert float(loss.total.detach()) == pytest.approx(7.5 + 0.5 * 9 * share)
    assert float(loss.scalars["loss_motion"]) == pytest.approx(9 * share)
    assert "loss_velocity" not in loss.scalars


def test_portraits_are_dropped_by_themselves() -> None:
    made = objective(DropRates({"audio": 0.5}, 0.0, reference=0.25))
    made.loss(made.module, 0, 0)
    inputs, branch = made.module.seen[-1]  # type: ignore[index, misc]
    is_dropped = (inputs.reference == 0).all(dim=1)
    assert 0.1 < float(is_dropped.float().mean()) < 0.4
    assert bool((inputs.reference[~is_dropped] == 2).all())
    # With and without sound.
    assert set(branch[is_dropped].tolist()) == set(branch.tolist())


def test_a_stage_that_does_not_train_the_sound_is_told_nothing_of_it_nor_of_what_stands_above_it() -> None:
    made = objective()
    assert made._branch(0.99) == 2
    silent = PretrainObjective(
        made.module, made.sampler, BatchShape(2), ("vector_field",), DropRates({}, 0.0), 0  # type: ignore[arg-type]
    )  # fmt: skip
    assert silent._branch(0.99) == 0


def test_recipes_drop_portraits_only_where_all_branches_know_them() -> None:
    stages = [{"name": "all"}]
    found = Teacher(kind="float", stages=stages).stages[0].drop
    assert found == {"audio": 0.1, "emotion": 0.1, "motion": 0.3, "reference": 0.1}
    # It is drawn by itself: rates of the branches may still add up to one.
    Teacher(kind="float", stages=[{"name": "all", "drop": {"audio": 0.5, "emotion": 0.5, "reference": 0.9}}])
    with pytest.raises(ValueError, match="motion_weight is for families whose networks answer motion frames"):
        Teacher(stages=[{"name": "all", "motion_weight": 1.0}])
