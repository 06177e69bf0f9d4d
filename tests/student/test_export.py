"""From a run to a folder: the card, what it says of the origin, and what a fresh process makes of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from fada.export.delta import load_delta
from fada.export.model_card import UNKNOWN_LICENCE, CardFacts, Origin, evaluations, model_card, origin_of
from fada.export.run_export import Contents, ExportError, export_run
from fada.export.run_models import teacher_of
from fada.family import Family
from fada.files.manifest import hash_file, list_files
from fada.generation.pipelines import open_pipeline

CONFIG = {
    "_class_name": "FadaPipeline", "steps": 6, "audio_scale": 6.5, "reference_scale": 2.0, "frames": 12, "fps": 25.0,
    "size": 512, "motion_frames": 2, "is_student": True,
}  # fmt: skip


def front_matter(card: str) -> dict[str, Any]:
    match = re.match(r"---\n(.*?)\n---\n# ", card, re.DOTALL)
    assert match is not None
    return yaml.safe_load(match[1])


@pytest.fixture
def run(student_run: Path, tmp_path: Path) -> Path:
    """The run in a folder of its own."""
    return Path(shutil.copytree(student_run, tmp_path / "run"))


def test_a_fresh_process_loads_the_exported_folder(student_run: Path, tmp_path: Path) -> None:
    out = export_run(student_run, tmp_path / "model")
    code = (
        "import sys, numpy; from fada.generation.pipelines import FadaPipeline\n"
        "pipeline = FadaPipeline.from_pretrained(sys.argv[1])\n"
        "made = pipeline(numpy.zeros((9, 9, 3), 'uint8'), numpy.zeros(3200, 'float32'))\n"
        "print(made.frames.shape, made.nfe)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(out)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(5, 16, 16, 3) 4", done.stderr
    assert {path.name for path in out.iterdir()} >= {"README.md", "recipe.yaml", "model_index.json"}


def test_a_card_says_what_it_is_what_it_needs_and_how_it_was_made(student_run: Path, tmp_path: Path) -> None:
    origin = Origin("Apache-2.0", "someone/portraits")
    out = export_run(student_run, tmp_path / "model", origin=origin, figures="| figure | N |")
    card = (out / "README.md").read_text()
    assert front_matter(card) == {
        "library_name": "diffusers", "pipeline_tag": "image-to-video", "license": "apache-2.0",
        "base_model": "someone/portraits",
        "base_model_relation": "finetune", "tags": ["talking-head", "audio-driven", "fada", "distillation"],
    }  # fmt: skip
    recipe = (student_run / "recipe.yaml").read_text().strip()
    parts = ["evaluations of the denoising net per clip: 4\n", "fada, 0.1.0 or newer", "| figure | N |",
             'FadaPipeline.from_pretrained("model")', f"```yaml\n{recipe}\n```", "licence: Apache-2.0"]  # fmt: skip
    assert [part for part in parts if part not in card] == []
    assert str(tmp_path) not in card


def test_python_in_a_card_is_python() -> None:
    for facts in (CardFacts("a", CONFIG, True), CardFacts("a", CONFIG, True, needs_face=True, form="delta")):
        match = re.search(r"```python\n(.*?)```", model_card(facts), re.DOTALL)
        assert match is not None
        imports = [line for line in match[1].splitlines() if line.startswith("from ")]
        exec("\n".join(imports), {})
        compile(match[1], "card", "exec")


def test_an_unknown_licence_is_said_to_be_unknown() -> None:
    card = model_card(CardFacts("a", CONFIG, is_guided=True))
    assert f"licence: {UNKNOWN_LICENCE}" in card
    assert set(front_matter(card)) == {"library_name", "pipeline_tag", "tags"}


def test_a_licence_without_a_short_name_and_a_model_without_a_hub_s_name_stay_texts() -> None:
    text = "Research only: no 'commercial' use"
    card = model_card(CardFacts("a", CONFIG, is_guided=True, origin=Origin(text, "v1-5.safetensors")))
    front = front_matter(card)
    assert (front["license"], front["license_name"]) == ("other", text)
    assert "base_model" not in front
    assert "- base model: v1-5.safetensors\n" in card


@pytest.mark.parametrize(
    ("guided", "scales", "expected"),
    [(True, (2.0, 6.5), 6), (False, (2.0, 6.5), 18), (False, (1.0, 1.0), 6), (False, (3.5, 3.5), 12)],
)
def test_evaluations_count_the_branches_that_the_scales_need(guided: bool, scales: tuple, expected: int) -> None:
    config = {**CONFIG, "reference_scale": scales[0], "audio_scale": scales[1]}
    assert evaluations(config, guided) == expected
    assert evaluations({**config, "guidance": "none"}, guided) == 6


def test_a_card_names_all_scales_in_the_order_of_the_familys_branches(dancer: Family) -> None:
    assert "- steps: 6, reference scale 2, audio scale 6.5\n" in model_card(CardFacts("a", CONFIG, is_guided=True))
    own = {"_class_name": "DancerPipeline", "mood_scale": 4.0, "tempo_scale": 4.0}
    config = {**{name: value for name, value in CONFIG.items() if not name.endswith("_scale")}, **own}
    assert "- steps: 6, tempo scale 4, mood scale 4\n" in model_card(CardFacts("a", config, is_guided=True))
    assert evaluations(config, is_guided=False) == 12


def test_the_origin_is_the_first_that_a_card_or_an_import_tells(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in "abc")
    for folder in (first, second, third):
        folder.mkdir()
    (first / "README.md").write_text("no front matter")
    (second / "README.md").write_text("---\nlicense: other\nlicense_name: their-licence\nbase_model: [x/y, z/w]\n---\n")
    (third / "import.json").write_text(json.dumps({"source": "sd15", "license": "mit"}))
    assert origin_of([first, tmp_path / "none"]) == Origin(None, None)
    assert origin_of([third, second]) == Origin("mit", "sd15")
    assert origin_of([first, second, third]) == Origin("their-licence", "x/y")


def test_licence_and_base_model_come_from_the_teacher_s_folder_or_from_where_it_began(
    run: Path, tmp_path: Path
) -> None:
    begun = tmp_path / "sd15"
    begun.mkdir()
    (begun / "import.json").write_text(json.dumps({"source": "v1-5.safetensors", "license": "openrail"}))
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe["teacher"]["init"] = str(begun)
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (run / "teacher" / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    card = (export_run(run, tmp_path / "model") / "README.md").read_text()
    assert front_matter(card)["license"] == "cc-by-4.0"
    assert "base model: v1-5.safetensors" in card
    card = (export_run(run, tmp_path / "named", origin=Origin(licence="mit")) / "README.md").read_text()
    assert front_matter(card)["license"] == "mit"


@pytest.mark.parametrize(
    ("contents", "said"),
    [(Contents("delta"), "| denoising_unet | its difference | "), (Contents("lora", rank=12), "Factors of rank 12; ")],
)
def test_the_card_of_a_difference_names_its_teacher_and_lists_its_parts(
    student_run: Path, tmp_path: Path, contents: Contents, said: str
) -> None:
    out = export_run(student_run, tmp_path / "model", contents=contents, origin=Origin(base_model="x/y"))
    card, told = (out / "README.md").read_text(), json.loads((out / "delta.json").read_text())
    assert front_matter(card)["base_model_relation"] == "adapter"
    assert f"needs the teacher with fingerprint {told['teacher']['fingerprint']}, which is not in this folder" in card
    assert 'load_delta("model", "TEACHER")' in card
    assert "| vae | no, the teacher's own | 0 | 0 | 0.0 |" in card
    assert said in card
    assert load_delta(out, student_run / "teacher").config.steps == 4


def test_a_run_whose_recipe_names_its_teacher_needs_no_option(run: Path, tmp_path: Path) -> None:
    elsewhere = shutil.move(run / "teacher", tmp_path / "elsewhere")
    assert teacher_of(run) is None
    with pytest.raises(ExportError, match="has no teacher to form a difference against; name its folder with"):
        export_run(run, tmp_path / "model", contents=Contents("delta"))
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe["teacher"]["path"] = str(elsewhere)
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert teacher_of(run) == Path(elsewhere)
    assert (export_run(run, tmp_path / "model", contents=Contents("delta")) / "delta.json").is_file()


def test_a_teacher_s_run_stands_for_its_teacher_and_anything_else_is_refused(student_run: Path, tmp_path: Path) -> None:
    out = export_run(student_run, tmp_path / "model", contents=Contents("delta"), teacher=student_run)
    assert (out / "delta.json").is_file()
    with pytest.raises(ExportError, match=r"nothing: no teacher here \(no model_index.json\); give its folder"):
        export_run(student_run, tmp_path / "more", contents=Contents("delta"), teacher=tmp_path / "nothing")


def test_a_student_that_is_not_finished_can_be_a_difference_too(student_run: Path, tmp_path: Path) -> None:
    built = open_pipeline(student_run / "students" / "fast")
    out = export_run(student_run, tmp_path / "model", "fast", built, contents=Contents("delta"))
    again = load_delta(out, student_run / "teacher").denoising_unet.state_dict()
    assert all(torch.equal(value, again[key]) for key, value in built.denoising_unet.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_export_that_fails_leaves_nothing_behind(student_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rank 1 keeps"):
        export_run(student_run, tmp_path / "model", contents=Contents("lora", rank=1))
    assert list(tmp_path.iterdir()) == []


def test_a_whole_model_in_half_precision_is_rounded_and_opens_as_float32(student_run: Path, tmp_path: Path) -> None:
    out = export_run(student_run, tmp_path / "model", contents=Contents("full", "bf16"))
    given, made = (open_pipeline(each) for each in (student_run / "students" / "fast", out))
    for part in ("denoising_unet", "reference_unet", "audio_projection", "vae"):
        expected = getattr(given, part).state_dict()
        stored = load_file(out / part / "diffusion_pytorch_model.safetensors")
        assert {value.dtype for value in stored.values()} == {torch.bfloat16}
        for name, value in getattr(made, part).state_dict().items():
            assert value.dtype == torch.float32
            assert torch.equal(value, expected[name].bfloat16().float())
    size, whole = (sum(file.stat().st_size for file in each.rglob("*.safetensors"))
                   for each in (out, student_run / "students" / "fast"))  # fmt: skip
    assert size < 0.6 * whole


def test_a_card_lists_every_file_with_its_size_and_hash(student_run: Path, tmp_path: Path) -> None:
    for contents in (Contents(), Contents("delta")):
        out = export_run(student_run, tmp_path / contents.form, contents=contents)
        rows = re.findall(r"^\| (\S+) \| (\d+) \| `([0-9a-f]{64})` \|$", (out / "README.md").read_text(), re.MULTILINE)
        expected = {name: hash_file(out / name) for name in list_files(out) if name != "README.md"}
        assert {name.replace("\\", ""): digest for name, _, digest in rows} == expected
        assert all(int(size) == (out / name.replace("\\", "")).stat().st_size for name, size, _ in rows)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"command": "fada distill small.yaml"}, True),
        ({"command": "fada distill `rm -rf`"}, False),
        ({"command": 7}, False),
        (None, False),
    ],
)
def test_a_card_says_which_command_made_the_run(run: Path, tmp_path: Path, told: Any, said: bool) -> None:
    (run / "environment.json").write_text("no JSON" if told is None else json.dumps(told))
    card = (export_run(run, tmp_path / "model") / "README.md").read_text()
    assert ("This one was made by `fada distill small.yaml`." in card) is said
    assert ("This one was made by" in card) is said


def test_parts_in_half_precision_of_the_same_values_are_the_teacher_s(student_run: Path, tmp_path: Path) -> None:
    """A student of a teacher that was rounded has its parts in float32: equal once both are opened."""
    shutil.copytree(student_run, tmp_path / "run")
    half = export_run(student_run, tmp_path / "half", "teacher", contents=Contents("full", "bf16"))
    for part in ("vae", "reference_unet"):
        opened = getattr(open_pipeline(half), part)
        opened.save_pretrained(str(tmp_path / "run" / "students" / "fast" / part))
    out = export_run(tmp_path / "run", tmp_path / "model", contents=Contents("delta"), teacher=half)
    told = json.loads((out / "delta.json").read_text())["parts"]
    assert [told[part]["kind"] for part in ("vae", "reference_unet")] == ["taken", "taken"]
    student = open_pipeline(tmp_path / "run" / "students" / "fast")
    again = load_delta(out, half)
    for part in ("vae", "reference_unet", "denoising_unet"):
        expected = getattr(student, part).state_dict()
        found = getattr(again, part).state_dict()
        assert all(torch.equal(found[name], value) for name, value in expected.items())
