"""Cutting videos: exact frames, exact boxes, and the sound that belongs to them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fada.media.audio import read_audio
from fada.media.cutting import PixelBox, cut_video, read_label
from fada.media.error import MediaError
from fada.media.video import probe, read_video, write_video

RATE = 16000
WHOLE = PixelBox(0, 0, 64, 48)


def counted(path: Path, sound: bool = True) -> Path:
    """100 frames that show their number in 7 black or white bars; a click at the beginning of each second."""
    pixels = np.full((100, 48, 64, 3), 90, np.uint8)
    pixels[:, 10:30, 20:40, 0] = 255
    for bit in range(7):
        pixels[:, 40:, 8 * bit : 8 * bit + 8] = (np.arange(100) >> bit & 1)[:, None, None, None] * 255
    audio = np.zeros(4 * RATE, np.float32)
    audio[::RATE] = 0.9
    write_video(path, pixels, 25.0, audio if sound else None, RATE, "visual")
    return path


def numbers(path: Path) -> list[int]:
    """Which frames of ``counted`` a video shows."""
    bars = read_video(path, fps=None)[:, 42:46].mean(axis=(1, 3))
    return [sum(int(row[8 * bit + 4] > 128) << bit for bit in range(7)) for row in bars]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return counted(tmp_path_factory.mktemp("source") / "a.mp4")


def test_a_cut_holds_the_frames_of_its_seconds(source: Path, tmp_path: Path) -> None:
    cut_video(source, tmp_path / "cut.mp4", 1.0, 2.0, WHOLE)
    assert numbers(tmp_path / "cut.mp4") == list(range(25, 50))
    assert probe(tmp_path / "cut.mp4").fps == 25


def test_a_cut_between_frames_takes_the_nearest(source: Path, tmp_path: Path) -> None:
    cut_video(source, tmp_path / "cut.mp4", 1.015, 1.225, WHOLE)
    assert numbers(tmp_path / "cut.mp4") == list(range(25, 31))


def test_the_sound_starts_with_the_first_frame(source: Path, tmp_path: Path) -> None:
    cut_video(source, tmp_path / "cut.mp4", 0.6, 2.6, WHOLE)
    audio = read_audio(tmp_path / "cut.mp4", RATE)
    assert len(audio) == 2 * RATE
    loud = np.flatnonzero(np.abs(audio) > 0.3)
    # The clicks of seconds 1 and 2; the source's AAC smears them over a few samples.
    assert abs(loud[0] - 0.4 * RATE) <= 8
    assert abs(loud[-1] - 1.4 * RATE) <= 8


def test_a_box_is_cut_at_its_pixels(source: Path, tmp_path: Path) -> None:
    cut_video(source, tmp_path / "cut.mp4", 0.0, 0.4, PixelBox(20, 10, 20, 20))
    frames = read_video(tmp_path / "cut.mp4", fps=None)
    assert frames.shape == (10, 20, 20, 3)
    assert frames[..., 0].min() > 200


def test_odd_boxes_are_made_even() -> None:
    assert PixelBox(21, 11, 33, 17).even() == PixelBox(20, 10, 32, 16)


def test_uneven_frame_times_are_kept(tmp_path: Path) -> None:
    uneven = tmp_path / "uneven.mkv"
    with av.open(str(uneven), mode="w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("flac", rate=RATE, layout="mono")
        for stamp in (0, 40, 80, 200, 240, 300, 340, 380):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), stamp // 2, np.uint8), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(video.encode(frame.reformat(format="yuv420p")))
        container.mux(video.encode(None))
        noise = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), format="s16", layout="mono")
        noise.sample_rate, noise.pts = RATE, 0
        container.mux(sound.encode(noise))
        container.mux(sound.encode(None))
    cut_video(uneven, tmp_path / "cut.mp4", 0.08, 0.38, WHOLE)
    with av.open(str(tmp_path / "cut.mp4")) as container:
        times = [round(1000 * frame.time) for frame in container.decode(video=0)]
    assert times == [0, 120, 160, 220, 260]


def test_the_label_can_be_read_back(source: Path, tmp_path: Path) -> None:
    cut_video(source, tmp_path / "cut.mp4", 0.0, 0.4, WHOLE, label="entry 7")
    assert read_label(tmp_path / "cut.mp4") == "entry 7"
    assert read_label(tmp_path / "none.mp4") is None
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    assert read_label(tmp_path / "broken.mp4") is None


@pytest.mark.parametrize(
    ("start", "end", "box", "message"),
    [
        (3.0, 6.0, WHOLE, "ends at 4.00 s, before 6 s; it is cut off or another version"),
        (8.0, 9.0, WHOLE, "has no frame from 8 to 9 s"),
        (0.0, 1.0, PixelBox(32, 0, 40, 40), r"the box \(40x40 at 32, 0\) leaves the picture \(64x48\)"),
        (0.0, 1.0, PixelBox(0, 0, 1, 1), "leaves the picture"),
    ],
)
def test_a_cut_that_the_video_does_not_hold_is_refused(
    source: Path, tmp_path: Path, start: float, end: float, box: PixelBox, message: str
) -> None:
    with pytest.raises(MediaError, match=message):
        cut_video(source, tmp_path / "cut.mp4", start, end, box)
    assert list(tmp_path.iterdir()) == []


def test_a_little_beyond_the_end_is_forgiven(source: Path, tmp_path: Path) -> None:
    cut_video(source, tmp_path / "cut.mp4", 3.0, 4.4, WHOLE)
    assert numbers(tmp_path / "cut.mp4") == list(range(75, 100))


def test_a_video_without_sound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="has no audio stream"):
        cut_video(counted(tmp_path / "a.mp4", sound=False), tmp_path / "cut.mp4", 0.0, 1.0, WHOLE)


def with_channels(path: Path, layout: str, levels: list[float]) -> Path:
    """Three seconds of grey with a constant level in each channel, as PCM in a mov."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=RATE, layout=layout)
        for index in range(75):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        block = np.tile(np.array(levels) * 32768, 3 * RATE).astype(np.int16)[None]
        samples = av.AudioFrame.from_ndarray(block, format="s16", layout=layout)
        samples.sample_rate = RATE
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize(("layout", "count"), [("5.1", 6), ("7.1", 8)])
def test_every_channel_of_the_sound_is_kept(tmp_path: Path, layout: str, count: int) -> None:
    levels = [0.05 * (channel + 1) for channel in range(count)]
    cut_video(with_channels(tmp_path / "a.mov", layout, levels), tmp_path / "cut.mp4", 1.0, 2.0, WHOLE)
    with av.open(str(tmp_path / "cut.mp4")) as container:
        assert container.streams.audio[0].layout.nb_channels == count
        packed = av.AudioResampler(format="flt", layout=layout, rate=RATE)
        blocks = [each for frame in container.decode(audio=0) for each in packed.resample(frame)]
    heard = np.concatenate([block.to_ndarray().reshape(-1, count) for block in blocks])
    assert len(heard) == RATE
    np.testing.assert_allclose(heard[100:-100].mean(axis=0), levels, atol=1e-3)
