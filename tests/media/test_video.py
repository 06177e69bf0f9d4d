from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from fada.media import MediaError
from fada.media.audio import read_audio
from fada.media.container import frame_rate
from fada.media.video import decode_video, encode_video, iterate_frames, probe, read_video, write_video

ENCODE = """
import hashlib, sys
import numpy as np
from fada.media.video import encode_video

width, height = map(int, sys.argv[1:])
wall = np.random.default_rng(0).integers(0, 256, (height // 4 + 40, width // 4 + 40, 3), dtype=np.uint8)
wall = wall.repeat(4, 0).repeat(4, 1)
frames = np.stack([wall[at : at + height, 2 * at : 2 * at + width] for at in range(27)])
print(hashlib.sha256(encode_video(frames)).hexdigest())
"""


def means(frames: np.ndarray) -> list[int]:
    return [round(float(value)) for value in frames.mean(axis=(1, 2, 3))]


@pytest.fixture
def noise_frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), dtype=np.uint8)


def test_lossless_video_keeps_every_value(noise_frames) -> None:
    np.testing.assert_array_equal(decode_video(encode_video(noise_frames, quality="lossless")), noise_frames)


def test_visual_video_keeps_mean_colours_within_one_level() -> None:
    y, x = np.mgrid[0:64, 0:64]
    picture = np.stack([2 * x + 60, 2 * y + 50, x + y + 40], axis=2).astype(np.uint8)
    back = decode_video(encode_video(np.repeat(picture[None], 3, axis=0)))
    assert np.abs(back.astype(float) - picture).mean() < 1.5
    assert np.abs((back.astype(float) - picture).mean(axis=(0, 1, 2))).max() < 1.0


@pytest.mark.parametrize("sides", [(64, 64), (32, 32), (96, 64), (192, 192), (128, 128)])
def test_equal_pictures_are_equal_bytes_whatever_lies_in_memory(sides: tuple[int, int]) -> None:
    """New memory is filled with another byte each time: what reads it before writing to it gives itself away."""
    made = {
        subprocess.run(
            [sys.executable, "-c", ENCODE, *map(str, sides)],
            env={**os.environ, "MALLOC_PERTURB_": filling}, check=True, capture_output=True,
        ).stdout
        for filling in ("85", "170")
    }  # fmt: skip
    assert len(made) == 1


def test_odd_sizes_are_padded_to_even_ones(tmp_path, greys) -> None:
    write_video(tmp_path / "odd.mp4", greys([100, 100], 31, 47))
    assert read_video(tmp_path / "odd.mp4").shape == (2, 32, 48, 3)


def test_lossless_video_keeps_odd_sizes(greys) -> None:
    assert decode_video(encode_video(greys([1, 2], 31, 47), quality="lossless")).shape == (2, 31, 47, 3)


def test_sound_and_picture_start_together(tmp_path, greys) -> None:
    audio = np.zeros(16000, np.float32)
    audio[8000:8200] = 0.9
    frames = greys([0] * 12 + [255] * 13)
    write_video(tmp_path / "flash.mp4", frames, audio=audio)
    back = read_audio(tmp_path / "flash.mp4")
    assert abs(int(np.abs(back).argmax()) - 8100) < 120
    assert int(np.diff(read_video(tmp_path / "flash.mp4").mean(axis=(1, 2, 3))).argmax()) == 11


def test_read_frames_are_contiguous(tmp_path, greys) -> None:
    write_video(tmp_path / "v.mp4", greys([10, 20], 30, 50))
    assert all(frame.flags["C_CONTIGUOUS"] for frame in iterate_frames(tmp_path / "v.mp4"))


@pytest.mark.parametrize(
    ("fps", "expected"),
    [(25, [0, 50, 100, 150]), (50, [0, 0, 50, 50, 100, 100, 150, 150]), (12.5, [0, 100])],
)
def test_frames_are_resampled_by_time(tmp_path, greys, write_media, fps, expected) -> None:
    path = write_media(tmp_path / "v.mp4", greys([0, 50, 100, 150]))
    np.testing.assert_allclose(means(read_video(path, fps)), expected, atol=3)


