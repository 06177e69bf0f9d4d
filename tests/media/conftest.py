"""Small media files of awkward kinds, written with PyAV by the tests themselves."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

Writer = Callable[..., Path]


def _write(
    path: Path,
    frames: np.ndarray,
    *,
    milliseconds: list[int] | None = None,
    fps: int = 25,
    sound: np.ndarray | None = None,
    rate: int = 16000,
    codec: str = "libx264",
    sound_codec: str = "aac",
    rotation: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """A video with frames at the given times (evenly without), and sound of shape (channels, N)."""
    with av.open(str(path), mode="w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = frames.shape[2], frames.shape[1]
        stream.pix_fmt = "yuv420p"
        # Keyframes and no reordering: files that are cut off still begin with whole frames.
        stream.codec_context.max_b_frames = 0
        if rotation:
            stream.set_display_rotation(rotation)
        if milliseconds is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        audio_stream = None
        if sound is not None:
            layout = "mono" if len(sound) == 1 else "stereo"
            audio_stream = container.add_stream(sound_codec, rate=rate, layout=layout)
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(format="yuv420p")
            if milliseconds is None:
                frame.pts = index
            else:
                frame.pts, frame.time_base = milliseconds[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio_stream is not None and sound is not None:
            planar = audio_stream.codec_context.format.is_planar
            kind = audio_stream.codec_context.format.name
            for start in range(0, sound.shape[1], 1024):
                block = sound[:, start : start + 1024]
                if kind.startswith("s16"):
                    block = np.round(block * 32767).astype(np.int16)
                else:
                    block = block.astype(np.float32)
                data = block if planar else block.T.reshape(1, -1)
                frame_of_sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format=kind, layout=layout)
                frame_of_sound.sample_rate = rate
                frame_of_sound.pts, frame_of_sound.time_base = start, Fraction(1, rate)
                container.mux(audio_stream.encode(frame_of_sound))
            container.mux(audio_stream.encode(None))
    return path


@pytest.fixture
def write_media() -> Writer:
    """Write a media file; see ``_write``."""
    return _write


@pytest.fixture
def greys() -> Callable[..., np.ndarray]:
    """Frames of one grey each, so that a frame can be told by its value."""

    def make(values: list[int], height: int = 32, width: int = 48) -> np.ndarray:
        return np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), height, width, 3)).copy()

    return make


@pytest.fixture
def tone() -> Callable[..., np.ndarray]:
    """A sine of 440 Hz, (channels, N)."""

    def make(seconds: float, rate: int, channels: int = 1, level: float = 0.5) -> np.ndarray:
        wave = level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
        return np.repeat(wave[None], channels, axis=0).astype(np.float32)

    return make
