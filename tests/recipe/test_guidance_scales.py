"""Guidance scales of a recipe: names of the family's branches, what is left out, and keys of earlier versions."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from fada.assembly.settings import default_scales, distill_settings
from fada.export.run_models import phases_of
from fada.family import Family, Guidance, families
from fada.files.folders import MARK
from fada.recipe import Recipe, RecipeError, load_recipe, recipe_json_schema
from fada.recipe.earlier import in_earlier_words
from fada.recipe.loading import dump_recipe
from fada.run.folder import ENVIRONMENT, check_run, open_run

DANCER = """\
name: small
output: runs/small
data: {train_shards: there, test_shards: there}
teacher: {kind: dancer, path: somewhere}
distill: {phases: [{name: fast}, {name: own, scales: {mood: {high: 5}, tempo: {low: 2, high: 2.5}}}]}
bench: {scales: {mood: null}, sweep: {mood: [1, 2, 4]}}
"""
RECORD = Path(__file__).with_name("record_of_an_earlier_version.yaml")
BEFORE = """\
name: earlier
output: runs/earlier
data: {world: {clips: 4, test_clips: 3, frames: 20}}
teacher: {path: somewhere}
distill:
  phases:
    - {name: balanced, guidance: sync}
    - name: fast
      audio_scale: {low: 2, high: 7}
      reference_scale: {high: 3}
bench: {audio_scale: null, reference_scale: 1.5, sweep_audio: [1, 2, 4]}
"""
"""What a person wrote for the earlier version; RECORD is what that version's run made of it."""
NOW = """\
name: earlier
output: runs/earlier
data: {world: {clips: 4, test_clips: 3, frames: 20}}
teacher: {path: somewhere}
distill:
  phases:
    - {name: balanced, guidance: sync}
    - {name: fast, scales: {audio: {low: 2, high: 7}, reference: {high: 3}}}
bench: {scales: {audio: null, reference: 1.5}, sweep: {audio: [1, 2, 4]}}
"""


def load(folder: Path, text: str, *overrides: str) -> Recipe:
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    return load_recipe(folder / "mine.yaml", overrides)


def ends(recipe: Recipe, phase: int) -> list[tuple[str, tuple[float, float]]]:
    return [(name, each.ends) for name, each in recipe.distill.phases[phase].scales.items()]


@pytest.mark.parametrize(
    ("kind", "scales"),
    [
        ("dual_unet", {"reference": 2.5, "audio": 6.5}),
        ("hallo", {"reference": 3.5, "audio": 3.5}),
        ("v_express", {"reference": 3.5, "audio": 3.5}),
    ],
)
def test_every_family_fills_in_its_own_scales_and_ranges(tmp_path: Path, kind: str, scales: dict[str, float]) -> None:
    text = DANCER.partition("teacher:")[0] + f"clip: {{motion_frames: 0}}\nteacher: {{kind: {kind}, path: somewhere}}\n"
    recipe = load(tmp_path, text + "distill: {phases: [{name: fast}]}\n")
    assert list(recipe.bench.scales.items()) == list(scales.items())
    assert recipe.bench.sweep == {"reference": (), "audio": ()}
    assert ends(recipe, 0) == [("reference", (1.0, 4.0)), ("audio", (1.0, 9.0))]


def test_a_family_of_other_branches_has_its_names_everywhere_in_their_order(tmp_path: Path, dancer: Family) -> None:
    recipe = load(tmp_path, DANCER)
    assert ends(recipe, 0) == [("tempo", (1.0, 3.0)), ("mood", (0.5, 6.0))]
    # Written mood first: the order is the branches', and the end that is left out the family's.
    assert ends(recipe, 1) == [("tempo", (2.0, 2.5)), ("mood", (0.5, 5.0))]
    assert list(recipe.bench.scales.items()) == [("tempo", 2.0), ("mood", None)]
    assert list(recipe.bench.sweep.items()) == [("tempo", ()), ("mood", (1.0, 2.0, 4.0))]
    assert distill_settings(recipe, recipe.distill.phases[1]).scales == ((2.0, 2.5), (0.5, 5.0))
    # The report's tempo, and of mood, which a sweep chooses, the middle of what the last phase learns.
    assert default_scales(recipe) == (2.0, 2.75)
    assert load(tmp_path, dump_recipe(recipe)) == recipe


