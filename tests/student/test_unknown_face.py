"""Portraits that a model does not know: told as a warning, by whatever makes a video of them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from fada.export.delta import load_delta, write_delta
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.generation.pipelines import open_pipeline
from fada.generation.unknown_face import UnknownFace, strangeness
from fada.pretrained.errors import ModelFolderError
from fada.teacher.face_space import FaceSpace
from fada.teacher.vae import encode_frames

SOUND = np.zeros(3200, np.float32)


def grey(level: int) -> np.ndarray:
    return np.full((20, 20, 3), level, np.uint8)


@pytest.fixture
def pipeline(student_run: Path) -> AvatarPipeline:
    """A student that knows grey faces of a middle level: those around one point, of no directions worth speaking of."""
    built = open_pipeline(student_run / "students" / "fast")
    known = encode_frames(built.vae, np.stack([np.full((16, 16, 3), level, np.uint8) for level in range(120, 137)]))
    space = FaceSpace(tuple(known.shape[1:]), directions=1)
    space.mean.copy_(known.mean(dim=0).flatten())
    space.register_to_config(limit=2 * float(space.remainder(known).max()))
    built.register_modules(face_space=space)
    return built


def test_a_known_portrait_is_made_without_a_word(pipeline: AvatarPipeline) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(pipeline(grey(128), SOUND).frames) == 5
        assert len(next(pipeline.stream(grey(128), [SOUND]))) == 4


def test_of_another_it_is_said_beforehand_how_strange_it_is(pipeline: AvatarPipeline) -> None:
    found = strangeness(pipeline, grey(250))
    assert found is not None
    assert found > 1
    told = rf"unlike the faces that the model was trained on \({found:.1f} times as far from them .*docs/guides/prepare"
    with pytest.warns(UnknownFace, match=told):
        pipeline.in_chunks(grey(250), SOUND)
    with pytest.warns(UnknownFace, match=told):
        pipeline.stream(grey(250), [])


def test_a_model_that_does_not_say_what_it_knows_says_nothing(student_run: Path) -> None:
    built = open_pipeline(student_run / "students" / "fast")
    assert built.face_space is None
    assert strangeness(built, grey(250)) is None


def test_a_model_keeps_what_it_knows_when_it_is_saved_and_as_a_difference(
    pipeline: AvatarPipeline, student_run: Path, tmp_path: Path
) -> None:
    pipeline.save_pretrained(tmp_path / "student")
    teacher = open_pipeline(student_run / "teacher")
    teacher.register_modules(face_space=pipeline.face_space)
    teacher.save_pretrained(tmp_path / "teacher")
    expected = strangeness(pipeline, grey(200))
    assert strangeness(open_pipeline(tmp_path / "student"), grey(200)) == expected
    parts = write_delta(tmp_path / "student", tmp_path / "teacher", tmp_path / "delta")
    assert parts["face_space"].kind == "taken"
    assert strangeness(load_delta(tmp_path / "delta", tmp_path / "teacher"), grey(200)) == expected


def test_a_space_of_other_latents_does_not_belong_to_the_model(pipeline: AvatarPipeline, tmp_path: Path) -> None:
    pipeline.register_modules(face_space=FaceSpace((4, 4, 4), directions=1))
    pipeline.save_pretrained(tmp_path / "model")
    with pytest.raises(ModelFolderError, match=r"face_space's shape is \[4, 4, 4\], by the other parts \[4, 8, 8\]"):
        open_pipeline(tmp_path / "model")


def test_nothing_is_known_of_a_face_that_cannot_be_measured(pipeline: AvatarPipeline) -> None:
    pipeline.face_space.mean.fill_(torch.nan)
    with pytest.warns(UnknownFace):
        pipeline.in_chunks(grey(128), SOUND)
