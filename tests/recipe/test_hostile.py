"""Recipes that mean harm, or that mean something else to another reader of YAML."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from fada.data.scores.thresholds import load_thresholds
from fada.recipe import Recipe, RecipeError, load_recipe
from fada.recipe.paths import check_paths, missing_paths
from fada.recipe.reading import MOST_BYTES, MOST_NODES, read_yaml

MINIMAL = """\
name: small
output: runs/small
data: {world: {clips: 4, test_clips: 1, frames: 20, flawed_share: 0.5}}
teacher: {path: somewhere}
"""
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)


def load(tmp_path: Path, text: str, overrides: tuple[str, ...] = ()) -> Recipe:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8", newline="")
    return load_recipe(tmp_path / "mine.yaml", overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "mine.yaml:1: more than 10000 values, aliases counted with what they stand for"),
        ("".join(f"k{number}: 1\n" for number in range(MOST_NODES)), r"mine.yaml:\d+: more than 10000 values"),
        ("a: " + "[" * 10_000, "mine.yaml:1: more than 32 lists or mappings in each other"),
        ("- " * 10_000, "mine.yaml:1: more than 32 lists"),
        ("#" * (MOST_BYTES + 1), f"mine.yaml: more than {MOST_BYTES} bytes are no recipe"),
        ("a: &a {b: *a}\n", "mine.yaml:1: a.b: an alias contains itself"),
        (MINIMAL + "clip: &c {frames: 12}\naudio: {<<: *c}\n", "mine.yaml:6: audio.<<: keys are not merged"),
        (MINIMAL + "seed: !!int 3\n", "mine.yaml:5: tags such as '!!int' have no meaning in a recipe"),
        ("!!python/object/apply:os.system [ls]\n", "mine.yaml:1: tags such as '!!python/object/apply:os.system'"),
        (MINIMAL + "? [a]\n: 3\n", "mine.yaml:5: recipe: a key must be one word"),
        (MINIMAL + "seed: \0\n", "mine.yaml: not YAML: unacceptable character #x0000.*remove what is no text"),
        (MINIMAL + "engine:\n\tema: 0.9\n", "mine.yaml:6: not YAML: a tab stands where only spaces may"),
        (MINIMAL + "---\nseed: 1\n", "mine.yaml:5: several documents in one text"),
        (MINIMAL + f"seed: {'9' * 5000}\n", "mine.yaml:5: seed: a number of 5000 digits; give at most 18"),
    ],
)
def test_what_swells_or_tricks_a_reader_is_refused_at_once(tmp_path: Path, text: str, message: str) -> None:
    began = time.process_time()
    with pytest.raises(RecipeError, match=message):
        load(tmp_path, text)
    assert time.process_time() - began < 5


def test_a_shared_value_may_be_named_twice(tmp_path: Path) -> None:
    phases = "distill: {phases: [{name: a, loss: &l {slope: 0.5}}, {name: b, loss: *l}]}\n"
    assert [phase.loss.slope for phase in load(tmp_path, MINIMAL + phases).distill.phases] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        *((word, "is a truth value to some readers of YAML; write true or false, or") for word in
          ("yes", "no", "on", "off", "No", "OFF", "y")),
        ("1:30", r"1:30 is a number in base 60 to some readers of YAML; write it out, or '1:30' in quotes"),
        ("190:20:30.15", "is a number in base 60"),
        *((number, "is not decimal to some readers") for number in ("010", "0o10", "0x1F", "0b11", "-017", "08")),
        ("2024-01-01", "2024-01-01 is a date to some readers of YAML; write '2024-01-01' in quotes if it is a text"),
        ("2001-12-14t21:59:43.10-05:00", "is a date to some readers"),
        *((number, "is not finite; give a number") for number in (".inf", "-.INF", ".nan", ".NaN")),
        ("1e400", "a number that is too large or too long; give a finite one"),
        ("1" * 19, "a number of 19 digits; give at most 18"),
    ],
)  # fmt: skip
def test_values_that_readers_take_for_different_things_are_refused(tmp_path: Path, value: str, message: str) -> None:
    with pytest.raises(RecipeError, match=rf"mine.yaml:1: name: .*{message}"):
        load(tmp_path, MINIMAL.replace("small", value, 1))
    with pytest.raises(RecipeError, match=rf"override 'name={value}': .*{message}"):
        load(tmp_path, MINIMAL, (f"name={value}",))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            ("'no'", "no"),
            ('"010"', "010"),
            ("'1:30'", "1:30"),
            ("true", True),
            ("False", False),
            ("~", None),
            ("", None),
        ),
        *(("12", 12), ("-3", -3), ("1_000", 1000), ("0", 0), ("1e-4", 1e-4), (".5", 0.5), ("-1.5E+3", -1500.0)),
        # Underscores stand between digits only; Python refuses others.
        *((text, text) for text in ("1_", "1__0", "1.5_", "1_.5")),
        *(
            ("1_0.2_5", 10.25),
            ("0.10", 0.1),
            ("a:b", "a:b"),
            ("1.2.3", "1.2.3"),
            ("10:99x", "10:99x"),
            ("nope", "nope"),
        ),
    ],
)
def test_what_all_readers_agree_on_is_read_so(text: str, value: Any) -> None:
    found = read_yaml(f"a: {text}\n", "x")[0]["a"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=true", "seed: input should be a valid integer, got True"),
        ("seed='5'", "seed: input should be a valid integer, got '5'"),
        ("seed=1.5", "seed: input should be a valid integer, got 1.5"),
        ("seed=-1", "seed: input should be greater than or equal to 0, got -1"),
        ("name=5", "name: input should be a valid string, got 5"),
        ("name=", "name: input should be a valid string, got None"),
        ('name="\\e[2J"', r"name: give 1 to 200 printable characters, got '\\x1b\[2J'"),
        ("engine.ema=true", "engine.ema: input should be a valid number, got True"),
        ("noise.set_alpha_to_one=1", "noise.set_alpha_to_one: input should be a valid boolean, got 1"),
        ("engine.warmup=1000000000", "engine.warmup: input should be less than or equal to 100000000"),
        ("engine.timeout_minutes=1e300", "engine.timeout_minutes: input should be less than or equal to 100000"),
        ("clip.fps=1e-9", "clip.fps: input should be greater than or equal to 1"),
        ("clip.size=1048576", "clip.size: input should be less than or equal to 8192"),
        ("data.world.clips=1000000000", "data.world.clips: input should be less than or equal to 1000000"),
        ("vae.channels=[]", "vae.channels: Tuple should have at least 1 item"),
        ("noise.beta_end=1", "noise.beta_end: input should be less than 1"),
        ("noise.beta_start=0.5", "beta_start must not be above beta_end, got 0.5 and 0.012"),
        ("bench.scales.audio=1e9", "bench.scales.audio: input should be less than or equal to 1000"),
        ("clip=[1, 2]", "clip: Input should be a valid dictionary or instance of ClipShape"),
    ],
)
def test_types_are_strict_and_numbers_have_an_end(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(tmp_path, MINIMAL, (override,))


def test_a_whole_number_may_be_written_with_an_exponent(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL, ("engine.warmup=1e4",)).engine.warmup == 10_000


@pytest.mark.parametrize("output", ['""', ".", "./", "'..'", "/", "../..", "a/..", "runs/../.", "~/"])
def test_a_run_does_not_take_the_current_folder_or_one_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    output = output.replace("~/", str(tmp_path))
    with pytest.raises(RecipeError, match=r"mine.yaml:2: output: .*(the current folder|names no|or home)"):
        load(tmp_path, MINIMAL.replace("runs/small", output))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("null", "is no path, got None; write one, as in runs/NAME"),
        ('"a\\0b"', r"'a\\x00b' holds characters that cannot be seen"),
        ("x" * 256, "a path has at most 4000 bytes, its parts 255"),
        ("/".join(["x" * 200] * 21), "a path has at most 4000 bytes"),
    ],
)
def test_a_path_is_one_that_a_disk_takes(tmp_path: Path, output: str, message: str) -> None:
    with pytest.raises(RecipeError, match=rf"mine.yaml:2: output: .*{message}"):
        load(tmp_path, MINIMAL.replace("runs/small", output))


@pytest.mark.parametrize("name", ["../../precious", "", ".", "a/b", "a.b", "/x", "~", "x" * 65, "é"])
@pytest.mark.parametrize("where", ["teacher.stages.0.name", "distill.phases.0.name", "distill.phases.0.init"])
def test_names_that_become_folders_are_plain_words(tmp_path: Path, name: str, where: str) -> None:
    text = MINIMAL.replace("{path: somewhere}", "{stages: [{name: s}]}") + "distill: {phases: [{name: fast}]}\n"
    with pytest.raises(
        RecipeError, match=rf"override .*: {where}: name: .* cannot name a file or folder; give 1 to 64"
    ):
        load(tmp_path, text, (f"{where}='{name}'",))


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        ("teacher", "no phase can be named 'teacher'"),
        ("aside", "no phase can be named 'aside'"),
        ("teacher-s", "'teacher-s' is where the teacher's stage of that name works"),
    ],
)
def test_names_that_mean_something_else_are_refused(tmp_path: Path, phase: str, message: str) -> None:
    text = MINIMAL.replace("{path: somewhere}", "{stages: [{name: s}]}")
    with pytest.raises(RecipeError, match=message):
        load(tmp_path, text + f"distill: {{phases: [{{name: {phase}}}]}}\n")


@pytest.mark.parametrize(
    ("share", "part", "message"),
    [
        (
            "0.0",
            "distill: {phases: [{name: f, quality: B}]}",
            "distill.phases.0.quality is B, but of data.world's 4 clips",
        ),
        (
            "1.0",
            "distill: {phases: [{name: f, quality: A}]}",
            "distill.phases.0.quality is A, but of data.world's 4 clips",
        ),
        ("1.0", "seed: 0", "teacher.stages.0.quality is A, but"),
        ("0.5", "clip: {frames: 4}", "teacher.stages.0 wants 21 frames, but data.world's clips have 20"),
    ],
)
def test_a_part_without_clips_is_found_in_the_recipe(tmp_path: Path, share: str, part: str, message: str) -> None:
    quality = "A" if "stages" in message else "all"
    stage = f"{{stages: [{{name: s, quality: {quality}, frames: {21 if '21' in message else 4}}}]}}"
    text = MINIMAL.replace("{path: somewhere}", stage).replace("0.5", share)
    with pytest.raises(RecipeError, match=message):
        load(tmp_path, text + part + "\n")


def test_the_worlds_counts_are_those_that_are_drawn() -> None:
    from fada.recipe.sections.data import World, is_at

    world = World(clips=7, flawed_share=0.4)
    assert [is_at(index, 0.4) for index in range(7)] == [False, False, True, False, True, False, False]
    assert (world.count("A"), world.count("B")) == (5, 2)


def test_keys_reach_no_terminal_raw(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, MINIMAL + '"\\e[2J": 1\n')
    assert "\x1b" not in str(caught.value)
    assert r"mine.yaml:5: '\x1b[2J': unknown key" in str(caught.value)


def test_long_values_are_shown_short(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, MINIMAL, ("engine.precision=" + "x" * 100_000,))
    assert len(str(caught.value)) < 1000


def test_a_recipe_is_a_regular_file_of_utf8(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    with pytest.raises(RecipeError, match=r"latin.yaml: cannot be read: not UTF-8 text \(byte 6\); save it as UTF-8"):
        load_recipe(tmp_path / "latin.yaml")
    (tmp_path / "bom.yaml").write_text("\ufeff" + MINIMAL, encoding="utf-8")
    assert load_recipe(tmp_path / "bom.yaml").name == "small"
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(RecipeError, match="no such file"):
        load_recipe(tmp_path / "pipe.yaml")


def test_what_a_run_reads_and_is_not_here_is_named_by_its_key(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    text = MINIMAL.replace("{path: somewhere}", f"{{path: {tmp_path}/there}}")
    assert missing_paths(load(tmp_path, text)) == {}
    recipe = load(tmp_path, MINIMAL, ("vae.path=nowhere", "data={train_shards: s3://b/x, test_shards: shards}"))
    assert missing_paths(recipe) == {"vae.path": "nowhere", "data.test_shards": "shards", "teacher.path": "somewhere"}
    with pytest.raises(RecipeError, match=r"vae.path: 'nowhere' is not here; give another\n"):
        check_paths(recipe)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 10000 values"),
        ("image: {blur: {min: .nan}}", "min: .nan is not finite"),
        ("image: {blur: {min: true}}", "Input should be a valid number"),
    ],
)
def test_thresholds_are_read_as_strictly(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=message):
        load_thresholds(tmp_path / "mine.yaml")
