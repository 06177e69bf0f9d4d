"""Models for the page, and one video, without a server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fada.media.audio import write_wav
from fada.media.image import write_png
from fada.media.video import probe, read_video
from fada.ui.allowed_folders import AllowedFolders, NotAllowed
from fada.ui.listing import listing_of
from fada.ui.making import Asked, Cancelled, Job, Take
from fada.ui.videos import Studio, models_in


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_png(tmp_path / "p.png", np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8))
    write_wav(tmp_path / "s.wav", np.zeros(12800, np.float32))
    (tmp_path / "take").mkdir()
    asked = Asked("shipped:drawn", steps=1, scales={"audio": 1.0, "reference": 1.0}, seconds=0.6)
    return Job("me", tmp_path / "p.png", tmp_path / "s.wav", [Take(asked, tmp_path / "take")])


def test_a_take_is_written_growing_and_whole_with_what_it_took(tmp_path: Path, job: Job) -> None:
    (take,) = job.takes
    Studio(AllowedFolders([tmp_path]), device="cpu").make(job, take)
    assert take.frames == (15, 15)
    assert take.steps == (2, 2)
    assert [len(read_video(file, fps=None)) for file in (take.live, take.video)] == [15, 15]
    assert probe(take.video).has_audio
    assert {name: take.figures[name] for name in ("clips", "evaluationsOfAClip", "evaluations")} == {
        "clips": 2,
        "evaluationsOfAClip": 1,
        "evaluations": 2,
    }
    assert take.figures["noise"] == [12, 8, 8, 8]
    # Noise is no face that the model knows.
    assert "this portrait is unlike the faces" in take.warnings[0]


def test_a_cancelled_take_leaves_no_whole_video(tmp_path: Path, job: Job) -> None:
    (take,) = job.takes
    take.cancel.set()
    with pytest.raises(Cancelled):
        Studio(AllowedFolders([tmp_path]), device="cpu").make(job, take)
    assert not take.video.exists()


def test_a_model_elsewhere_is_not_opened(tmp_path: Path) -> None:
    studio = Studio(AllowedFolders([tmp_path]))
    for place in ("/etc", "../models", "1/model", "0/../model"):
        with pytest.raises(NotAllowed):
            studio.pipeline(place)


def test_the_page_is_told_scales_and_emotions_of_models_and_of_what_cannot_be_opened_why(tmp_path: Path) -> None:
    settings = {"is_student": True, "steps": 2, "size": 64, "audio_scale": 3.0}
    indices = {
        "good": {"_class_name": "FloatPipeline", **settings},
        "other": {"_class_name": "StableDiffusionPipeline"},
    }
    for name, content in indices.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "model_index.json").write_text(json.dumps(content))
    allowed = AllowedFolders([tmp_path])
    good, other, *shipped = models_in(listing_of(allowed), allowed)
    assert (good["place"], good["family"], good["steps"], good["isStudent"]) == ("0/good", "FLOAT", 2, True)
    assert good["scales"]["audio"] == 3.0
    assert list(good["scales"]) == ["audio", "emotion"]
    assert good["emotions"] == ["angry", "disgust", "fear", "happy", "sad", "surprise"]
    assert "fada opens" in other["fault"]
    assert str(tmp_path) not in other["fault"]
    assert [each["place"] for each in shipped] == ["shipped:drawn"]
    assert shipped[0]["emotions"] == []
