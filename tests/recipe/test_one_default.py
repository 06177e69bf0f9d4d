"""A default, and what can be chosen, stand once: in the recipe's section; the classes made from it have no other."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from fada.assembly.settings import shared_fields
from fada.diffusion.paths import NoisePath
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.engine.loop import LoopSettings
from fada.engine.parallel import ParallelSettings
from fada.recipe import load_recipe
from fada.recipe.sections.distill import Loss
from fada.recipe.sections.running import Engine
from fada.recipe.sections.section import Section
from fada.recipe.sections.teacher import Noise
from fada.student.mixed_loss import MixedLossConfig

PAIRS: list[tuple[type[Section], type[Any], set[str]]] = [
    # Fields that only the class has, as no section says them.
    (Noise, NoisePath, set()),
    (Loss, MixedLossConfig, set()),
    (Engine, LoopSettings, {"steps", "lr", "seed", "facts"}),
    (Engine, ParallelSettings, set()),
]


@pytest.mark.parametrize(("section", "made", "own"), PAIRS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_class_that_a_section_becomes_has_its_defaults_and_choices(
    section: type[Section], made: type[Any], own: set[str]
) -> None:
    said, can, choices = section(), {each.name: each for each in dataclasses.fields(made)}, get_type_hints(made)
    shared = can.keys() & section.model_fields.keys()
    assert can.keys() - shared == own
    for name in shared:
        assert can[name].default == getattr(said, name), name
        if get_origin(choices[name]) is Literal:
            # A network may predict a flow; a recipe's may not yet.
            more = {"flow_prediction"} if name == "prediction_type" else set()
            assert set(get_args(choices[name])) == {*get_args(section.model_fields[name].annotation), *more}, name
    assert made(**shared_fields(said, made), **{"steps": 1, "lr": 1.0} if own else {})


def test_the_scheduler_has_the_paths_defaults() -> None:
    taken = inspect.signature(PeRFlowScheduler).parameters
    assert {name: taken[name].default for name in NoisePath().to_config()} == NoisePath().to_config()


def test_what_a_recipe_says_arrives_under_its_name() -> None:
    engine = load_recipe("tiny/smoke", ["engine.precision=fp16", "engine.keep_every=7", "engine.clip_norm=0.25"]).engine
    assert ParallelSettings(**shared_fields(engine, ParallelSettings)).precision == "fp16"
    assert shared_fields(engine, LoopSettings)["keep_every"] == 7
    assert {shared_fields(engine, each)["clip_norm"] for each in (LoopSettings, ParallelSettings)} == {0.25}
