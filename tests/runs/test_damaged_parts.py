"""Parts of a run that a crash or a copy has damaged: put aside by name, made anew, and equal to what they were."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from fada import jobs
from fada.data.sampling.dataset import hash_clips
from fada.engine.tensor_files import save_tensors
from fada.export.opening import find_model, model_fault
from fada.files.folders import kind_of
from fada.run.data import prepare_data
from fada.run.parts import load_stage

QUIET = Console(quiet=True)


def cut(file: Path) -> None:
    """The file loses its end."""
    file.write_bytes(file.read_bytes()[:-7])


def flip(file: Path) -> None:
    """A bit at the file's end changes."""
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def said_while(work: Callable[[Console], object]) -> str:
    """What is said on the console, as one line."""
    text = io.StringIO()
    work(Console(file=text, width=10_000))
    return text.getvalue()


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A finished run in a folder of its own."""
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def test_everything_damaged_is_put_aside_and_made_anew_bit_for_bit(tiny, same_as_unbroken, run: Path) -> None:
    (run / "students/fast/denoising_unet/diffusion_pytorch_model.safetensors").write_bytes(b"")
    (run / "students/balanced/model_index.json").write_text("")
    flip(run / "teacher/reference_unet/diffusion_pytorch_model.safetensors")
    cut(run / "stages/1-images.safetensors")
    flip(run / "stages/2-clips.safetensors")
    cut(run / "vae/diffusion_pytorch_model.safetensors")
    flip(next(run.glob("data/train/*.tar")))
    (run / "data/clips/world.json").write_text('{"seed": 0')
    (run / "data/clips/train-s0-000000.json").write_text("")
    video = run / "data/clips/train-s0-000001.mp4"
    video.write_bytes(video.read_bytes()[:200])
    flip(run / "work/balanced/targets/ends-000000.safetensors")
    flip(next(run.glob("work/fast/checkpoints/step-00000003/*.safetensors")))
    # Else the finished checkpoint of balanced asks for no targets.
    shutil.rmtree(run / "work/balanced/checkpoints")
    said = said_while(lambda console: jobs.distill(tiny(run), console))
    same_as_unbroken(run)
    wanted = [
        "students/fast: denoising_unet/diffusion_pytorch_model.safetensors has 0 bytes, ",
        "students/balanced: model_index.json has 0 bytes, ",
        "teacher: reference_unet/diffusion_pytorch_model.safetensors is damaged (its SHA-256 differs",
        "stages/1-images.safetensors: cannot be read as safetensors (",
        "stages/2-clips.safetensors: is damaged (the SHA-256 of its tensors differs",
        "vae: diffusion_pytorch_model.safetensors has ",
        "data/train: shard-",
        "data/clips/world.json: cannot be read as JSON; it is made anew, it now lies in world.json.aside-1",
        "data/clips/train-s0-000001.mp4: cannot be used (",
        "it is made anew, it now lies in fast.aside-1",
    ]
    assert [each for each in wanted if each not in said] == []
    assert {"fast", "balanced", "fast.aside-1", "balanced.aside-1"} == {each.name for each in run.glob("students/*")}
    # What is aside is nobody's student.
    assert find_model(run) == run / "students" / "fast"


def test_cached_targets_are_known_by_the_clips_that_they_are_of(tiny, run: Path) -> None:
    data = prepare_data(tiny(run), run, QUIET)
    told = json.loads((run / "work/balanced/targets/index.json").read_text())
    assert told["clips"] == hash_clips(data.train) == data.train_hash


def test_parts_without_manifests_as_earlier_versions_wrote_them_are_taken(tiny, run: Path) -> None:
    for manifest in [*run.glob("vae/manifest.json"), *run.glob("teacher/manifest.json"), *run.glob("students/*/man*")]:
        manifest.unlink()
    (run / ".fada.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}
    said = said_while(lambda console: jobs.distill(tiny(run), console))
    assert [f"{name} is there" in said for name in ("teacher", "balanced", "fast")] == [True] * 3
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")} == before
    assert kind_of(run) == "run"


def test_a_model_without_a_manifest_is_judged_by_the_headers_of_its_weights(run: Path) -> None:
    model = run / "students" / "fast"
    (model / "manifest.json").unlink()
    assert model_fault(model) is None
    cut(model / "denoising_unet" / "diffusion_pytorch_model.safetensors")
    assert (model_fault(model) or "").startswith("diffusion_pytorch_model.safetensors cannot be read as safetensors (")
    (model / "model_index.json").unlink()
    assert model_fault(model) == "incomplete, it has no model_index.json"


@pytest.mark.parametrize("student", [None, "fast", "teacher"])
def test_a_damaged_model_is_not_opened_and_the_error_says_what_to_do(run: Path, student: str | None) -> None:
    (run / "students/fast/denoising_unet/diffusion_pytorch_model.safetensors").write_bytes(b"")
    (run / "teacher/denoising_unet/diffusion_pytorch_model.safetensors").write_bytes(b"{")
    with pytest.raises(
        ValueError, match=r"cannot be read as safetensors \(.*\); it is damaged: fetch it again, or rep"
    ):
        find_model(run, student)


def test_a_stage_of_another_network_is_put_aside(tmp_path: Path) -> None:
    file = tmp_path / "1-images.safetensors"
    save_tensors({"weight": torch.zeros(2)}, file)
    said = said_while(lambda console: load_stage(file, torch.nn.Linear(1, 1), console))
    assert said.strip() == (
        f"{file}: holds other weights than those of the recipe's teacher; it is made anew, "
        "it now lies in 1-images.safetensors.aside-1"
    )
    model = torch.nn.Linear(1, 1)
    assert not load_stage(file, model, QUIET)
    save_tensors({"weight": torch.full((1, 1), 2.0), "bias": torch.full((1,), 3.0)}, file)
    assert load_stage(file, model, QUIET)
    assert model.weight.item() == 2.0


def test_a_damaged_vae_that_the_recipe_names_is_an_error_and_stays(tiny, run: Path, tmp_path: Path) -> None:
    cut(run / "vae/diffusion_pytorch_model.safetensors")
    with pytest.raises(
        ValueError, match=r"vae: diffusion_pytorch_model.safetensors cannot be read .* it is damaged, fet"
    ):
        jobs.distill(tiny(tmp_path / "other", f"vae.path={run / 'vae'}"), QUIET)
    assert (run / "vae").is_dir()


def test_an_export_of_an_unfinished_student_changes_nothing_in_the_run(run: Path) -> None:
    shutil.rmtree(run / "students" / "fast")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    built = jobs.from_checkpoint(run, "fast", None, QUIET)
    assert built.config.steps == 6
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    shutil.rmtree(run / "vae")
    with pytest.raises(ValueError, match="vae: the run's VAE is missing; repeat the command that trains the run"):
        jobs.from_checkpoint(run, "fast", None, QUIET)
    shutil.rmtree(run / "teacher")
    with pytest.raises(ValueError, match=r"is missing|no model"):
        jobs.from_checkpoint(run, "fast", None, QUIET)
    assert not (run / "teacher").exists()
