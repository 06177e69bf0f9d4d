"""`teacher.network` is the section of the family that `teacher.kind` names."""

from __future__ import annotations

from pathlib import Path

import pytest

from fada.recipe import RecipeError, load_recipe, recipe_json_schema
from fada.recipe.shipped import find_recipe
from fada.teacher.dual_unet.section import Network as DualUNetNetwork
from fada.teacher.v_express.section import Network as VExpressNetwork


def with_kind(folder: Path, kind: str) -> Path:
    """The smoke recipe's text for another family."""
    text = find_recipe("tiny/smoke").read_text(encoding="utf-8").replace("teacher:\n", f"teacher:\n  kind: {kind}\n")
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    return folder / "mine.yaml"


def test_every_family_has_its_own_section() -> None:
    assert type(load_recipe("tiny/smoke").teacher.network) is DualUNetNetwork
    assert type(load_recipe("tiny/v-express").teacher.network) is VExpressNetwork


def test_keys_of_another_family_are_unknown_and_the_nearest_of_the_own_is_named(tmp_path: Path) -> None:
    own = (
        r"temporal_levels: unknown key; did you mean 'attention_levels'\? \(keys here: .*audio_depth, keypoint_channels"
    )
    with pytest.raises(RecipeError, match=own):
        load_recipe(with_kind(tmp_path, "v_express"))


def test_a_family_that_is_none_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no family named 'nobody'; choose from dual_unet, hallo, v_express"):
        load_recipe(with_kind(tmp_path, "nobody"))


def test_a_stage_trains_all_parts_unless_it_names_some_and_only_those_that_there_are() -> None:
    stages = load_recipe("tiny/v-express").teacher.stages
    assert stages[-1].trains == ("reference", "keypoints", "spatial", "audio", "temporal")
    with pytest.raises(
        RecipeError, match=r"clips: trains: got 'keypoints'; choose from reference, spatial, audio, temp"
    ):
        load_recipe("tiny/smoke", ["teacher.stages.clips.trains=[keypoints]"])


def test_the_schema_knows_the_networks_of_all_families() -> None:
    teacher = recipe_json_schema()["$defs"]["Teacher"]["properties"]
    names = {each["$ref"].rpartition("/")[2] for each in teacher["network"]["anyOf"]}
    assert names == {"Network_dual_unet", "Network_v_express", "Network_float"}
    assert teacher["kind"]["enum"] == ["dual_unet", "hallo", "v_express", "float"]