def test_a_scale_of_nought_is_one(tmp_path: Path, dancer: Family) -> None:
    assert default_scales(load(tmp_path, DANCER, "bench.scales={tempo: 0, mood: 0}")) == (0.0, 0.0)


def test_a_range_that_a_family_does_not_say_is_from_no_guidance_to_its_scale() -> None:
    guidance = Guidance(("none", "tempo", "mood"), {"tempo": 0.5, "mood": 4.0})
    assert [guidance.range_of(name) for name in guidance.names] == [(0.5, 1.0), (1.0, 4.0)]


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"sound": (1.0, 2.0)}, "guidance: ranges: no guidance scale named 'sound'; choose from tempo, mood"),
        ({"mood": (3.0, 2.0)}, "guidance: ranges: mood: high must not be below low, got 3 and 2"),
    ],
)
def test_a_familys_ranges_are_checked(ranges: dict[str, tuple[float, float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Guidance(("none", "tempo", "mood"), {"tempo": 2.0, "mood": 4.0}, ranges)


def test_overrides_reach_into_scales_whatever_the_recipe_says_of_them(tmp_path: Path, dancer: Family) -> None:
    changed = load(tmp_path, DANCER, "distill.phases.fast.scales.mood.high=7", "distill.phases.own.scales.tempo.low=1")
    assert ends(changed, 0) == [("tempo", (1.0, 3.0)), ("mood", (0.5, 7.0))]
    assert ends(changed, 1) == [("tempo", (1.0, 2.5)), ("mood", (0.5, 5.0))]
    whole = load(tmp_path, DANCER, "distill.phases.own.scales.tempo={low: 1.5, high: 7}", "bench.scales.mood=3")
    assert ends(whole, 1) == [("tempo", (1.5, 7.0)), ("mood", (0.5, 5.0))]
    assert whole.bench.scales == {"tempo": 2.0, "mood": 3.0}
    swept = load(tmp_path, DANCER, "bench.sweep.tempo=[1, 2]", "bench.sweep.mood.1=3")
    assert swept.bench.sweep == {"tempo": (1.0, 2.0), "mood": (1.0, 3.0, 4.0)}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "bench.scales.audio=3",
            "override 'bench.scales.audio=3': bench.scales.audio: no guidance scale named 'audio'; "
            "choose from tempo, mood",
        ),
        (
            "distill.phases.fast.scales.audio.high=3",
            "override 'distill.phases.fast.scales.audio.high=3': distill.phases.0.scales.audio: no guidance scale "
            "named 'audio'; choose from tempo, mood",
        ),
        ("bench.sweep.audio=[1]", "bench.sweep.audio: no guidance scale named 'audio'; choose from tempo, mood"),
        ("bench.sweep.tempo.0=1", "override 'bench.sweep.tempo.0=1': bench.sweep.tempo has no entries in this recipe"),
        ("bench.scales.tempo=null", "bench.scales.tempo: null is chosen by a sweep; give bench.sweep.tempo too, as in"),
        ("bench.scales.tempo=x", "bench.scales.tempo: input should be a valid number, got 'x'"),
        (
            "distill.phases.fast.scales.tempo.low=4",
            "distill.phases.0.scales.tempo: high must not be below low, got low=4.0, high=3.0, of which one is the "
            "family's: give both",
        ),
        (
            "distill.phases.own.scales.tempo.low=4",
            "distill.phases.1.scales.tempo: high must not be below low, got low=4.0, high=2.5",
        ),
        (
            "distill.phases.own.scales.tempo.hgh=4",
            "distill.phases.1.scales.tempo.hgh: unknown key; did you mean 'high'? (keys here: low, high)",
        ),
        ("bench.high=3", "bench.high: unknown key; there is distill.phases.0.scales.NAME.high (keys here: clips, "),
    ],
)
def test_a_wrong_scale_is_named_with_its_place_and_the_choice(
    tmp_path: Path, dancer: Family, override: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        load(tmp_path, DANCER, override)


def test_an_unknown_name_in_a_file_is_named_with_its_line(tmp_path: Path, dancer: Family) -> None:
    text = DANCER.replace("{mood: null}", "{mood: 1, audio: 3}")
    with pytest.raises(RecipeError, match=r"mine.yaml:6: bench.scales.audio: no guidance scale named 'audio'"):
        load(tmp_path, text)


def test_all_wrong_scales_are_named_at_once(tmp_path: Path, dancer: Family) -> None:
    text = DANCER.replace("{name: fast}", "{name: fast, scales: {sound: {}, light: {}, tempo: {low: 9}}}")
    with pytest.raises(RecipeError) as raised:
        load(tmp_path, text, "bench.scales={audio: 1, mood: null}", "bench.sweep={audio: [1]}")
    lines = str(raised.value).splitlines()
    blamed = [f"{tmp_path / 'mine.yaml'}:5"] * 3
    blamed += [f"override 'bench.{each}'" for each in ("scales={audio: 1, mood: null}", "sweep={audio: [1]}")]
    blamed.append(blamed[3])
    places = [f"distill.phases.0.scales.{name}" for name in ("sound", "light", "tempo")]
    places += ["bench.scales.audio", "bench.sweep.audio", "bench.scales.mood"]
    assert [line.startswith(f"{who}: {where}: ") for line, who, where in zip(lines, blamed, places, strict=True)] == (
        [True] * 6
    )


def test_the_json_schema_has_a_range_for_every_name() -> None:
    schema = recipe_json_schema()["$defs"]
    scales = schema["Phase"]["properties"]["scales"]
    assert (scales["type"], scales["additionalProperties"]) == ("object", {"$ref": "#/$defs/ScaleRange"})
    number = {"type": "number", "minimum": -1000.0, "maximum": 1000.0}
    assert schema["Bench"]["properties"]["scales"]["additionalProperties"] == {"anyOf": [number, {"type": "null"}]}
    assert schema["Bench"]["properties"]["sweep"]["additionalProperties"]["items"] == number


def test_keys_of_an_earlier_version_are_errors_that_show_the_new_words_with_ones_own_values(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as raised:
        load(tmp_path, BEFORE)
    place = f"{tmp_path / 'mine.yaml'}"
    assert str(raised.value).splitlines() == [
        f"{place}:9: distill.phases.1.audio_scale: write scales: {{audio: {{low: 2, high: 7}}}}",
        f"{place}:10: distill.phases.1.reference_scale: write scales: {{reference: {{high: 3}}}}",
        f"{place}:11: bench.audio_scale: write scales: {{audio: null}}",
        f"{place}:11: bench.reference_scale: write scales: {{reference: 1.5}}",
        f"{place}:11: bench.sweep_audio: write sweep: {{audio: [1, 2, 4]}}",
    ]


@pytest.mark.parametrize(
    ("override", "now"),
    [
        ("distill.phases.fast.audio_scale.high=7", "distill.phases.fast.scales.audio.high=7"),
        ("distill.phases.1.audio_scale={low: 1, high: 7}", "distill.phases.1.scales.audio={low: 1, high: 7}"),
        ("bench.reference_scale=null", "bench.scales.reference=null"),
        ("bench.sweep_audio=[1, 2]", "bench.sweep.audio=[1, 2]"),
    ],
)
def test_an_override_in_earlier_words_is_shown_as_it_is_written_now(tmp_path: Path, override: str, now: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(f"override '{override}': ") + ".*" + re.escape(f"write '{now}'")):
        load(tmp_path, NOW, override)


def test_a_value_without_end_is_not_shown(tmp_path: Path) -> None:
    text = BEFORE.replace("[1, 2, 4]", str(list(range(200))))
    with pytest.raises(RecipeError, match=r"bench.sweep_audio: write sweep: \{audio: \.\.\.\}$"):
        load(tmp_path, text)


def recorded(folder: Path, beside: str = ENVIRONMENT, content: str = "{}") -> Path:
    folder.mkdir()
    (folder / "recipe.yaml").write_text(RECORD.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / beside).write_text(content)
    return folder / "recipe.yaml"


@pytest.mark.parametrize(
    ("beside", "content"),
    [(ENVIRONMENT, "{}"), (MARK, '{"kind": "run"}'), ("model_index.json", "{}"), ("delta.json", "{}")],
)
def test_the_record_of_an_earlier_run_or_its_export_is_the_same_recipe(
    tmp_path: Path, beside: str, content: str
) -> None:
    assert load_recipe(recorded(tmp_path / "run", beside, content)) == load(tmp_path, NOW)
    # Overrides of a record are in the words of now.
    changed = load_recipe(tmp_path / "run" / "recipe.yaml", ["bench.scales.audio=3"])
    assert changed.bench.scales == {"reference": 1.5, "audio": 3.0}


def test_a_record_that_lies_by_itself_is_a_persons_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"bench.sweep_reference: write sweep: \{reference: \[\]\}"):
        load(tmp_path, RECORD.read_text(encoding="utf-8"))


def test_a_run_of_an_earlier_version_goes_on_and_is_then_recorded_in_the_words_of_now(tmp_path: Path) -> None:
    file = recorded(tmp_path / "run", MARK, json.dumps({"kind": "run"}))
    (tmp_path / "run" / ENVIRONMENT).write_text("{}")
    mine = load(tmp_path, NOW, f"output={tmp_path / 'run'}")
    assert phases_of(tmp_path / "run") == ["balanced", "fast"]
    saved = check_run(mine, processes=1)
    assert saved is not None
    assert ends(saved, 1) == [("reference", (1.0, 3.0)), ("audio", (2.0, 7.0))]
    other = load(tmp_path, NOW, f"output={tmp_path / 'run'}", "distill.phases.fast.scales.audio.high=8")
    with pytest.raises(RecipeError, match=r"distill.phases.1.scales.audio.high was 7.0, is 8.0"):
        check_run(other, processes=1)
    open_run(mine, processes=1)
    assert "audio_scale" not in file.read_text()
    assert check_run(mine, processes=1) is not None


@pytest.mark.parametrize(
    "text",
    ["[1, 2]", "bench: 3", "distill: [1]", "distill: {phases: 3}", "distill: {phases: [1]}", "distill: {phases: {}}"],
)
def test_a_record_that_is_none_is_still_an_error_of_its_own(tmp_path: Path, text: str) -> None:
    file = recorded(tmp_path / "run")
    file.write_text(text)
    with pytest.raises(RecipeError, match=r"recipe.yaml:?"):
        load_recipe(file)


def test_a_record_with_both_words_keeps_the_earlier_one_as_an_error(tmp_path: Path) -> None:
    file = recorded(tmp_path / "run")
    file.write_text(NOW.replace("bench: {", "bench: {audio_scale: 3, "))
    with pytest.raises(RecipeError, match=r"bench.audio_scale: write scales: \{audio: 3\}"):
        load_recipe(file)


def test_families_of_the_package_have_a_range_for_every_scale() -> None:
    for name in ("dual_unet", "hallo", "v_express"):
        guidance = families()[name].guidance
        assert tuple(guidance.ranges) == guidance.names


def test_stored_results_are_found_under_hashes_of_the_earlier_words(tmp_path: Path) -> None:
    content = load(tmp_path, NOW).model_dump(mode="json")
    before = yaml.safe_load(RECORD.read_text(encoding="utf-8"))
    made = in_earlier_words(content, has_defaults=True)
    assert made["distill"]["phases"] == before["distill"]["phases"]
    assert made["bench"] == before["bench"]
    told = load(tmp_path, NOW).model_dump(mode="json", exclude_defaults=True)
    made = in_earlier_words(told, has_defaults=False)
    assert made["distill"]["phases"] == [
        {"name": "balanced", "guidance": "sync"},
        # Lowest scales were 1 where nothing was said.
        {"name": "fast", "audio_scale": {"low": 2.0, "high": 7.0}, "reference_scale": {"high": 3.0}},
    ]
    assert made["bench"] == {"audio_scale": None, "reference_scale": 1.5, "sweep_audio": [1.0, 2.0, 4.0]}
    silent = load(tmp_path, NOW, "bench={}").model_dump(mode="json", exclude_defaults=True)
    assert "bench" not in in_earlier_words(silent, has_defaults=False)


def test_other_names_stand_beside_them_in_such_hashes(tmp_path: Path, dancer: Family) -> None:
    told = load(tmp_path, DANCER).model_dump(mode="json", exclude_defaults=True)
    made = in_earlier_words(told, has_defaults=False)
    assert made["distill"]["phases"][1] == {
        "name": "own", "tempo_scale": {"low": 2.0, "high": 2.5}, "mood_scale": {"low": 0.5, "high": 5.0},
    }  # fmt: skip
    assert made["bench"] == {"tempo_scale": 2.0, "mood_scale": None, "sweep_tempo": [], "sweep_mood": [1.0, 2.0, 4.0]}
