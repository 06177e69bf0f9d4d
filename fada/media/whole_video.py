"""A whole mp4 that is written as its frames are made: memory of one part, and the file is there when it is complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
import numpy as np

from fada.files.whole import whole_file
from fada.media.error import MediaError
from fada.media.sound_encoder import SoundEncoder
from fada.media.video import add_video_stream, to_frame


class WholeVideo:
    """Frames and sound into an open container, as :func:`fada.media.video.write_video` writes them ("visual")."""

    def __init__(self, container: Any, fps: float, sample_rate: int | None, layout: str) -> None:
        self._container, self._fps = container, fps
        self._sound_kind = None if sample_rate is None else (sample_rate, layout)
        self._sound: SoundEncoder | None = None
        self._video: Any = None
        self._size: tuple[int, ...] | None = None
        self.frames = 0
        """Written so far."""

    def add(self, frames: np.ndarray, audio: np.ndarray | None = None) -> None:
        """Append uint8 frames (n, H, W, 3) and the sound of the same time, (N,) or (channels, N) in [-1, 1].

        Raises:
            MediaError: frames or sound of another shape or type, or of another size than before.
        """
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
            raise MediaError(f"frames must be uint8 of shape (n, H, W, 3), got {frames.dtype} {frames.shape}")
        if self._size is None:
            self._size = frames.shape[1:3]
            self._video = add_video_stream(self._container, frames, self._fps, lossless=False)
            if self._sound_kind is not None:
                self._sound = SoundEncoder(self._container, *self._sound_kind)
        elif frames.shape[1:3] != self._size:
            raise MediaError(f"frames are {frames.shape[1:3]}, those before were {self._size} (height, width)")
        if self._sound is not None and audio is not None:
            self._sound.add(audio)
        for pixels in frames:
            frame = to_frame(pixels, lossless=False)
            frame.pts = self.frames
            self.frames += 1
            self._container.mux(self._video.encode(frame))

    def finish(self) -> None:
        """Write what the encoders still hold."""
        if self._video is None:
            raise MediaError("a video needs at least one frame, got none")
        if self._sound is not None:
            self._sound.finish()
        self._container.mux(self._video.encode(None))


@contextmanager
def open_whole(
    path: str | os.PathLike[str], fps: float = 25.0, sample_rate: int | None = None, layout: str = "mono"
) -> Iterator[WholeVideo]:
    """An mp4 to add frames to; what was at the path is replaced when the block ends without an error.

    Args:
        sample_rate: of the sound, one that AAC knows; None for a silent video.
        layout: FFmpeg's name of its channels.
    """
    with whole_file(path) as temporary, av.open(f"file:{temporary}", mode="w", format="mp4") as container:
        video = WholeVideo(container, fps, sample_rate, layout)
        yield video
        video.finish()
