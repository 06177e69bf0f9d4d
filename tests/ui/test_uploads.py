"""What is taken in, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fada.media.audio import write_wav
from fada.media.image import read_image, write_png
from fada.ui.uploads import Limits, UploadRefused, take_portrait, take_speech


def test_of_a_picture_only_the_pixels_stay(tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    upload = tmp_path / "portrait-1"
    Image.fromarray(pixels).save(upload, "BMP")
    taken = take_portrait(upload, "portrait-1")
    assert not upload.exists()
    assert (taken.width, taken.height) == (60, 40)
    assert (read_image(taken.file) == pixels).all()
    assert (read_image(taken.shown) == pixels[:, 10:50]).all()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["portrait-1-shown.png", "portrait-1.png"]


def test_a_large_picture_is_shown_small(tmp_path: Path) -> None:
    write_png(tmp_path / "p.png", np.zeros((900, 700, 3), np.uint8))
    taken = take_portrait((tmp_path / "p.png").rename(tmp_path / "p"), "p")
    assert read_image(taken.shown).shape == (384, 384, 3)
    assert read_image(taken.file).shape == (900, 700, 3)


@pytest.mark.parametrize("content", [b"%PDF-1.7", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused_and_removed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "upload").write_bytes(content)
    with pytest.raises(UploadRefused, match=r"^portrait: ") as refused:
        take_portrait(tmp_path / "upload", "portrait")
    assert str(tmp_path) not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_sound_is_decoded_to_its_end(tmp_path: Path) -> None:
    write_wav(tmp_path / "s", np.zeros(24000, np.float32))
    assert take_speech(tmp_path / "s", Limits()) == pytest.approx(1.5)
    assert (tmp_path / "s").is_file()


@pytest.mark.parametrize(
    ("samples", "said"),
    [(33000, "is longer than 2 s; cut it, or start fada ui with --most-seconds"), (600, "is shorter than a frame")],
)
def test_too_long_and_too_short_a_sound_is_refused_and_removed(tmp_path: Path, samples: int, said: str) -> None:
    write_wav(tmp_path / "s", np.zeros(samples, np.float32))
    with pytest.raises(UploadRefused, match=said):
        take_speech(tmp_path / "s", Limits(seconds=2.0))
    assert list(tmp_path.iterdir()) == []


def test_a_list_of_other_files_is_no_sound(tmp_path: Path) -> None:
    write_wav(tmp_path / "secret.wav", np.zeros(16000, np.float32))
    (tmp_path / "upload").write_text(f"#EXTM3U\n#EXTINF:1,\n{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n")
    with pytest.raises(UploadRefused, match=r"^sound: ") as refused:
        take_speech(tmp_path / "upload", Limits())
    assert str(tmp_path) not in str(refused.value)
    assert not (tmp_path / "upload").exists()
