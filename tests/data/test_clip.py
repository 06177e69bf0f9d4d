"""Clips as files: round trips, and what damaged ones say."""

from pathlib import Path

import numpy as np
import pytest

from fada.data.clips.clip import Clip, ClipError, list_clips, read_clip, write_clip


def small_clip(key: str = "person-1") -> Clip:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    audio = (0.1 * rng.standard_normal(5 * 640)).astype(np.float32)
    return Clip(key, frames, audio, meta={"quality": "A", "split": "train", "flaws": []})


def test_lossless_clip_comes_back_pixel_for_pixel(tmp_path: Path) -> None:
    clip = small_clip()
    write_clip(tmp_path, clip, quality="lossless")
    back = read_clip(tmp_path, clip.key)
    np.testing.assert_array_equal(back.frames, clip.frames)
    np.testing.assert_allclose(back.audio, clip.audio, atol=1 / 32768)
    assert (back.key, back.fps, back.sample_rate, back.meta) == (clip.key, 25.0, 16000, clip.meta)


def test_listing_is_sorted_and_leaves_out_unfinished_clips(tmp_path: Path) -> None:
    for key in ("b", "a", "c"):
        write_clip(tmp_path, small_clip(key))
    (tmp_path / "c.json").unlink()
    (tmp_path / "world.json").write_text("{}")
    # A link that leads nowhere is no video.
    (tmp_path / "d.json").write_text("{}")
    (tmp_path / "d.mp4").symlink_to("nowhere")
    assert list_clips(tmp_path) == ["a", "b"]


def test_listing_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="nowhere: no such folder"):
        list_clips(tmp_path / "nowhere")


def test_reading_an_unknown_key_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"other\.json: no such clip"):
        read_clip(tmp_path, "other")


@pytest.mark.parametrize("key", ["", "a.b", "../a", "a/b", "a b", "ä"])
def test_keys_that_cannot_name_files_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ClipError, match="use 1 to 200 of the characters"):
        write_clip(tmp_path, small_clip(key))


def test_damaged_json_is_named(tmp_path: Path) -> None:
    write_clip(tmp_path, small_clip())
    (tmp_path / "person-1.json").write_text('{"key": ')
    with pytest.raises(ClipError, match=r"person-1\.json: not readable as JSON"):
        read_clip(tmp_path, "person-1")


def test_json_of_something_else_names_what_is_missing(tmp_path: Path) -> None:
    write_clip(tmp_path, small_clip())
    (tmp_path / "person-1.json").write_text('{"key": "person-1", "fps": 25, "frames": 5}')
    with pytest.raises(ClipError, match="not a clip's record, meta, sample_rate missing"):
        read_clip(tmp_path, "person-1")


def test_video_of_another_length_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path, small_clip())
    file = tmp_path / "person-1.json"
    file.write_text(file.read_text().replace('"frames": 5', '"frames": 7'))
    with pytest.raises(ClipError, match="7 frames expected, got 5"):
        read_clip(tmp_path, "person-1")


def test_damaged_video_is_named(tmp_path: Path) -> None:
    write_clip(tmp_path, small_clip())
    (tmp_path / "person-1.mp4").write_bytes(b"not a video")
    with pytest.raises(ClipError, match=r"person-1\.mp4"):
        read_clip(tmp_path, "person-1")
