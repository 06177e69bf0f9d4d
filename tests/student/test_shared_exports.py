"""What an export of a foreign run gives away: the model, and nothing of this machine or past a link."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import pytest
import yaml

from fada.export.model_card import CardFacts, Origin, model_card, origin_of
from fada.export.run_export import Contents, ExportError, export_run
from fada.files.errors import FolderFault
from fada.generation.pipelines import open_pipeline
from fada.recipe.loading import dump_recipe, load_recipe
from fada.teacher.origins import write_import

FILES = {
    "full": {
        *("README.md", "model_index.json", "recipe.yaml", "report.md", "audio_encoder/config.json"),
        *("scheduler/scheduler_config.json",),
        *(
            f"{part}/{file}"
            for part in ("vae", "reference_unet", "denoising_unet", "audio_projection", "guidance_layers")
            for file in ("config.json", "diffusion_pytorch_model.safetensors")
        ),
    },
}


@pytest.fixture(scope="module")
def saved(student_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose models were loaded and saved again, which must not tell where they lay."""
    run = Path(shutil.copytree(student_run, tmp_path_factory.mktemp("saved") / "home" / "alice" / "run"))
    for name in ("teacher", "students/fast"):
        open_pipeline(run / name).save_pretrained(str(run / name))
    return run


@pytest.fixture
def run(saved: Path, tmp_path: Path) -> Path:
    """Its copy in a folder of its own, with a whole recipe and a report."""
    run = Path(shutil.copytree(saved, tmp_path / "home" / "alice" / "run"))
    recipe = load_recipe("tiny/smoke").model_dump(mode="json")
    recipe["data"] |= {
        "world": None,
        "train_shards": str(tmp_path / "home/alice/shards/train"),
        "test_shards": "s3://bucket/secret/test",
    }
    recipe["output"] = str(run)
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    (run / "report").mkdir()
    (run / "report" / "report.md").write_text(
        f"# Report\n\nmeasured in {run}/report on 3/4 of the clips, 25 frames/s, see `{run}/x.png` and https://a.org/b\n"
    )
    return run


@pytest.mark.parametrize("form", ["full", "delta", "lora"])
def test_an_export_says_nothing_of_this_machine_and_its_recipe_loads(
    run: Path, saved: Path, tmp_path: Path, form: str
) -> None:
    out = export_run(run, tmp_path / "model", contents=Contents(form, keep=0.0))  # type: ignore[arg-type]
    told = {file: file.read_text() for file in out.rglob("*") if file.suffix in (".json", ".md", ".yaml")}
    private = (str(tmp_path), str(saved), "alice", socket.gethostname(), "s3://", '"_name_or_path"')
    assert [(file.name, word) for file, text in told.items() for word in private if word in text] == []
    recipe = load_recipe(out / "recipe.yaml")
    assert (str(recipe.data.train_shards), str(recipe.data.test_shards), str(recipe.output)) == ("train", "test", "run")
    assert (
        "measured in report on 3/4 of the clips, 25 frames/s, see `x.png` and https://a.org/b"
        in told[out / "report.md"]
    )
    assert dump_recipe(recipe) == dump_recipe(load_recipe(out / "recipe.yaml"))


def test_only_the_files_of_a_model_are_exported(run: Path, tmp_path: Path) -> None:
    model = run / "students" / "fast"
    for name in ("notes.txt", ".env", "vae/optimizer.pt", "vae/evil.py", "vae/diffusion_pytorch_model.bin"):
        (model / name).write_text("secret")
    (model / "private").mkdir()
    (model / "private" / "key.safetensors").write_text("secret")
    out = export_run(run, tmp_path / "model")
    assert {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()} == FILES["full"]


