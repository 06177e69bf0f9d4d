"""One table says how large a pipeline's numbers may be; whoever reads them follows it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fada.generation.ranges import check_config
from fada.pretrained.ranges import PIPELINE, SCALE, Range
from fada.recipe.errors import RecipeError
from fada.recipe.loading import load_recipe
from fada.teacher.dual_unet.settings import Pipeline

GOOD: dict[str, Any] = {"frames": 512, "motion_frames": 0, "context": 0, "fps": 25.0, "size": 64, "steps": 6,
                        "audio_scale": 6.5, "reference_scale": 2.5, "is_student": True, "gamma": None,
                        "guidance": "auto"}  # fmt: skip


@pytest.mark.parametrize(("name", "allowed"), [*PIPELINE.items(), ("audio_scale", SCALE), ("reference_scale", SCALE)])
def test_the_gate_and_a_pipeline_take_the_same_numbers(name: str, allowed: Range) -> None:
    kind = int if allowed.is_whole else float
    for value in (allowed.low, allowed.high):
        Pipeline.model_validate({**GOOD, name: kind(value)})
        check_config({**GOOD, name: kind(value)} | ({"motion_frames": 0} if name == "frames" else {}))
    for value in (allowed.low - 1, allowed.high + 1):
        with pytest.raises(ValidationError):
            Pipeline.model_validate({**GOOD, name: kind(value)})
        with pytest.raises(ValueError, match=f"{name}: must be"):
            check_config({**GOOD, name: kind(value)})


def test_a_recipe_asks_for_no_context_that_its_models_could_not_be_opened_with() -> None:
    assert load_recipe("tiny/smoke", ["audio.context=31"]).audio.context == 31
    with pytest.raises(RecipeError, match=r"context.*31.*got 32"):
        load_recipe("tiny/smoke", ["audio.context=32"])