def test_variable_frame_rate_holds_each_frame_for_its_time(tmp_path, greys, write_media) -> None:
    path = write_media(tmp_path / "vfr.mkv", greys([20, 90, 160, 230]), milliseconds=[0, 33, 200, 240])
    np.testing.assert_allclose(means(read_video(path))[:7], [20, 90, 90, 90, 90, 160, 230], atol=4)


def test_without_a_rate_each_frame_comes_once(tmp_path, greys, write_media) -> None:
    path = write_media(tmp_path / "vfr.mkv", greys([20, 90, 160]), milliseconds=[0, 33, 400])
    np.testing.assert_allclose(means(read_video(path, fps=None)), [20, 90, 160], atol=4)


def test_max_seconds_limits_the_frames(tmp_path, greys, write_media) -> None:
    path = write_media(tmp_path / "v.mp4", greys([0] * 20))
    assert len(read_video(path, max_seconds=0.2)) == 5


def test_rotation_metadata_is_applied(tmp_path, write_media) -> None:
    frames = np.zeros((2, 32, 64, 3), np.uint8)
    frames[:, :, :32] = 255  # the left half is bright
    path = write_media(tmp_path / "r.mp4", frames, rotation=90)
    shown = read_video(path)
    assert shown.shape == (2, 64, 32, 3)
    # A quarter turn against the clock takes the left half to the bottom.
    assert shown[0, 40:].mean() > 200 > 50 > shown[0, :24].mean()
    info = probe(path)
    assert (info.width, info.height, info.rotation) == (32, 64, 90)


def test_size_cuts_the_centred_square(tmp_path, write_media) -> None:
    frames = np.zeros((1, 32, 64, 3), np.uint8)
    frames[:, :, 16:48] = 200
    path = write_media(tmp_path / "wide.mp4", frames)
    assert read_video(path, size=16).shape == (1, 16, 16, 3)
    assert read_video(path, size=16)[0, :, 2:-2].mean() > 190


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.mkv", "libx264"), ("a.mpg", "mpeg1video")])
def test_other_containers_are_read(tmp_path, greys, write_media, name, codec) -> None:
    path = write_media(tmp_path / name, greys([100] * 5), codec=codec)
    assert read_video(path).shape == (5, 32, 48, 3)


def test_probe_tells_size_rate_and_sound(tmp_path, greys, tone, write_media) -> None:
    info = probe(write_media(tmp_path / "v.mp4", greys([0] * 10), fps=30, sound=tone(0.3, 44100), rate=44100))
    assert (info.width, info.height, info.fps, info.frame_count) == (48, 32, 30.0, 10)
    assert info.has_audio
    assert info.codec == "h264"
    assert abs(info.duration_seconds - 1 / 3) < 0.01


def test_wrong_extension_does_not_matter(tmp_path, greys, write_media) -> None:
    path = write_media(tmp_path / "v.mp4", greys([10] * 3))
    renamed = path.rename(tmp_path / "v.avi")
    assert len(read_video(renamed)) == 3


def test_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(MediaError, match=r"nothing\.mp4: no such file"):
        read_video(tmp_path / "nothing.mp4")


def test_folder_is_refused(tmp_path) -> None:
    with pytest.raises(MediaError, match="is a folder"):
        read_video(tmp_path)


def test_empty_file_is_refused(tmp_path) -> None:
    (tmp_path / "zero.mp4").touch()
    with pytest.raises(MediaError, match=r"empty \(0 bytes\)"):
        probe(tmp_path / "zero.mp4")


def test_text_file_is_refused(tmp_path) -> None:
    (tmp_path / "text.mp4").write_text("not a video at all\n" * 50)
    with pytest.raises(MediaError, match="cannot be opened"):
        read_video(tmp_path / "text.mp4")


def test_picture_is_not_a_video(tmp_path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "p.png")
    with pytest.raises(MediaError, match="not a video"):
        read_video(tmp_path / "p.png")


