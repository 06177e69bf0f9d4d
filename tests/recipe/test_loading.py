"""Files to recipes and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fada.pretrained import shipped
from fada.recipe import Recipe, RecipeError, dump_recipe, load_recipe, recipe_json_schema, save_recipe
from fada.recipe.paths import missing_paths
from fada.recipe.shipped import purpose, shipped_recipes

MINIMAL = """\
name: small
output: runs/small
data: {world: {clips: 2, test_clips: 1, frames: 20}}
teacher: {path: somewhere}
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_shipped_recipe_loads(name: str) -> None:
    assert isinstance(load_recipe(name), Recipe)


@pytest.mark.parametrize(("name", "path"), sorted(shipped_recipes().items()))
def test_every_shipped_recipe_opens_with_purpose_command_and_cost(name: str, path: Path) -> None:
    opening = path.read_text(encoding="utf-8").partition("\nname:")[0]
    assert all(line.startswith("#") for line in opening.splitlines())
    assert f"fada distill recipes/{name}.yaml" in opening
    assert "# Cost: " in opening
    assert len(purpose(path)) > 20


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_a_dumped_recipe_loads_as_the_same_recipe(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    save_recipe(recipe, tmp_path / "run" / "recipe.yaml")
    assert load_recipe(tmp_path / "run" / "recipe.yaml") == recipe


def test_saving_leaves_no_temporary_file(tmp_path: Path) -> None:
    save_recipe(load_recipe("tiny/smoke"), tmp_path / "recipe.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_the_dump_names_defaults_too(write) -> None:
    assert yaml.safe_load(dump_recipe(load_recipe(write(MINIMAL))))["engine"]["precision"] == "bf16"


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "+1e-4", "1.0e-4", "0.0001"])
def test_exponents_are_numbers(write, text: str) -> None:
    recipe = load_recipe(write(MINIMAL + f"engine: {{weight_decay: {text}}}\n"))
    assert recipe.engine.weight_decay == 1e-4


def test_paths_stay_relative_to_the_current_directory(write) -> None:
    assert load_recipe(write(MINIMAL)).output == Path("runs/small")


def test_recipes_are_frozen(write) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_recipe(write(MINIMAL)).name = "other"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "engin: {}\n", "mine.yaml:5: engin: unknown key; did you mean 'engine'"),
        (MINIMAL + "engine: {precison: fp32}\n", "mine.yaml:5: engine.precison: unknown key; did you mean 'precision'"),
        (MINIMAL + "min_snr_gamma: 5\n", "min_snr_gamma: unknown key; there is teacher.stages.0.min_snr_gamma"),
        (
            MINIMAL + "engine:\n  ema: 0.9\n  precision: bf17\n",
            "mine.yaml:7: engine.precision: got 'bf17'; choose from fp32, bf16, fp16; did you mean 'bf16'?",
        ),
        (MINIMAL + "engine: {ema: 1.5}\n", "mine.yaml:5: engine.ema: input should be less than 1, got 1.5"),
        (MINIMAL + "seed: soon\n", "mine.yaml:5: seed: input should be a valid integer.*got 'soon'"),
        (MINIMAL.replace("name: small\n", ""), "mine.yaml: name: missing; it has no default"),
        (MINIMAL + "name: again\n", r"mine.yaml:5: name: given twice \(first in line 1\)"),
        (MINIMAL + "engine: {ema: 0.9, ema: 0.8}\n", r"mine.yaml:5: engine.ema: given twice \(first in line 5\)"),
        (MINIMAL + "engine: {ema: [\n", "mine.yaml:6: not YAML"),
        (MINIMAL + "clip: &a {frames: *a}\n", "mine.yaml:5: .*alias contains itself|not YAML"),
        ("- a\n- b\n", "a recipe is a mapping of sections, got list"),
        ("", "a recipe is a mapping of sections, got NoneType"),
        (
            MINIMAL + "distill: {phases: [{name: fast, stepz: 3}]}\n",
            "mine.yaml:5: distill.phases.0.stepz: unknown key; did you mean 'steps'",
        ),
    ],
)
def test_faults_are_named_with_file_line_key_and_remedy(write, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(text))


def test_every_fault_is_named_at_once(write) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(MINIMAL + "engine: {ema: 2, accumulate: 0}\nsteps: 3\n"))
    assert len(str(caught.value).splitlines()) == 3


def test_a_missing_file_names_the_nearest_shipped_recipe() -> None:
    with pytest.raises(RecipeError, match=r"tiny/dmo.yaml: no such file; did you mean 'tiny/demo'\?"):
        load_recipe("tiny/dmo.yaml")


def test_a_folder_is_not_a_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="a folder, not a recipe"):
        load_recipe(tmp_path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(RecipeError, match=r"mine.yaml: cannot be read"):
        load_recipe(tmp_path / "mine.yaml")


def test_shipped_recipes_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_recipe("recipes/tiny/demo.yaml") == load_recipe("tiny/demo")


def test_the_json_schema_documents_every_field_and_forbids_others() -> None:
    schema = recipe_json_schema()
    for section in [schema, *schema["$defs"].values()]:
        assert section["additionalProperties"] is False
        for name, field in section["properties"].items():
            # A description equal to the section's own is left out by pydantic; the reference leads to it.
            assert field.get("description") or "$ref" in field, f"{section['title']}.{name} has no docstring"


def test_a_shipped_model_stays_a_name_in_the_resolved_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a run goes on wherever the package lies by then, and its recipe holds no place of this machine."""
    (tmp_path / "small" / "vae").mkdir(parents=True)
    (tmp_path / "small" / "model_index.json").write_text("{}")
    monkeypatch.setattr(shipped, "MODELS", tmp_path)
    named = ["teacher.path=shipped:small", "vae.path=shipped:small/vae"]
    recipe = load_recipe("tiny/smoke", [*named, f"output={tmp_path / 'run'}"])
    assert (str(recipe.teacher.path), str(recipe.vae.path)) == ("shipped:small", "shipped:small/vae")
    assert missing_paths(recipe) == {}
    assert str(tmp_path / "small") not in dump_recipe(recipe)


def test_a_shipped_model_that_there_is_not_is_a_fault_of_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"teacher\.path: .*'shipped:nothing': no such model comes with fada"):
        load_recipe("tiny/smoke", ["teacher.path=shipped:nothing", f"output={tmp_path}"])
