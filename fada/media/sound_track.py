"""The sound of a file as its makers left it: at its rate and with its channels, as far as AAC in an mp4 can hold them.

Taken piece by piece in order of time, so that a video with its sound can be written as it is made. Packets are not
copied: they end where their own blocks end, not where the last frame does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import av
import numpy as np

from fada.media.channels import Downmix, SampleReader, layout_of
from fada.media.container import Source, audio_stream, open_container
from fada.media.decoding import decode_stream
from fada.media.frame_count import sample_range
from fada.media.sound_timeline import sound_blocks

AAC_RATES = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
"""Samples per second that AAC knows."""
_AAC_LAYOUTS = ("mono", "stereo", "2.1", "3.0", "4.0", "quad", "5.0", "5.1", "7.1")
# The same loudspeakers under another name, in the same order.
_SAME_AS = {"5.0(side)": "5.0", "5.1(side)": "5.1"}
_BY_COUNT = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
"""What players take unnamed channels for."""


class SoundTrack:
    """The sound of a file, from its origin on; a context manager.

    `sample_rate` is the file's, or the next that AAC knows; `layout` the file's, or "mono", the mix of channels.py,
    where AAC knows none of that kind.

    Raises:
        MediaError: the file is unreadable, damaged, or has no audio stream.
    """

    def __init__(self, source: Source) -> None:
        with open_container(source) as container:
            first = next(decode_stream(container, audio_stream(container, source), source))
            assert isinstance(first, av.AudioFrame)
            # Of a decoded frame: what HE-AAC's header says is half of what is heard.
            rate, self.layout = first.sample_rate, _stored_layout(first)
        self.sample_rate = next((known for known in AAC_RATES if known >= rate), AAC_RATES[-1])
        self.channels = len(av.AudioLayout(self.layout).channels)
        self._read, self._mix = SampleReader(), Downmix()
        self._blocks: Iterator[np.ndarray] = sound_blocks(source, self.sample_rate, self._samples, self.layout)
        self._rest = np.zeros((self.channels, 0), np.float32)

    def __enter__(self) -> SoundTrack:
        return self

    def __exit__(self, *_: object) -> None:
        self._blocks.close()  # type: ignore[attr-defined]  # A generator, which holds the file open.

    def take(self, samples: int) -> np.ndarray:
        """The next samples float32 (channels, samples), silence behind the end."""
        parts, missing = [self._rest], samples - self._rest.shape[1]
        while missing > 0:
            block = next(self._blocks, None)
            if block is None:
                block = np.zeros((self.channels, missing), np.float32)
            parts.append(block)
            missing -= block.shape[1]
        joined = np.concatenate(parts, axis=1)
        # A copy: a view would keep what was taken alive.
        self._rest = joined[:, samples:].copy()
        return joined[:, :samples]

    def beside(self, clips: Iterable[np.ndarray], fps: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Clips of frames (n, H, W, 3) that follow each other, each with the sound (channels, N) of its time."""
        frames = 0
        for clip in clips:
            span = sample_range(frames, frames + len(clip), self.sample_rate, fps)
            frames += len(clip)
            yield clip, self.take(span.stop - span.start)

    def _samples(self, frame: av.AudioFrame) -> np.ndarray:
        if _stored_layout(frame) == self.layout and frame.layout.nb_channels == self.channels:
            return self._read(frame)
        # Another kind of sound within the file, or one that AAC does not know.
        return np.repeat(self._mix(frame), self.channels, axis=0)


def _stored_layout(frame: av.AudioFrame) -> str:
    name = _SAME_AS.get(frame.layout.name, frame.layout.name)
    if name in _AAC_LAYOUTS:
        return name
    is_named = "NONE" not in layout_of(frame)
    return "mono" if is_named else _BY_COUNT.get(frame.layout.nb_channels, "mono")
