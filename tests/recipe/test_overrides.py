"""``key.path=value`` on top of a recipe."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fada.recipe import RecipeError, load_recipe


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed=7", 7),
        ("engine.weight_decay=1e-4", 1e-4),
        ("engine.ema=0", 0.0),
        ("noise.set_alpha_to_one=true", True),
        ("bench.sweep.audio=[1, 2.5]", (1.0, 2.5)),
        ("bench.scales.audio=3", 3.0),
        ("distill.phases.fast.scales.audio.high=7", 7.0),
        ("data.quality_weights.A=2", 2.0),
        ("distill.phases.1.steps=10", 10),
        ("distill.phases.fast.steps=10", 10),
        ("distill.phases.fast.loss.slope=0.5", 0.5),
        ("teacher.stages.clips.min_snr_gamma=5", 5.0),
        ("data.world.seed = 3", 3),
        ("name=a=b", "a=b"),
    ],
)
def test_an_override_sets_the_value_it_names(override: str, expected: Any) -> None:
    value: Any = load_recipe("tiny/smoke", [override])
    for part in override.partition("=")[0].strip().split("."):
        if isinstance(value, tuple):
            names = [entry.name for entry in value]
            value = value[names.index(part) if part in names else int(part)]
        else:
            value = value[part] if isinstance(value, dict) else getattr(value, part)
    assert value == expected


def test_the_last_of_two_overrides_wins() -> None:
    assert load_recipe("tiny/smoke", ["seed=1", "seed=2"]).seed == 2


def test_a_section_can_be_replaced_whole() -> None:
    recipe = load_recipe("tiny/smoke", ["data={train_shards: a, test_shards: b}"])
    assert recipe.data.world is None
    assert str(recipe.data.train_shards) == "a"


def test_null_takes_a_section_away() -> None:
    recipe = load_recipe("tiny/smoke", ["data.world=null", "data.train_shards=a", "data.test_shards=b"])
    assert recipe.data.world is None


def test_sections_that_the_file_leaves_out_can_be_set() -> None:
    assert load_recipe("tiny/smoke", ["teacher.stages.clips.drop.audio=0.2"]).teacher.stages[1].drop["audio"] == 0.2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("engine", "override 'engine': not of the form key.path=value"),
        ("engine..ema=1", "not of the form key.path=value"),
        ("=1", "not of the form key.path=value"),
        ("engine.ema=[1", r"the value '\[1' is not YAML"),
        ("engin.ema=0", "override 'engin.ema=0': engin: unknown key; did you mean 'engine'"),
        ("engine.emma=0", "engine.emma: unknown key; did you mean 'ema'"),
        ("distill.phases.fasst.steps=1", "distill.phases has no entry 'fasst'; did you mean 'fast'"),
        ("distill.phases.7.steps=1", r"distill.phases has no entry '7' \(2 entries named balanced, fast\)"),
        ("distill.phases.fast.stps=1", "distill.phases.1.stps: unknown key; did you mean 'steps'"),
        ("seed.more=1", "override 'seed.more=1': seed has no entries in this recipe"),
        ("name.more=1", "name is 'smoke', which has no 'more' inside"),
        ("bench.sweep.audio.0=1", "bench.sweep.audio has no entries in this recipe"),
        ("engine.ema=1.5", "override 'engine.ema=1.5': engine.ema: input should be less than 1, got 1.5"),
        (
            "engine.precision=fp8",
            "override 'engine.precision=fp8': engine.precision: got 'fp8'; choose from fp32, bf16",
        ),
    ],
)
def test_a_wrong_override_is_named_with_its_remedy(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("tiny/smoke", [override])


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("{voice: 0.2}", "clips: drop: got 'voice'; choose from reference, audio, motion"),
        ("{reference: 0.6, audio: 0.6}", "rates add up to 1, got {'reference': 0.6, 'audio': 0.6}"),
        ("{reference: 0.95}", "rates add up to 1, got {'reference': 0.95, 'audio': 0.1}"),
    ],
)
def test_rates_of_what_a_family_lacks_and_of_more_than_all_samples_are_refused(drop: str, message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        load_recipe("tiny/smoke", [f"teacher.stages.clips.drop={drop}"])


def test_rates_that_are_not_given_are_the_usual_ones() -> None:
    stages = load_recipe("tiny/smoke", ["teacher.stages.clips.drop={audio: 0.9, reference: 0.1}"]).teacher.stages
    assert [stage.drop for stage in stages] == [
        {"reference": 0.1, "audio": 0.1, "motion": 0.3}, {"reference": 0.1, "audio": 0.9, "motion": 0.3},
    ]  # fmt: skip