def test_sound_file_has_no_video_stream(tmp_path, write_media) -> None:
    from fada.media.audio import write_wav

    write_wav(tmp_path / "a.wav", np.zeros(1600, np.float32))
    with pytest.raises(MediaError, match="no video stream"):
        read_video(tmp_path / "a.wav")


def test_file_cut_before_its_index_is_refused(tmp_path, noise_frames, write_media) -> None:
    path = write_media(tmp_path / "v.mp4", noise_frames)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match="cut off"):
        read_video(path)


def test_file_cut_after_its_index_is_truncated(tmp_path, noise_frames, write_media) -> None:
    frames = np.repeat(noise_frames, 10, axis=0)
    path = write_media(tmp_path / "v.mp4", frames, options={"movflags": "+faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    with pytest.raises(MediaError, match="truncated"):
        read_video(path)


def test_frames_of_a_wrong_type_are_refused(tmp_path) -> None:
    with pytest.raises(MediaError, match=r"uint8 of shape \(F, H, W, 3\), got float64 \(2, 8, 8, 3\)"):
        write_video(tmp_path / "v.mp4", np.zeros((2, 8, 8, 3)))


def test_unknown_quality_is_refused(greys) -> None:
    with pytest.raises(MediaError, match="visual or lossless, got 'best'"):
        encode_video(greys([1]), quality="best")


def test_failed_write_leaves_the_old_file(tmp_path, greys) -> None:
    write_video(tmp_path / "v.mp4", greys([10, 10]))
    before = (tmp_path / "v.mp4").read_bytes()
    with pytest.raises(MediaError, match="not finite"):
        write_video(tmp_path / "v.mp4", greys([1, 2]), audio=np.array([np.nan], np.float32))
    assert (tmp_path / "v.mp4").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["v.mp4"]


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan")])
def test_senseless_rates_are_refused(tmp_path, greys, fps) -> None:
    write_video(tmp_path / "v.mp4", greys([10, 10]))
    with pytest.raises(ValueError, match="fps must be positive"):
        read_video(tmp_path / "v.mp4", fps=fps)


def test_matroska_that_begins_late_is_whole(tmp_path, greys) -> None:
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for index, pixels in enumerate(greys([50] * 25, 32, 32)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = 75 + index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert len(read_video(path)) == 25


def test_a_time_base_is_not_taken_for_a_rate(tmp_path, greys) -> None:
    path = tmp_path / "a.dv"
    with av.open(str(path), "w", format="dv") as container:
        stream = container.add_stream("dvvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 720, 576, "yuv420p"
        for pixels in greys([50] * 5, 576, 720):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode())
    assert probe(path).fps == 25
    # PAL's pixels are 16:15.
    assert read_video(path).shape == (5, 576, 768, 3)


def test_the_order_of_streams_does_not_matter(tmp_path, greys) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 16000
        container.mux(sound.encode(silence))
        for size in (32, 64):
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
        for pixels in greys([150] * 5, 32, 32):
            for stream, large in zip(container.streams.video, (pixels, pixels.repeat(2, 0).repeat(2, 1)), strict=True):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(large, format="rgb24")))
        for stream in container.streams.video:
            container.mux(stream.encode())
    # Of two videos the first is taken, for every question alike.
    assert read_video(path).shape == (5, 32, 32, 3)
    assert (probe(path).width, probe(path).height) == (32, 32)


@dataclass(frozen=True)
class Rational:
    """A rate as PyAV 19 has it: no Fraction, and 0 where there is none."""

    numerator: int
    denominator: int = 1

    def __bool__(self) -> bool:
        return self.numerator != 0

    def __gt__(self, other: int) -> bool:
        return self.numerator / self.denominator > other

    def __le__(self, other: int) -> bool:
        return self.numerator / self.denominator <= other


def test_a_rate_is_a_fraction_whatever_the_reader_has_for_it() -> None:
    stream: Any = SimpleNamespace(average_rate=Rational(0), guessed_rate=Rational(30000, 1001), base_rate=Rational(1))
    rate = frame_rate(stream)
    assert isinstance(rate, Fraction)
    assert rate == Fraction(30000, 1001)
