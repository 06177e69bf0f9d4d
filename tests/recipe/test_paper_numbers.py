"""What a recipe that says nothing asks for: the paper's numbers, as docs/method.md gives them."""

from __future__ import annotations

import pytest

from fada.recipe.loading import load_recipe
from fada.recipe.sections.distill import Distill, Phase


def test_a_phase_that_says_nothing_is_the_papers_fast_student() -> None:
    phase = Phase(name="fast")
    assert phase.guidance == "distill"
    assert phase.motion_drop == 0.3
    assert (phase.solver.kind, phase.solver.steps, phase.solver.spacing) == ("ddim", 8, "time")
    loss = phase.loss
    assert (loss.weighting, loss.loss_space, loss.gt_guidance) == ("adaptive", "prediction", "neutral")
    assert (loss.slope, loss.base, loss.peak, loss.dead) == (0.25, 0.2, 30.0, 100.0)


@pytest.mark.parametrize("name", ["tiny/demo", "hallo/balanced"])
def test_scales_that_a_recipe_says_nothing_of_are_learned_over_the_papers_ranges(name: str) -> None:
    phase = load_recipe(name, ["distill.phases.0.scales={}"]).distill.phases[0]
    assert {branch: each.ends for branch, each in phase.scales.items()} == {
        "reference": (1.0, 4.0),
        "audio": (1.0, 9.0),
    }


def test_windows_that_a_recipe_says_nothing_of_are_the_papers() -> None:
    distill = Distill()
    assert (distill.method, distill.windows, distill.times) == ("perflow", 4, "uniform")
    assert (distill.spacing, distill.extra_steps, distill.matched) == ("time", "first", False)
    assert distill.cfg.mode == "tokens"
