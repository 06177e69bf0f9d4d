"""Picture and sound on one time line: recordings that begin anywhere, joined files, edit lists.

Every video here flashes and clicks at the same moments. Whatever was cut off or put together, they must be read so.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fada.media import MediaError
from fada.media.audio import read_audio
from fada.media.cutting import PixelBox, cut_video
from fada.media.decoding import origin_seconds
from fada.media.fragments import open_fragmented
from fada.media.video import probe, read_video

FPS, RATE = 25, 48000
FRAME = 1 / FPS
KINDS = [
    ("ts", "mpegts", "libx264", "aac"),
    ("ts", "mpegts", "mpeg2video", "mp2"),
    ("mkv", "matroska", "libx264", "aac"),
    ("mkv", "matroska", "mpeg4", "flac"),
    ("webm", "webm", "libvpx", "libopus"),
    ("mp4", "mp4", "libx264", "aac"),
    ("mov", "mov", "mpeg4", "pcm_s16le"),
    ("mpg", "mpeg", "mpeg2video", "mp2"),
    ("flv", "flv", "libx264", "aac"),
    ("avi", "avi", "mpeg4", "libmp3lame"),
    ("nut", "nut", "mpeg4", "pcm_s16le"),
]
TRANSPORT = [kind for kind in KINDS if kind[0] in ("ts", "mpg")]


def record(
    path: Path, kind: tuple[str, str, str, str], seconds: float = 4.0, flash: float = 3.0, gop: int = 50,
    b_frames: int = 0, silent: float = 0.0, options: dict[str, str] | None = None,
    numbers: dict[str, str] | None = None,
) -> Path:  # fmt: skip
    """Moving noise that is white for one frame at ``flash``, where the sound clicks; sound ends ``silent`` before."""
    _, form, codec, sound_codec = kind
    base = np.random.default_rng(0).integers(60, 120, (64, 64, 3), dtype=np.uint8)
    with av.open(str(path), "w", format=form, options=numbers or {}) as file:
        # A key picture every `gop`, none between.
        own = {"sc_threshold": "1000000000"}
        if codec == "libx264":
            own = {"sc_threshold": "0", "preset": "superfast"}
        elif codec == "libvpx":
            own = {"deadline": "realtime", "cpu-used": "8"}
        video = file.add_stream(codec, rate=FPS, options={**own, **(options or {})})
        video.width, video.height, video.pix_fmt, video.gop_size = 64, 64, "yuv420p", gop
        video.codec_context.max_b_frames = b_frames
        video.bit_rate = 1_000_000
        sound = file.add_stream(sound_codec, rate=RATE, layout="mono")
        resampler = av.AudioResampler(sound.codec_context.format.name, "mono", RATE)
        for index in range(round(seconds * FPS)):
            pixels = np.full_like(base, 255) if index == round(flash * FPS) else np.roll(base, index, axis=1)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            file.mux(video.encode(frame))
            if index / FPS >= seconds - silent:
                continue
            samples = np.zeros((1, RATE // FPS), np.float32)
            samples[0, : 200 if index == round(flash * FPS) else 0] = 0.9
            block = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = RATE, index * RATE // FPS, Fraction(1, RATE)
            for piece in resampler.resample(block):
                file.mux(sound.encode(piece))
        file.mux(video.encode(None))
        file.mux(sound.encode(None))
    return path


def without_beginning(source: Path, target: Path, form: str, seconds: float, only: str = "") -> Path:
    """The same packets from a moment on, whatever they depend on."""
    with av.open(str(source)) as whole, av.open(str(target), "w", format=form) as rest:
        streams = {stream.index: rest.add_stream_from_template(stream) for stream in whole.streams}
        begin = (whole.start_time or 0) / 1e6 + seconds
        for packet in whole.demux():
            stamp = packet.pts if packet.pts is not None else packet.dts
            if packet.dts is None and packet.pts is None:
                continue
            if packet.stream.type != (only or packet.stream.type) or float(stamp * packet.time_base) >= begin:
                packet.stream = streams[packet.stream.index]
                rest.mux(packet)
    return target


def flashes_and_clicks(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """When the picture turns white and when the sound begins to click, in seconds."""
    brightness = read_video(path).mean(axis=(1, 2, 3))
    loudness = np.abs(read_audio(path)) > 0.25
    flashes = np.flatnonzero((brightness > 200) & (np.append(0, brightness[:-1]) <= 200)) / FPS
    loud = np.flatnonzero(loudness) / 16000
    return flashes, loud[np.diff(loud, prepend=-1) > 0.1]


def check_together(path: Path, count: int = 1) -> np.ndarray:
    flashes, clicks = flashes_and_clicks(path)
    assert len(flashes) == len(clicks) == count
    np.testing.assert_allclose(flashes, clicks, atol=FRAME)
    return flashes


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind[1:3]))
@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_whole_recording_is_together(tmp_path, kind, b_frames) -> None:
    path = record(tmp_path / f"a.{kind[0]}", kind, b_frames=b_frames if "vpx" not in kind[2] else 0)
    np.testing.assert_allclose(check_together(path), [3.0], atol=FRAME)


# AVI has no time stamps: a file without its beginning begins at 0.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind[0] != "avi"], ids=lambda kind: "-".join(kind[1:3]))
@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_recording_that_begins_inside_a_group_of_pictures_begins_with_the_next(tmp_path, kind, b_frames) -> None:
    whole = record(tmp_path / f"a.{kind[0]}", kind, b_frames=b_frames if "vpx" not in kind[2] else 0)
    path = without_beginning(whole, tmp_path / f"b.{kind[0]}", kind[1], 0.5)
    # The second key picture comes at 2.0 s.
    np.testing.assert_allclose(check_together(path), [1.0], atol=FRAME)
    cut_video(path, tmp_path / "cut.mp4", 0.4, 1.6, PixelBox(0, 0, 64, 64))
    np.testing.assert_allclose(check_together(tmp_path / "cut.mp4"), [0.6], atol=FRAME)


def test_leading_pictures_of_an_open_group_are_left_out(tmp_path) -> None:
    kind = TRANSPORT[0]
    whole = record(tmp_path / "a.ts", kind, b_frames=3, options={"x264-params": "open-gop=1:b-adapt=0"})
    with av.open(str(whole)) as file:
        keys = [p for p in file.demux(video=0) if p.is_keyframe]
        start = float(keys[1].pts * keys[1].time_base) - (file.start_time or 0) / 1e6
    path = without_beginning(whole, tmp_path / "b.ts", "mpegts", start - 0.2)
    check_together(path)


@pytest.mark.parametrize("kind", TRANSPORT, ids=lambda kind: "-".join(kind[1:3]))
@pytest.mark.parametrize("b_frames", [0, 2])
def test_joined_recordings_follow_each_other(tmp_path, kind, b_frames) -> None:
    parts = [
        record(tmp_path / f"{k}.{kind[0]}", kind, 4.0, flash, b_frames=b_frames).read_bytes()
        for k, flash in enumerate((3.0, 1.0, 2.0))
    ]
    path = tmp_path / f"joined.{kind[0]}"
    path.write_bytes(b"".join(parts))
    np.testing.assert_allclose(check_together(path, 3), [3.0, 5.0, 10.0], atol=3 * FRAME)
    assert len(read_video(path)) == pytest.approx(300, abs=4)
    assert len(read_audio(path)) / 16000 == pytest.approx(12.0, abs=0.16)
    assert probe(path).duration_seconds == pytest.approx(12.0, abs=0.2)


@pytest.mark.parametrize("silent", [0.0, 0.6])
def test_a_joined_part_may_begin_inside_a_group_and_end_with_its_picture_alone(tmp_path, silent) -> None:
    kind = TRANSPORT[0]
    first = record(tmp_path / "0.ts", kind, silent=silent)
    second = without_beginning(record(tmp_path / "1.ts", kind), tmp_path / "2.ts", "mpegts", 0.5)
    (tmp_path / "joined.ts").write_bytes(first.read_bytes() + second.read_bytes())
    np.testing.assert_allclose(check_together(tmp_path / "joined.ts", 2), [3.0, 6.5], atol=3 * FRAME)


def test_cuts_of_joined_recordings_are_together_in_every_part(tmp_path) -> None:
    kind = TRANSPORT[0]
    data = record(tmp_path / "a.ts", kind).read_bytes()
    (tmp_path / "joined.ts").write_bytes(data + data)
    for start, end, flash in ((2.0, 4.0, 1.0), (6.0, 8.0, 1.0), (3.5, 8.0, 3.5)):
        cut_video(tmp_path / "joined.ts", tmp_path / "cut.mp4", start, end, PixelBox(0, 0, 64, 64))
        np.testing.assert_allclose(check_together(tmp_path / "cut.mp4"), [flash], atol=3 * FRAME)


@pytest.mark.parametrize("table", ["0x1000", "0x1100"])
def test_parts_whose_streams_have_other_numbers_are_refused(tmp_path, table) -> None:
    first = record(tmp_path / "0.ts", TRANSPORT[0])
    numbers = {"mpegts_start_pid": "0x200", "mpegts_pmt_start_pid": table}
    second = record(tmp_path / "1.ts", TRANSPORT[0], numbers=numbers)
    (tmp_path / "joined.ts").write_bytes(first.read_bytes() + second.read_bytes())
    # Streams that come late enough are not even told of.
    late = r"\d+ of its \d+ bytes lie behind the last packet of the streams it begins with"
    for read, kind in ((read_video, "picture"), (read_audio, "sound")):
        with pytest.raises(MediaError, match=rf"its {kind} goes on in other streams than it begins with|{late}"):
            read(tmp_path / "joined.ts")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind[0] in ("mkv", "webm", "avi", "nut")], ids="-".join)
def test_joined_files_of_other_formats_are_read_part_after_part(tmp_path, kind) -> None:
    parts = [record(tmp_path / f"{k}.{kind[0]}", kind, flash=flash).read_bytes() for k, flash in enumerate((3.0, 1.0))]
    (tmp_path / f"joined.{kind[0]}").write_bytes(b"".join(parts))
    np.testing.assert_allclose(check_together(tmp_path / f"joined.{kind[0]}", 2), [3.0, 5.0], atol=3 * FRAME)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind[0] in ("mp4", "mov", "flv")], ids="-".join)
def test_joined_files_of_which_only_the_first_would_be_read_are_refused(tmp_path, kind) -> None:
    data = record(tmp_path / f"a.{kind[0]}", kind, seconds=6.0).read_bytes()
    (tmp_path / f"joined.{kind[0]}").write_bytes(data + data)
    message = (
        r"holds several movies, one behind the other|bytes lie behind the last packet of the streams it begins with"
    )
    for read in (read_video, read_audio):
        with pytest.raises(MediaError, match=message):
            read(tmp_path / f"joined.{kind[0]}")


def test_fragments_that_bring_their_header_again_are_one_movie(tmp_path) -> None:
    path = tmp_path / "a.mp4"
    with open_fragmented(str(path)) as video:
        for value in (50, 150):
            video.add(np.full((6, 32, 32, 3), value, np.uint8), np.zeros(6 * 640, np.float32))
    data = path.read_bytes()
    header = data[: data.index(b"moof") - 4]
    second = data.index(b"moof", data.index(b"moof") + 4) - 4
    path.write_bytes(data[:second] + header + data[second:])
    assert len(read_video(path)) == 12


def remuxed(source: Path, target: Path, form: str, shift: dict[str, float], at: float) -> Path:
    """The same packets, those from ``at`` seconds on moved by seconds that depend on their kind."""
    with av.open(str(source)) as whole, av.open(str(target), "w", format=form, options={"fflags": "-autobsf"}) as rest:
        streams = {stream.index: rest.add_stream_from_template(stream) for stream in whole.streams}
        for packet in whole.demux():
            if packet.dts is None:
                continue
            if float(packet.pts * packet.time_base) - (whole.start_time or 0) / 1e6 >= at:
                move = round(shift[packet.stream.type] / packet.time_base)
                packet.pts, packet.dts = packet.pts + move, packet.dts + move
            packet.stream = streams[packet.stream.index]
            rest.mux(packet)
    return target


def test_a_jump_forward_of_both_streams_is_closed_up(tmp_path) -> None:
    whole = record(tmp_path / "a.ts", TRANSPORT[0])
    path = remuxed(whole, tmp_path / "b.ts", "mpegts", {"video": 1000.0, "audio": 1000.0}, 2.0)
    np.testing.assert_allclose(check_together(path), [3.0], atol=3 * FRAME)


def test_a_pause_of_the_picture_alone_stays(tmp_path) -> None:
    whole = record(tmp_path / "a.ts", TRANSPORT[0], seconds=30.0, flash=29.0, gop=25)
    with av.open(str(whole)) as source, av.open(str(tmp_path / "b.ts"), "w", format="mpegts") as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is None:
                continue
            time = float(packet.pts * packet.time_base) - (source.start_time or 0) / 1e6
            if packet.stream.type == "video" and 4.99 <= time < 19.99:
                continue
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
    np.testing.assert_allclose(check_together(tmp_path / "b.ts"), [29.0], atol=3 * FRAME)


def test_a_picture_that_jumps_back_while_the_sound_goes_on_is_refused(tmp_path) -> None:
    # A transport stream of two programs' packets: the picture of a joined file, the sound of a whole one.
    record(tmp_path / "a.ts", TRANSPORT[0], seconds=16.0, flash=15.0)
    data = bytearray((tmp_path / "a.ts").read_bytes())
    for place in range(0, len(data), 188):
        packet = data[place : place + 188]
        begins = packet[1] & 0x40 and int.from_bytes(packet[1:3], "big") & 0x1FFF == 0x100
        start = packet.find(b"\x00\x00\x01\xe0") if begins else -1
        if start < 0 or place < len(data) // 2:
            continue
        for offset in (9, 14)[: packet[start + 7] >> 6 if packet[start + 7] >> 6 < 2 else 2]:
            at = place + start + offset
            stamp = _stamp(data[at : at + 5]) - 7 * 90000
            data[at : at + 5] = _coded(stamp, data[at] & 0xF0)
    (tmp_path / "b.ts").write_bytes(data)
    message = r"time stamps of its picture jump back by \d\.\d\d s at \d+\.\d\d s while those of its sound go on"
    for read in (read_video, read_audio):
        with pytest.raises(MediaError, match=message):
            read(tmp_path / "b.ts")


def _stamp(coded: bytes) -> int:
    """The 33 bits of a time stamp of MPEG systems, from its five bytes."""
    return (coded[0] >> 1 & 7) << 30 | coded[1] << 22 | coded[2] >> 1 << 15 | coded[3] << 7 | coded[4] >> 1


def _coded(stamp: int, mark: int) -> bytes:
    stamp %= 1 << 33
    return bytes(
        [
            mark | stamp >> 30 << 1 | 1,
            stamp >> 22 & 255,
            (stamp >> 15 & 127) << 1 | 1,
            stamp >> 7 & 255,
            (stamp & 127) << 1 | 1,
        ]
    )


@pytest.mark.parametrize("b_frames", [0, 2])
def test_edit_lists_that_begin_later_move_picture_and_sound_alike(tmp_path, b_frames) -> None:
    path = record(tmp_path / "a.mp4", KINDS[5], b_frames=b_frames)
    data = bytearray(path.read_bytes())
    # Both tracks' only edit begins 0.52 s later (inside a group of pictures) and is so much shorter.
    place = -1
    for _ in range(2):
        place = data.index(b"elst", place + 1)
        begin = place + 8 + 4
        scale = data.rindex(b"trak", 0, place)
        media = data.index(b"mdhd", scale) + 4 + 12
        duration, start = struct.unpack(">Ii", data[begin : begin + 8])
        units = struct.unpack(">I", data[media : media + 4])[0]
        data[begin : begin + 8] = struct.pack(">Ii", duration - 520, start + round(0.52 * units))
    path.write_bytes(data)
    np.testing.assert_allclose(check_together(path), [2.48], atol=FRAME)


def test_the_origin_is_that_of_the_first_picture_shown_or_of_the_sound_alone(tmp_path) -> None:
    whole = record(tmp_path / "a.mkv", KINDS[2])
    assert origin_seconds(whole) == pytest.approx(0.0, abs=0.03)
    cut = without_beginning(whole, tmp_path / "b.mkv", "matroska", 0.5)
    assert origin_seconds(cut) == pytest.approx(2.0, abs=0.04)


def test_a_stream_of_predicted_pictures_alone_is_refused(tmp_path) -> None:
    whole = record(tmp_path / "a.mkv", KINDS[3], gop=200)
    with pytest.raises(MediaError, match="its video stream holds nothing that can be decoded"):
        read_video(without_beginning(whole, tmp_path / "b.mkv", "matroska", 0.5))


def test_pictures_that_are_refreshed_bit_by_bit_are_shown_at_last(tmp_path, monkeypatch) -> None:
    whole = record(tmp_path / "a.mkv", KINDS[3], gop=200)
    path = without_beginning(whole, tmp_path / "b.mkv", "matroska", 0.5)
    monkeypatch.setattr("fada.media.decoding._MOST_LEADING", 20)
    assert len(read_video(path)) == 100 - 13 - 20
