"""Cutting a stretch and a box out of a video: whole frames, the sound that belongs to them, nothing resampled.

Copying packets would be exact only from keyframe to keyframe and without a box, so the picture is encoded anew, near
lossless; its pixels are never scaled and never change their colour space. The sound is stored as FLAC, sample by
sample.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from fada.media.container import (
    atomic_path,
    audio_stream,
    decode_stream,
    open_container,
    origin_seconds,
    video_stream,
)
from fada.media.error import MediaError

_END_TOLERANCE_SECONDS = 0.5
"""A list's end may lie this far behind the last frame: some lists give whole seconds."""
_GAP_SECONDS = 0.05
"""A longer jump in the time stamps of the sound is silence; a shorter one is rounding of the container."""
_SOUND_LEAD_SECONDS = 0.5
"""Decoders need some sound before the cut to settle."""
_SOUND_BLOCK = 4096


@dataclass(frozen=True)
class PixelBox:
    """Part of a picture, in its stored pixels."""

    left: int
    top: int
    width: int
    height: int

    def even(self) -> PixelBox:
        """The same with even numbers, rounded down: colours are stored once per 2 x 2 pixels."""
        return PixelBox(*(value - value % 2 for value in (self.left, self.top, self.width, self.height)))


def cut_video(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    start: float,
    end: float,
    box: PixelBox,
    label: str = "",
) -> None:
    """Write the frames nearest to [start, end) and their sound as an mp4, atomically.

    Frame rate, time stamps (also uneven ones), sample rate and up to two channels are kept.

    Args:
        source: a local video with sound.
        target: the mp4 to write.
        start: seconds after the first frame of the source.
        end: seconds after the first frame of the source; up to half a second beyond its end is forgiven.
        box: what to keep of each frame, in stored pixels; made even.
        label: free text in the file's comment, see :func:`read_label`.

    Raises:
        MediaError: the source is damaged, has no sound, ends before ``end``, is stored turned or with oblong pixels, or
            the box leaves the picture.
    """
    with atomic_path(target) as temporary, av.open(str(temporary), mode="w", format="mp4") as writing:
        writing.metadata["comment"] = label
        _Cut(Path(source), writing, start, end, box.even()).run()


def read_label(path: str | os.PathLike[str]) -> str | None:
    """The label a cut was written with; None where there is no such file or it has none."""
    if not Path(path).is_file():
        return None
    try:
        with open_container(path) as container:
            return container.metadata.get("comment")
    except MediaError:
        return None


class _Cut:
    """One cut: decodes, crops, encodes."""

    def __init__(self, source: Path, writing: Any, start: float, end: float, box: PixelBox) -> None:
        self._source, self._writing, self._box = source, writing, box
        self._start, self._end = start, end

    def run(self) -> None:
        frames = self._stretch()
        first = next(frames, None)
        if first is None:
            raise MediaError(f"{self._source}: has no frame from {self._start:g} to {self._end:g} s")
        self._check(first)
        video = self._video_encoder(first)
        sound = _Sound(self._source, self._writing, self._origin + self._at(first), self._end - self._start)
        crop = self._cropper(first)
        first_stamp = first.pts
        last = first
        for frame in _chained(first, frames):
            last = frame
            if (frame.width, frame.height) != (first.width, first.height):
                raise MediaError(f"{self._source}: its picture changes size at {self._at(frame):.2f} s")
            crop.vpush(frame)
            cropped = crop.vpull()
            cropped.pts = frame.pts - first_stamp
            cropped.pict_type = 0  # the encoder chooses; the source's keyframes mean nothing here
            self._writing.mux(video.encode(cropped))
            sound.write_until(self._at(frame) - self._at(first))
        self._writing.mux(video.encode(None))
        length = self._at(last) + self._frame_seconds - self._at(first)
        sound.write_until(length)
        sound.close()
        if self._at(last) + self._frame_seconds < self._end - _END_TOLERANCE_SECONDS:
            raise MediaError(
                f"{self._source}: ends at {self._at(last) + self._frame_seconds:.2f} s, before {self._end:g} s; "
                "it is cut off or another version of the video"
            )

    def _at(self, frame: Any) -> float:
        """Seconds after the source's first frame."""
        return float(frame.time) - self._origin

    def _stretch(self) -> Iterator[Any]:
        """Decoded frames whose times round into the stretch."""
        for frame in self._frames():
            half = self._frame_seconds / 2
            if self._at(frame) >= self._end - half:
                return
            if self._at(frame) >= self._start - half:
                yield frame

    def _frames(self) -> Iterator[Any]:
        """Frames from the last keyframe before the start; from the beginning where the container cannot seek."""
        for is_seeking in (True, False):
            with open_container(self._source) as container:
                stream = video_stream(container, self._source)
                self._origin = origin_seconds(container)
                self._frame_seconds = 1 / float(stream.average_rate or stream.guessed_rate or 25)
                self._rate = stream.average_rate or stream.guessed_rate or Fraction(25)
                if is_seeking:
                    _seek(container, stream, self._origin + self._start)
                frames = decode_stream(container, stream, self._source)
                first = next(frames, None)
                if is_seeking and first is not None and self._at(first) > self._start:
                    continue
                if first is not None:
                    yield from _chained(first, frames)
                return

    def _check(self, first: Any) -> None:
        if first.rotation:
            raise MediaError(f"{self._source}: is stored turned by {first.rotation} degrees; store it upright first")
        aspect = getattr(first, "sample_aspect_ratio", None)
        if aspect and aspect != 1:
            raise MediaError(f"{self._source}: has oblong pixels ({aspect}); scale it to square ones first")
        box = self._box
        is_inside = box.left >= 0 and box.top >= 0 and min(box.width, box.height) > 0
        if not is_inside or box.left + box.width > first.width or box.top + box.height > first.height:
            raise MediaError(
                f"{self._source}: the box ({box.width}x{box.height} at {box.left}, {box.top}) leaves the picture "
                f"({first.width}x{first.height}); it is another version of the video"
            )

    def _video_encoder(self, first: Any) -> Any:
        options = {"preset": "fast", "crf": "12", "threads": "1"}
        stream = self._writing.add_stream("libx264", rate=self._rate, options=options)
        stream.width, stream.height, stream.pix_fmt = self._box.width, self._box.height, "yuv420p"
        context = stream.codec_context
        context.time_base = first.time_base
        context.colorspace, context.color_range = first.colorspace, first.color_range
        context.color_primaries, context.color_trc = first.color_primaries, first.color_trc
        return stream

    def _cropper(self, first: Any) -> Any:
        box = self._box
        graph = av.filter.Graph()
        entry = graph.add_buffer(width=first.width, height=first.height, format=first.format, time_base=first.time_base)
        crop = graph.add("crop", f"w={box.width}:h={box.height}:x={box.left}:y={box.top}")
        graph.link_nodes(entry, crop, graph.add("format", "yuv420p"), graph.add("buffersink")).configure()
        return graph


