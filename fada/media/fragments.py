"""A video that can be watched while it is written: fragmented mp4, to a file or a pipe.

Every fragment plays by itself after the header, so a reader needs no end and a broken-off file shows what it has.
Knows pictures and sound that arrive together; whole files are video.py's matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, BinaryIO

import av
import numpy as np

from fada.media.error import MediaError
from fada.media.sample_rate import SAMPLE_RATE
from fada.media.sound_encoder import SoundEncoder
from fada.media.video import add_video_stream, to_frame

_FLAGS = "frag_keyframe+empty_moov+default_base_moof+delay_moov"
_PER_FRAGMENT = 6
"""Pictures from one key picture to the next: a fragment is written when the next one begins."""


class FragmentedVideo:
    """Writes H.264 and AAC into an open binary file, which need not be seekable; a context manager.

    Args:
        target: where to write; it is neither sought nor closed.
        fps: frames per second.
        sample_rate: of the sound; None for a silent video.
        layout: FFmpeg's name of its channels.
    """

    def __init__(
        self, target: BinaryIO, fps: float = 25.0, sample_rate: int | None = SAMPLE_RATE, layout: str = "mono"
    ) -> None:
        self._target, self._fps, self._rate, self._layout = _WriteOnly(target), fps, sample_rate, layout
        self._container: Any = None
        self._video: Any = None
        self._sound: SoundEncoder | None = None
        self._pictures = 0

    @property
    def bytes_written(self) -> int:
        """So far."""
        return self._target.count

    def add(self, frames: np.ndarray, audio: np.ndarray | None = None) -> None:
        """Append uint8 frames (n, H, W, 3) and the sound of the same time, (N,) or (channels, N) in [-1, 1].

        Raises:
            MediaError: frames or sound of another shape or type, or of another size than before.
        """
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
            raise MediaError(f"frames must be uint8 of shape (n, H, W, 3), got {frames.dtype} {frames.shape}")
        if self._container is None:
            self._open(frames)
        elif frames.shape[1:3] != self._size:
            raise MediaError(f"frames are {frames.shape[1:3]}, those before were {self._size} (height, width)")
        if self._sound is not None and audio is not None:
            self._sound.add(audio)
        for pixels in frames:
            frame = to_frame(pixels, lossless=False)
            frame.pts = self._pictures
            self._pictures += 1
            self._container.mux(self._video.encode(frame))

    def __enter__(self) -> FragmentedVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After a broken pipe there is nobody to write an end for.
        if self._container is not None and kind is not BrokenPipeError:
            self._finish()

    def _open(self, frames: np.ndarray) -> None:
        # zerolatency: a picture leaves the encoder at once, not after those it could be compared with.
        live = {"tune": "zerolatency", "g": str(_PER_FRAGMENT), "keyint_min": str(_PER_FRAGMENT)}
        self._container = av.open(
            self._target, mode="w", format="mp4", options={"movflags": _FLAGS, "flush_packets": "1"}, buffer_size=4096
        )
        self._size = frames.shape[1:3]
        self._video = add_video_stream(self._container, frames, self._fps, lossless=False, options=live)
        if self._rate is not None:
            self._sound = SoundEncoder(self._container, self._rate, self._layout)

    def _finish(self) -> None:
        if self._sound is not None:
            self._sound.finish()
        self._container.mux(self._video.encode(None))
        self._container.close()


class _WriteOnly:
    """A file of which FFmpeg sees nothing but `write`, so that it never tries to seek."""

    def __init__(self, target: BinaryIO) -> None:
        self._target, self.count = target, 0

    def write(self, data: Any) -> int:
        """All of it, at once."""
        self._target.write(data)
        self._target.flush()
        self.count += len(data)
        return len(data)


@contextmanager
def open_fragmented(
    target: BinaryIO | str, fps: float = 25.0, sample_rate: int | None = SAMPLE_RATE, layout: str = "mono"
) -> Iterator[FragmentedVideo]:
    """A growing video at a path, or in an open file."""
    if isinstance(target, str):
        with open(target, "wb") as file, FragmentedVideo(file, fps, sample_rate, layout) as video:
            yield video
    else:
        with FragmentedVideo(target, fps, sample_rate, layout) as video:
            yield video
