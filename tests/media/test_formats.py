"""Files that name other files, and names that FFmpeg would not take for files: only the file itself is ever read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fada
from fada.data.shards.format import decode_video
from fada.media import MediaError
from fada.media.audio import read_audio, write_wav
from fada.media.cutting import PixelBox, cut_video, read_label
from fada.media.formats import READ_FORMATS, InputFile, open_input
from fada.media.video import probe, read_video, write_video

# What FFmpeg calls it, and what it looks like.
LISTS = {
    "concat": "ffconcat version 1.0\nfile secret.mp4\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5000 RTP/AVP 96\n",
}


@pytest.fixture
def folder(tmp_path: Path, greys, tone) -> Path:
    """One video that nobody may see."""
    write_video(tmp_path / "secret.mp4", greys([200] * 10), audio=tone(0.4, 16000)[0])
    return tmp_path


@pytest.mark.parametrize("found", LISTS)
@pytest.mark.parametrize("name", ["x.mp4", "x.wav", "x.m3u8", "x.ffconcat", "x.sdp"])
def test_a_list_of_other_files_is_refused_by_its_format(folder, monkeypatch, found, name) -> None:
    monkeypatch.chdir(folder)
    Path(name).write_text(LISTS[found])
    refusal = rf"is {found}, not a video or sound format that is read \(.*matroska, .*mov, .*\); convert it first"
    for source in (name, folder / name, LISTS[found].encode()):
        for read in (probe, read_video, read_audio):
            with pytest.raises(MediaError, match=refusal):
                read(source)
    with pytest.raises(MediaError, match=refusal):
        cut_video(name, "cut.mp4", 0.0, 0.2, PixelBox(0, 0, 32, 32))
    with pytest.raises(MediaError, match=refusal):
        decode_video(LISTS[found].encode())
    assert read_label(name) is None


@pytest.mark.parametrize("text", ["<MPD><BaseURL>secret.mp4</BaseURL></MPD>", "[InternetShortcut]\nURL=secret.mp4\n"])
def test_other_texts_that_name_files_are_no_media(folder, text) -> None:
    (folder / "x.mpd").write_text(text)
    with pytest.raises(MediaError, match=r"cannot be opened as video or audio|not a video or sound format"):
        probe(folder / "x.mpd")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM"])
def test_pictures_are_refused_by_name(tmp_path, kind) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "x.mp4", kind)
    with pytest.raises(MediaError, match=r"is \w+_pipe, not a video"):
        probe(tmp_path / "x.mp4")


@pytest.mark.parametrize(
    "name",
    [
        "10:30.mp4", "file:x.mp4", "http:x.mp4", "data:x.mp4", "subfile,,start,0,end,9,,:secret.mp4", "concat:a|b.mp4",
        "%03d.mp4", "pipe:0.mp4", "-.mp4", "a*?[b].mp4", "crypto+file:x.mp4", "x.mp4|y.mp4",
    ],
)  # fmt: skip
def test_any_name_is_only_a_name(folder, monkeypatch, greys, tone, name) -> None:
    monkeypatch.chdir(folder)
    write_video(name, greys([60] * 5), audio=0.5 * tone(0.2, 16000)[0])
    assert read_video(name).mean() == pytest.approx(60, abs=2)
    assert len(read_audio(name)) >= 3200
    cut_video(name, f"cut {name}", 0.0, 0.2, PixelBox(0, 0, 32, 32), label=name)
    assert read_label(f"cut {name}") == name
    assert probe(f"cut {name}").frame_count == 5


def test_sound_may_have_a_colon_in_its_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_wav("10:30.wav", np.full(1600, 0.25, np.float32))
    assert read_audio("10:30.wav").mean() == pytest.approx(0.25, abs=1e-3)


def test_external_tracks_of_a_movie_are_not_opened(folder) -> None:
    # A data reference of type alis, as QuickTime writes them: sizes of a flat alias record, then the path in "extra" 2.
    data = bytearray((folder / "secret.mp4").read_bytes())
    path = b"secret.mp4"
    record = bytes(150) + (2).to_bytes(2, "big") + len(path).to_bytes(2, "big") + path + b"\xff\xff\x00\x00"
    alias = (12 + len(record)).to_bytes(4, "big") + b"alis" + bytes(4) + record
    place = data.index(b"url \x00\x00\x00\x01") - 4
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        start = data.rindex(parent, 0, place) - 4
        size = int.from_bytes(data[start : start + 4], "big") + len(alias) - 12
        data[start : start + 4] = size.to_bytes(4, "big")
    data[place : place + 12] = alias
    media = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[media:end] = bytes(end - media)  # Its own pictures are gone: what is shown could only come from outside.
    (folder / "x.mov").write_bytes(bytes(data))
    with pytest.raises(MediaError):
        read_video(folder / "x.mov")


def test_media_are_opened_for_reading_in_one_place_only() -> None:
    root = Path(fada.__file__).parent
    reading = [
        file.name
        for part in ("", "teacher/", "student/", "eval/")
        for file in (root / part).rglob("*.py")
        if re.search(r"\bav\.open\((?!.{0,60}mode=\"w\")", file.read_text(encoding="utf-8"), re.DOTALL)
    ]
    assert reading == ["formats.py"]


def test_every_format_that_is_read_is_known_to_ffmpeg() -> None:
    import av

    known = {name for names in av.formats_available for name in names.split(",")}
    assert set(READ_FORMATS) <= known


def test_a_medium_that_fails_is_named(tmp_path, greys, monkeypatch) -> None:
    write_video(tmp_path / "a.mp4", greys([60] * 5))
    (tmp_path / "b.mp4").symlink_to("/proc/self/mem")  # Opens, and then every read fails: even root cannot read page 0.
    with pytest.raises(MediaError, match=r"b\.mp4: (cannot be read|the file is empty)"):
        probe(tmp_path / "b.mp4")

    class Failing:
        def read(self, size: int) -> bytes:
            raise OSError(5, "Input/output error")

        def seek(self, offset: int, whence: int = 0) -> int:
            raise OSError(22, "Invalid argument")

        def tell(self) -> int:
            return 0

    file: Any = Failing()
    opened = InputFile(file, "a.mp4")
    assert opened.seek(-5) == -1
    with pytest.raises(MediaError, match=r"a\.mp4: cannot be read \(Input/output error\)"):
        open_input(opened, {})