class _Sound:
    """The sound from one moment on, written as the picture proceeds."""

    def __init__(self, source: Path, writing: Any, begin: float, seconds: float) -> None:
        self._writing = writing
        for is_seeking in (True, False):
            with open_container(source) as container:
                stream = audio_stream(container, source)
                self._rate = stream.codec_context.sample_rate
                self._layout = "mono" if stream.codec_context.layout.nb_channels == 1 else "stereo"
                if is_seeking:
                    _seek(container, stream, begin - _SOUND_LEAD_SECONDS)
                frames = decode_stream(container, stream, source)
                first = next(frames, None)
                if is_seeking and first is not None and first.time is not None and first.time > begin:
                    continue
                self._samples = self._collect(_chained(first, frames), begin, round((seconds + 1) * self._rate))
                break
        self._stream = writing.add_stream("flac", rate=self._rate, layout=self._layout)
        self._written = 0

    def _collect(self, frames: Iterator[Any], begin: float, count: int) -> np.ndarray:
        """int16 (channels, N), sample 0 at ``begin``; silence where the stream has nothing."""
        samples = np.zeros((1 if self._layout == "mono" else 2, count), np.int16)
        resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=self._rate)
        position: int | None = None
        for frame in frames:
            stamp = position if frame.time is None else round((frame.time - begin) * self._rate)
            if stamp is not None and (position is None or abs(stamp - position) > _GAP_SECONDS * self._rate):
                position = stamp
            frame.pts = None
            for piece in resampler.resample(frame):
                values = piece.to_ndarray()
                position = _place(values, samples, position or 0)
            if position is not None and position >= count:
                break
        return samples

    def write_until(self, seconds: float) -> None:
        """Write what belongs to the picture up to there."""
        end = min(round(seconds * self._rate), self._samples.shape[1])
        while self._written < end:
            block = self._samples[:, self._written : min(self._written + _SOUND_BLOCK, end)]
            interleaved = np.ascontiguousarray(block.T.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=self._layout)
            frame.sample_rate, frame.pts, frame.time_base = self._rate, self._written, Fraction(1, self._rate)
            self._writing.mux(self._stream.encode(frame))
            self._written += block.shape[1]

    def close(self) -> None:
        """Write what the encoder still holds."""
        self._writing.mux(self._stream.encode(None))


def _place(values: np.ndarray, samples: np.ndarray, position: int) -> int:
    """Puts float samples at a position that may lie outside; returns the position after them."""
    first, last = max(0, -position), min(values.shape[1], samples.shape[1] - position)
    if first < last:
        scaled = np.round(values[:, first:last] * 32768.0)
        samples[:, position + first : position + last] = np.clip(scaled, -32768, 32767).astype(np.int16)
    return position + values.shape[1]


def _seek(container: Any, stream: Any, seconds: float) -> None:
    """To the last keyframe before; stays at the beginning where the container cannot."""
    if seconds <= 0:
        return
    try:
        container.seek(int(seconds / stream.time_base), stream=stream)
    except av.error.FFmpegError:
        container.seek(0)


def _chained(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    if first is not None:
        yield first
    yield from rest
