"""Folders, differences and checkpoints of students that have their guidance layers inside their denoising net.

`earlier_folders.tar.xz` was written by the last version that saved them so; `expected.safetensors` in it are latents
that each of its students generated then, on one thread.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from fada.data.clips.face import FaceClues
from fada.engine.checkpoint_state import CheckpointMismatch, load_state
from fada.engine.optimizer import AveragingAdamW
from fada.engine.trained_state import WEIGHT, TrainedState
from fada.export.delta import load_delta
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.generation.pipelines import open_pipeline
from fada.student.copies import student_of
from fada.teacher.denoiser import AvatarDenoiser

MODES = ("tokens", "layer", "time_embed", "none")
FACE = FaceClues(torch.linspace(-1, 1, 512), torch.tensor([0.2, 0.2, 0.8, 0.9]), torch.tensor([0.4, 0.6, 0.6, 0.8]))
PORTRAIT = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
SOUND = np.random.default_rng(1).standard_normal(16000 // 25 * 6).astype(np.float32) * 0.1


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders, each whole; do not write into them."""
    place = tmp_path_factory.mktemp("earlier")
    with tarfile.open(Path(__file__).parent / "earlier_folders.tar.xz") as archive:
        archive.extractall(place, filter="data")
    family = place / "old" / "dual_unet"
    for mode in MODES[1:]:
        for part in ("vae", "reference_unet"):
            shutil.copytree(family / "tokens" / part, family / mode / part)
    return place / "old"


def assert_generates(built: AvatarPipeline, earlier: Path, name: str, face: FaceClues | None = None) -> None:
    found = built(PORTRAIT, SOUND, face=face, seed=3).latents
    torch.testing.assert_close(found, load_file(earlier / "expected.safetensors")[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_a_student_of_earlier_opens_and_generates_the_same(earlier: Path, mode: str) -> None:
    built = open_pipeline(earlier / "dual_unet" / mode)
    assert type(built.denoising_unet).__name__ == "DenoisingUNet"
    assert (built.guidance_layers is None) == (mode == "none")
    assert_generates(built, earlier, f"dual_unet.{mode}")


def test_a_hallo_student_of_earlier_opens_and_generates_the_same(earlier: Path) -> None:
    assert_generates(open_pipeline(earlier / "hallo" / "tokens"), earlier, "hallo.tokens", FACE)


def test_saved_again_it_has_a_folder_for_its_guidance_layers_and_is_the_same(earlier: Path, tmp_path: Path) -> None:
    open_pipeline(earlier / "dual_unet" / "layer").save_pretrained(str(tmp_path / "again"))
    config = json.loads((tmp_path / "again" / "denoising_unet" / "config.json").read_text())
    assert config["_class_name"] == "DenoisingUNet"
    assert (tmp_path / "again" / "guidance_layers" / "config.json").is_file()
    assert_generates(open_pipeline(tmp_path / "again"), earlier, "dual_unet.layer")


@pytest.mark.parametrize("form", ["delta", "lora"])
def test_a_difference_of_earlier_opens_on_its_teacher(earlier: Path, form: str) -> None:
    family = earlier / "dual_unet"
    built = load_delta(family / form, family / "teacher")
    assert built.model.is_guided
    if form == "delta":
        assert_generates(built, earlier, "dual_unet.tokens")


@pytest.mark.parametrize("mode", ["tokens", "layer", "time_embed"])
def test_a_checkpoint_of_earlier_finds_its_parameters(earlier: Path, tmp_path: Path, mode: str) -> None:
    family = earlier / "dual_unet"
    student = student_of(open_pipeline(family / "teacher").model, mode, 2)  # type: ignore[arg-type]
    student.requires_grad_(False)
    trained: tuple[nn.Module, ...] = (student.denoising_unet, student.guidance_layers)
    for network in trained:
        network.requires_grad_(True)
    saved = load_file(family / mode / "denoising_unet" / "diffusion_pytorch_model.safetensors")
    save_file(
        {f"{WEIGHT}:denoising_unet.{name}": value for name, value in saved.items()}, tmp_path / "state-0.safetensors"
    )
    load_state(tmp_path, state_of(student), (WEIGHT,))
    expected = open_pipeline(family / mode).model
    for mine, theirs in zip(trained, (expected.denoising_unet, expected.guidance_layers), strict=True):
        for name, value in theirs.state_dict().items():
            assert torch.equal(mine.state_dict()[name], value), name


def test_a_checkpoint_of_other_layers_is_still_refused(earlier: Path, tmp_path: Path) -> None:
    student = student_of(open_pipeline(earlier / "dual_unet" / "teacher").model, "layer", 2)
    save_file({f"{WEIGHT}:denoising_unet.scale_tokens.tokens": torch.ones(3)}, tmp_path / "state-0.safetensors")
    with pytest.raises(
        CheckpointMismatch, match=r"holds denoising_unet.scale_tokens.tokens, which this phase does not"
    ):
        load_state(tmp_path, state_of(student), (WEIGHT,))


def state_of(student: AvatarDenoiser) -> TrainedState:
    """Its trained weights, as the loop sees them."""
    return TrainedState(student, AveragingAdamW(student.parameters(), 1e-3, 0.0, 0.0))
