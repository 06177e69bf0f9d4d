"""A video that plays while it is written."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from fada.media.audio import read_audio
from fada.media.error import MediaError
from fada.media.fragments import FragmentedVideo, open_fragmented
from fada.media.video import probe, read_video


class Pipe(io.RawIOBase):
    """An output that cannot seek."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.content += bytes(data)
        return len(data)


def clips(count: int, frames: int = 12) -> list[tuple[np.ndarray, np.ndarray]]:
    """Moving stripes, and a tone, in pieces."""
    made = []
    for clip in range(count):
        times = np.arange(clip * frames, (clip + 1) * frames)
        columns = (np.arange(32)[None] * 8 + times[:, None] * 4) % 256
        pictures = np.broadcast_to(columns[:, None, :, None], (frames, 32, 32, 3)).astype(np.uint8)
        sound = 0.3 * np.sin(2 * np.pi * 440 * np.arange(clip * frames * 640, (clip + 1) * frames * 640) / 16000)
        made.append((pictures, sound.astype(np.float32)))
    return made


def test_a_pipe_gets_the_whole_video_with_sound_in_step() -> None:
    pipe = Pipe()
    with FragmentedVideo(pipe) as video:
        for pictures, sound in clips(4):
            video.add(pictures, sound)
    data = bytes(pipe.content)
    assert video.bytes_written == len(data)
    found = probe(data)
    assert (found.width, found.height, found.fps, found.has_audio) == (32, 32, 25.0, True)
    shown = read_video(data)
    assert len(shown) == 48
    expected = np.concatenate([pictures for pictures, _ in clips(4)])
    assert np.abs(shown.astype(int) - expected).mean() < 12
    heard, spoken = read_audio(data), np.concatenate([sound for _, sound in clips(4)])
    assert 0 <= len(heard) - len(spoken) < 1024
    assert np.corrcoef(heard[2000:28000], spoken[2000:28000])[0, 1] > 0.99


def test_what_is_written_so_far_plays() -> None:
    pipe, behind = Pipe(), []
    with FragmentedVideo(pipe) as video:
        for index, (pictures, sound) in enumerate(clips(3)):
            video.add(pictures, sound)
            behind.append(12 * (index + 1) - len(read_video(bytes(pipe.content), fps=None)))
    # The last fragment is written when the next begins, and pictures wait for their sound.
    assert max(behind) <= 8


def test_frames_beyond_the_sound_and_silent_videos_are_written_too(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    with open_fragmented(str(path), fps=30.0, sample_rate=None) as video:
        video.add(clips(1)[0][0])
    assert not probe(path).has_audio
    assert len(read_video(path, fps=None)) == 12


@pytest.mark.parametrize("frames", [1, 2, 7])
@pytest.mark.parametrize("has_sound", [True, False])
def test_a_stream_of_any_number_of_frames_can_be_read_back(frames: int, has_sound: bool) -> None:
    pipe = Pipe()
    with FragmentedVideo(pipe, sample_rate=16000 if has_sound else None) as video:
        pictures, sound = clips(1, frames)[0]
        video.add(pictures, sound)
    data = bytes(pipe.content)
    assert len(read_video(data)) == frames
    assert probe(data).has_audio == has_sound
    if has_sound:
        assert frames * 640 <= len(read_audio(data)) < frames * 640 + 1024


def test_nothing_added_writes_nothing() -> None:
    pipe = Pipe()
    with FragmentedVideo(pipe):
        pass
    assert not pipe.content


def test_frames_of_another_shape_are_refused() -> None:
    with FragmentedVideo(Pipe()) as video:
        with pytest.raises(MediaError, match=r"frames must be uint8 of shape \(n, H, W, 3\), got float64"):
            video.add(np.zeros((1, 8, 8, 3)))
        video.add(np.zeros((1, 16, 16, 3), np.uint8))
        with pytest.raises(MediaError, match=r"frames are \(8, 8\), those before were \(16, 16\)"):
            video.add(np.zeros((1, 8, 8, 3), np.uint8))
