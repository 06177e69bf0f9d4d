"""Where a recipe's windows lie and how their points are shown: defaults of the paper, refusals, and where they go."""

from __future__ import annotations

import pytest

from fada.assembly.models import scheduler
from fada.assembly.settings import distill_settings
from fada.diffusion.paths import NoisePath
from fada.diffusion.windows import Windows
from fada.recipe import RecipeError, load_recipe

CHOSEN = [
    "distill.matched=true",
    "distill.spacing=noise_share",
    "distill.phases.fast.solver.kind=dpmpp_2m",
    "distill.phases.fast.solver.spacing=noise_share",
]


def test_the_papers_windows_are_the_default() -> None:
    recipe = load_recipe("sd15/fast")
    assert scheduler(recipe.noise, recipe.distill).windows == Windows(4)
    settings = distill_settings(recipe, recipe.distill.phases[-1])
    assert (settings.matched, settings.spacing, settings.solver_spacing) == (False, "time", "time")


def test_training_and_scheduler_take_the_same_windows_from_a_recipe() -> None:
    recipe = load_recipe("sd15/fast", CHOSEN)
    windows = scheduler(recipe.noise, recipe.distill).windows
    settings = distill_settings(recipe, recipe.distill.phases[-1])
    assert windows.is_matched
    assert windows.edges is not None
    assert (settings.matched, settings.spacing, settings.solver_spacing) == (True, "noise_share", "noise_share")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["distill.windows=6", "distill.steps=6", "distill.times=starts"],
            "matched: concerns points inside windows; a student of times: starts sees none: leave it out",
        ),
        (
            ["distill.method=tcd", "distill.windows=1", *(
                f"distill.phases.{phase}.loss.{field}" for phase in ("balanced", "fast")
                for field in ("weighting=fixed", "base=0"))],
            "matched: concerns points inside windows; a student of method: tcd sees none: leave it out",
        ),
        (
            ["distill.phases.fast.solver.kind=dpmpp_2m_log_snr"],
            "spacing: dpmpp_2m_log_snr steps by log-SNR itself; use kind: dpmpp_2m, got noise_share",
        ),
        (["distill.spacing=even"], "distill.spacing: got 'even'; choose from time, log_snr, noise_share"),
    ],
)  # fmt: skip
def test_settings_without_a_meaning_are_refused(changes: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("sd15/fast", [*CHOSEN, *changes])


def test_a_recipe_may_be_on_a_rectified_flow() -> None:
    recipe = load_recipe("tiny/smoke", ["noise.prediction_type=flow_prediction"])
    made = scheduler(recipe.noise, recipe.distill)
    assert made.path.is_flow
    assert made.path == NoisePath.from_config(recipe.noise.model_dump())
