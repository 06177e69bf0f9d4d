"""Preparing real footage with the real models; skipped where they are missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fada.data.clips.clip import list_clips, read_clip
from fada.data.prepare import FaceFinder, ModelError, Reason, prepare_portrait, prepare_videos
from fada.media import MediaError
from fada.media.audio import read_audio
from fada.media.image import read_image
from fada.media.video import iterate_frames, write_video

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"
MODEL = SHARED / "weights" / "mediapipe" / "face_landmarker_v2_with_blendshapes.task"
DETECTOR = SHARED / "weights" / "mediapipe" / "blaze_face_short_range.tflite"
MEDIA = SHARED / "media"

pytestmark = pytest.mark.skipif(
    not (MODEL.is_file() and MEDIA.is_dir()), reason="needs the trial media and MediaPipe models in ../shared"
)


@pytest.fixture(scope="module")
def finder() -> Iterator[FaceFinder]:
    """The real models, loaded once."""
    with FaceFinder(MODEL, DETECTOR) as loaded:
        yield loaded


def test_a_grid_clip_is_prepared(tmp_path) -> None:
    video = MEDIA / "video" / "grid_A2_test_video.mp4"
    report = prepare_videos([video], tmp_path, face_landmarker_path=MODEL, size=64)
    (key,) = list_clips(tmp_path)
    clip = read_clip(tmp_path, key)
    assert clip.frames.shape == (75, 64, 64, 3)
    assert len(clip.audio) == 48000
    # Others estimated +1; not shifting it is as good, and a shift would leave a frame without sound.
    assert abs(report.clips[0].offset - 1) <= 1
    assert not report.clips[0].offset_corrected
    assert clip.meta["face"]["share_found"] == 1.0
    assert len(json.loads((tmp_path / "report.json").read_text())["models"][MODEL.name]) == 64


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("neg_noaudio_lp_d13.mp4", Reason.NO_AUDIO),
        ("neg_silent_lp_d18.mp4", Reason.SILENT_AUDIO),
        pytest.param("neg_music_lp_s18.mp4", Reason.NOT_SPEECH, marks=pytest.mark.slow),
        pytest.param("neg_headmotion_lp_d12.mp4", Reason.STRONG_HEAD_MOTION, marks=pytest.mark.slow),
    ],
)
def test_unsuitable_footage_is_rejected(tmp_path, name, reason) -> None:
    report = prepare_videos([MEDIA / "video" / name], tmp_path, face_landmarker_path=MODEL, size=64)
    assert not report.clips
    assert [item.reason for item in report.rejections] == [reason]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "offset"),
    [
        ("syncnet_example.avi", 3),
        ("syncnet_test_offset_5.avi", -2),
        ("syncnet_test_offset_12.avi", -9),
        ("hdtf_AOC_sadtalker.mp4", -3),
    ],
)
def test_published_offsets_are_found(tmp_path, name, offset) -> None:
    report = prepare_videos([MEDIA / "video" / name], tmp_path, face_landmarker_path=MODEL, size=64)
    assert {clip.offset for clip in report.clips} == {offset}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "offset"),
    [
        ("grid_A_bbaf2n.mpg", 0),
        ("grid_B_brbk7n.mpg", 0),
        ("grid_C_lbax4n.mpg", 0),
        ("grid_D_lbbc2a.mpg", 0),
        ("grid_E_sbia1a.mpg", 0),
        ("vr_face2.mp4", -1),
        ("vr_face3.mp4", -1),
        ("ls_demo1.mp4", 0),
        ("vfr_vr_face1.mp4", 0),
    ],
)
def test_offsets_that_others_estimated_are_found_within_a_frame(tmp_path, name, offset) -> None:
    report = prepare_videos([MEDIA / "video" / name], tmp_path, face_landmarker_path=MODEL, size=64)
    assert [abs(clip.offset - offset) <= 1 for clip in report.clips] == [True]
    assert report.clips[0].quality != "rejected"


def turned(pixels: np.ndarray, degrees: float, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    picture = Image.fromarray(pixels)
    return np.asarray(picture.rotate(degrees, resample=Image.Resampling.BILINEAR, translate=shift))


def test_a_head_that_sways_keeps_its_offset(tmp_path) -> None:
    source = MEDIA / "video" / "grid_B_brbk7n.mpg"
    frames = np.stack([
        turned(pixels, 12 * np.sin(index / 9), (18 * np.sin(index / 13), 12 * np.sin(index / 7)))
        for index, pixels in enumerate(iterate_frames(source, 25.0))
    ])  # fmt: skip
    sound = read_audio(source, 16000)
    write_video(tmp_path / "late.mp4", frames, audio=np.pad(sound, (4 * 640, 0))[: len(frames) * 640])
    (clip,) = prepare_videos([tmp_path / "late.mp4"], tmp_path / "c", face_landmarker_path=MODEL, size=64).clips
    assert abs(clip.offset + 4) <= 1
    assert clip.offset_corrected


def test_a_video_that_lies_on_its_side_makes_no_clip(tmp_path) -> None:
    source = MEDIA / "video" / "grid_B_brbk7n.mpg"
    frames = np.stack([np.rot90(pixels) for pixels in iterate_frames(source, 25.0)])
    write_video(tmp_path / "side.mp4", frames, audio=read_audio(source, 16000))
    report = prepare_videos([tmp_path / "side.mp4"], tmp_path / "c", face_landmarker_path=MODEL, size=64)
    assert not report.clips
    assert report.rejections[0].reason in (Reason.NO_FACE, Reason.TILTED_HEAD)


@pytest.mark.slow
def test_workers_make_the_same_clips(tmp_path) -> None:
    pair = [MEDIA / "video" / name for name in ("grid_A2_test_video.mp4", "grid_B_brbk7n.mpg")]
    alone = prepare_videos(pair, tmp_path / "1", face_landmarker_path=MODEL, size=64)
    together = prepare_videos(pair, tmp_path / "2", face_landmarker_path=MODEL, size=64, workers=2)
    assert alone.clips == together.clips
    for clip in alone.clips:
        first, second = (
            {file.name: file.read_bytes() for file in (tmp_path / each).rglob(f"{clip.key}.*")} for each in "12"
        )
        assert first.keys() >= {f"{clip.key}.{ending}" for ending in ("wav", "json", "landmarks.safetensors")}
        assert first == second


@pytest.mark.parametrize("name", ["astronaut.png", "liveportrait_s9_monalisa.jpg", "sadtalker_full_body_1.png"])
def test_portraits_are_cut_around_the_head(name, finder) -> None:
    portrait = prepare_portrait(MEDIA / "portrait" / name, finder, 128)
    (face,) = finder.find(portrait)
    assert 0.45 < face.height / 128 < 0.75
    assert np.abs((face.box[:2] + face.box[2:]) / 256 - 0.5).max() < 0.15


def test_a_small_face_in_a_large_picture_is_found(finder) -> None:
    small = read_image(MEDIA / "portrait" / "astronaut.png")
    wide = np.full((1600, 1600, 3), 90, np.uint8)
    wide[900:1412, 1000:1512] = small
    assert not finder.find(wide)
    assert prepare_portrait(wide, finder, 96).shape == (96, 96, 3)


def test_a_dog_is_no_face(finder) -> None:
    with pytest.raises(MediaError, match=r"dog.*: no face found"):
        prepare_portrait(MEDIA / "portrait" / "neg_noface_dog_s25.jpg", finder, 64)


def test_two_people_are_refused(finder) -> None:
    one = read_image(MEDIA / "portrait" / "anitalker_aiface3.png")
    with pytest.raises(MediaError, match="2 faces of similar size"):
        prepare_portrait(np.concatenate([one, one], axis=1), finder, 64)


def test_another_file_is_no_model(tmp_path) -> None:
    (tmp_path / "bad.task").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="not a face landmarker; get face_landmarker"):
        FaceFinder(tmp_path / "bad.task")