@pytest.mark.parametrize("form", ["full", "delta"])
@pytest.mark.parametrize(
    "name",
    [
        *("students/fast/notes.txt", "students/fast/vae/config.json", "students/fast/denoising_unet"),
        *("recipe.yaml", "report/report.md", "report", "students/fast", "students"),
        "students/fast/audio_projection/diffusion_pytorch_model.safetensors",
    ],
)
def test_no_link_of_a_run_is_followed(run: Path, tmp_path: Path, name: str, form: str) -> None:
    secret = tmp_path / "secret"
    if name.endswith("notes.txt"):
        secret.write_text("mine")
    else:
        (run / name).rename(secret)
    (run / name).symlink_to(secret)
    with pytest.raises(ValueError, match=rf"{name.replace('.', '[.]')}: is a link"):
        export_run(run, tmp_path / "model", contents=Contents(form))  # type: ignore[arg-type]
    assert not (tmp_path / "model").exists()


def test_a_link_in_the_way_is_not_written_through(run: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "model").symlink_to(tmp_path / "theirs")
    with pytest.raises(ExportError, match="is not empty; give another folder with --out"):
        export_run(run, tmp_path / "model")
    assert os.listdir(tmp_path / "theirs") == []


@pytest.mark.parametrize("name", [".partial-model", ".whole-model"])
def test_folders_beside_the_export_are_left_alone(run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("mine")
    export_run(run, tmp_path / "model")
    assert (tmp_path / name / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("text", ["- 1", "a: [", "x: " + "[" * 5000, "a: !!python/object/apply:os.system [ls]"])
def test_a_recipe_that_is_none_is_not_exported(run: Path, tmp_path: Path, text: str) -> None:
    (run / "recipe.yaml").write_text(text)
    assert not (export_run(run, tmp_path / "model") / "recipe.yaml").exists()


def test_a_foreign_licence_and_recipe_stay_text_in_a_card() -> None:
    config = {"_class_name": "FadaPipeline", "steps": 6, "audio_scale": 6.5, "reference_scale": 2.0, "frames": 12,
              "fps": 25.0, "size": 512, "motion_frames": 2, "is_student": True}  # fmt: skip
    origin = Origin("mit</li>\n# <script>alert(1)</script>", "`x` | [a](javascript:b)")
    card = model_card(CardFacts('a"; import os; "`', config, True, origin=origin, recipe="a: |\n  ```\n  <script>\n"))
    assert "\n# \\<script" not in card
    assert "licence: mit\\</li\\> # \\<script\\>alert(1)\\</script\\>\n" in card
    assert "base model: \\`x\\` \\| \\[a\\](javascript:b)\n" in card
    assert "````yaml\na: |\n  ```\n  <script>\n````" in card
    assert 'from_pretrained("a\\"; import os; \\"`")' in card
    assert "--model 'a\"; import os; \"`' --image" in card


def test_what_a_foreign_card_says_is_short_plain_text(tmp_path: Path) -> None:
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\nlicense: *b\n"
    cards = {
        f"---\n{bomb}---\n": None,
        "---\nlicense: {a: 1}\n---\n": None,
        "---\nlicense: [" + "[" * 3000 + "\n---\n": None,
    }
    cards["---\nlicense: " + "x" * 5000 + "\n---\n"] = "x" * 98
    cards['---\nlicense: "mit\\e[2J"\n---\n'] = "mit\\x1b[2J"
    for text, wanted in cards.items():
        (tmp_path / "README.md").write_text(text)
        licence = origin_of([tmp_path]).licence
        assert licence is None if wanted is None else licence is not None and licence.startswith(wanted)
        assert len(licence or "") <= 200


def test_an_import_says_the_name_of_its_source_alone(tmp_path: Path) -> None:
    source = tmp_path / "home" / "alice" / "net.pth"
    source.parent.mkdir(parents=True)
    write_import(tmp_path, source, f"see {tmp_path}/home/alice/LICENSE", audio=str(source))
    told = json.loads((tmp_path / "import.json").read_text())
    assert told == {"source": "net.pth", "license": "see LICENSE", "audio": "net.pth"}


def test_a_link_is_named_by_its_kind(run: Path, tmp_path: Path) -> None:
    (run / "students" / "fast" / "notes.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(FolderFault, match=r"notes.txt: is a link, it may lead anywhere"):
        export_run(run, tmp_path / "model")
