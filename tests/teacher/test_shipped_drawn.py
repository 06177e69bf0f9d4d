"""The drawn world's teacher that comes with the package: small, as its card says, and able to speak."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from fada.assembly.models import open_teacher
from fada.data.world import make_clip, measure_aperture
from fada.eval.bench.measure import heard_aperture, measured_aperture
from fada.eval.metrics import mouth
from fada.export.opening import find_teacher
from fada.files.manifest import describe, list_files
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.generation.pipelines import open_pipeline
from fada.generation.unknown_face import UnknownFace, strangeness
from fada.pretrained.shipped import located, shipped_models
from fada.recipe import load_recipe

MEGABYTES = 30
SECTIONS = ("clip", "audio", "vae", "noise")
UNSEEN = 4321
"""A seed of the drawn world that nothing was trained on."""


@pytest.fixture(scope="module")
def folder() -> Path:
    return shipped_models()["drawn"]


@pytest.fixture(scope="module")
def card(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def teacher(folder: Path) -> AvatarPipeline:
    return open_pipeline(folder)


def test_every_file_is_the_one_that_the_card_lists(folder: Path, card: str) -> None:
    rows = re.findall(r"^\| ([\w./-]+) \| (\d+) \| `([0-9a-f]{64})` \|$", card, re.MULTILINE)
    listed = {name: {"bytes": int(size), "sha256": digest} for name, size, digest in rows}
    assert listed == {name: describe(folder / name) for name in list_files(folder) if name != "README.md"}


def test_it_is_small(folder: Path) -> None:
    assert sum((folder / name).stat().st_size for name in list_files(folder)) <= MEGABYTES * 10**6


def test_its_weights_are_in_half_precision_and_open_as_float32(folder: Path, teacher: AvatarPipeline) -> None:
    for part in ("vae", "reference_unet", "denoising_unet", "audio_projection", "face_space"):
        stored = load_file(folder / part / "diffusion_pytorch_model.safetensors")
        assert {value.dtype for value in stored.values()} == {torch.bfloat16}
        opened = getattr(teacher, part).state_dict()
        assert opened.keys() == stored.keys()
        assert all(torch.equal(opened[name], value.float()) for name, value in stored.items())
        assert {value.dtype for value in opened.values()} == {torch.float32}


def test_the_card_says_how_it_was_made_and_under_which_licence(card: str) -> None:
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "apache-2.0"
    assert "`fada teacher train recipe.yaml` makes it again." in card


def test_the_card_says_how_good_it_is_and_what_measured_that(card: str) -> None:
    assert "Measured by `fada bench`" in card
    assert "| mouth-audio r, drawn world" in card


def test_it_was_trained_by_the_shipped_recipe(folder: Path) -> None:
    resolved = load_recipe(folder / "recipe.yaml").model_dump(mode="json")
    shipped = load_recipe("tiny/teacher").model_dump(mode="json")
    assert {name: resolved[name] for name in SECTIONS} == {name: shipped[name] for name in SECTIONS}
    for name in ("network", "stages"):
        assert resolved["teacher"][name] == shipped["teacher"][name]
    assert resolved["data"]["world"] == shipped["data"]["world"]


def test_the_demo_distils_it(folder: Path) -> None:
    recipe = load_recipe("tiny/demo")
    assert recipe.teacher.path is not None
    assert find_teacher(recipe.teacher.path) == folder
    open_teacher(recipe, find_teacher(recipe.teacher.path))
    assert located(recipe.vae.path or Path()) == folder / "vae"


def test_it_comes_with_the_package(folder: Path, project_root: Path) -> None:
    import tomllib

    listed = tomllib.loads((project_root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {path for pattern in listed["fada.teacher"] for path in (project_root / "teacher").glob(pattern)}
    assert {path for path in packed if path.is_file()} == {folder / name for name in list_files(folder)}


def test_a_mouth_that_it_makes_moves_with_the_sound(teacher: AvatarPipeline) -> None:
    clip = make_clip(UNSEEN, 0, frames=36, split="test", version=2)
    made = teacher(clip.frames[0], clip.audio, steps=8, audio_scale=2.0, reference_scale=1.5, seed=1)
    truth = clip.meta["truth"]
    opened = measured_aperture(made.frames, truth, measure_aperture)
    assert mouth.correlation(opened, heard_aperture(truth), mouth.STILL_PIXELS) > 0.8
    # The face is the portrait's, not a smear of all: every other's first frame is farther away.
    others = [make_clip(UNSEEN, index, frames=1, split="test", version=2).frames[0] for index in range(1, 9)]
    face = made.frames.mean(axis=0)
    distances = [float(np.abs(face - each).mean()) for each in (clip.frames[0], *others)]
    assert int(np.argmin(distances)) == 0


def test_it_knows_drawn_portraits_of_worlds_that_it_has_not_seen(teacher: AvatarPipeline) -> None:
    """Sixty faces, of two seeds: none is taken for another kind."""
    faces = [
        make_clip(seed, index, frames=1, size=size, split="test", version=2).frames[0]
        for seed, size in ((UNSEEN, 64), (UNSEEN + 1, 96))
        for index in range(30)
    ]
    found = [strangeness(teacher, face) or 0.0 for face in faces]
    assert max(found) < 1, sorted(found)[-5:]


def test_it_does_not_know_a_photograph_and_says_so(teacher: AvatarPipeline) -> None:
    skimage_data = pytest.importorskip("skimage.data")
    astronaut = skimage_data.astronaut()
    for photograph in (astronaut, astronaut[20:260, 120:360], skimage_data.cat()):
        assert (strangeness(teacher, photograph) or 0.0) > 1
    with pytest.warns(UnknownFace, match="this portrait is unlike the faces that the model was trained on"):
        teacher.in_chunks(astronaut[20:260, 120:360], np.zeros(1600, np.float32))
    with pytest.warns(UnknownFace):
        teacher.stream(astronaut[20:260, 120:360], [np.zeros(1600, np.float32)])


def test_a_picture_with_the_statistics_of_nature_is_no_drawn_face(teacher: AvatarPipeline) -> None:
    """Amplitudes that fall as one over the frequency, as those of photographs do."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None])
    amplitude = 1 / np.maximum(frequency, 1 / 64)
    for _ in range(5):
        spectrum = np.fft.fft2(rng.standard_normal((64, 64, 3)), axes=(0, 1)) * amplitude[..., None]
        picture = np.fft.ifft2(spectrum, axes=(0, 1)).real
        picture = 128 + 50 * (picture - picture.mean()) / picture.std()
        assert (strangeness(teacher, picture.clip(0, 255).astype(np.uint8)) or 0.0) > 1
