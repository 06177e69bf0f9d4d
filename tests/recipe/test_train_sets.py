"""Several sets of training clips, and weights of qualities, in a recipe."""

import re

import pytest

from fada.data.sampling.mixture import Mixture
from fada.recipe import load_recipe
from fada.recipe.errors import RecipeError
from fada.recipe.paths import missing_paths
from fada.recipe.schema import Recipe
from fada.run.stored_features import mixture_of

TWO = "data={train_shards: [{path: a, weight: 3}, {path: s3://b/c, weight: 0.5}], test_shards: t}"


def recipe(*overrides: str) -> Recipe:
    return load_recipe("tiny/smoke", [*overrides])


def test_one_set_is_named_as_ever_and_has_no_mixture() -> None:
    one = recipe("data={train_shards: a, test_shards: t}")
    assert one.data.train_shards == "a"
    assert [each.path for each in one.data.train_sets] == ["a"]
    assert one.data.train_name == "a"
    assert mixture_of(one) is None


def test_the_drawn_world_has_no_sets() -> None:
    assert recipe().data.train_sets == ()
    assert recipe().data.train_name == "data.world"


def test_sets_have_weights_or_follow_each_other() -> None:
    two = recipe(TWO)
    assert [(each.path, each.weight) for each in two.data.train_sets] == [("a", 3.0), ("s3://b/c", 0.5)]
    assert two.data.train_name == "a, s3://b/c"
    assert mixture_of(two) == Mixture((3.0, 0.5))
    assert mixture_of(recipe("data={train_shards: [{path: a}, {path: b}], test_shards: t}")) is None
    assert mixture_of(recipe("data={train_shards: [{path: a, weight: 2}], test_shards: t}")) is None
    assert recipe(TWO, "data.train_shards.1.weight=4").data.train_sets[1].weight == 4.0


def test_every_missing_set_is_named_by_its_key_path() -> None:
    assert missing_paths(recipe(TWO))["data.train_shards.0.path"] == "a"
    assert "data.train_shards.1.path" not in missing_paths(recipe(TWO))


def test_qualities_have_weights() -> None:
    weights = "data.quality_weights={A: 3, B: 1}"
    assert mixture_of(recipe(weights)) == Mixture(None, {"A": 3.0, "B": 1.0})
    assert mixture_of(recipe(TWO, weights)) == Mixture((3.0, 0.5), {"A": 3.0, "B": 1.0})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("[{path: a, weight: 1}, {path: b}]", "give every set a weight, or none; b has none"),
        ("[]", "name a set"),
        ("[{path: a}, {path: a}]", "a set is named twice; give it one weight"),
        ("[{path: a, weight: 0}, {path: b, weight: 1}]", "greater than 0"),
        ("[{path: a, part: 1}]", "part"),
    ],
)
def test_sets_that_cannot_be_meant_are_refused(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=rf"data.train_shards.*{re.escape(message)}"):
        recipe(f"data={{train_shards: {override}, test_shards: t}}")


def test_a_part_whose_quality_has_no_weight_is_refused() -> None:
    with pytest.raises(
        RecipeError, match=r"stages.0.quality is B, but data.quality_weights names A alone: it would dr"
    ):
        recipe("data.quality_weights={A: 1}", "teacher.stages.0.quality=B")
    with pytest.raises(RecipeError, match=r"quality_weights.*"):
        recipe("data.quality_weights={}")
