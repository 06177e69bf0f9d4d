"""Pictures in time: reading any video to frames at a steady rate, writing H.264.

Frames are uint8 RGB. Time 0 is the first frame; audio.py reads the sound of the same file from that same moment.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from fada.files.whole import whole_file
from fada.media.audio import check_audio
from fada.media.colour import EXACT_COLOURS
from fada.media.container import (
    Source,
    check_time,
    frame_rate,
    open_container,
    video_stream,
)
from fada.media.container import source_name as _name
from fada.media.decoding import decode_stream, time_line
from fada.media.error import MediaError
from fada.media.image import square_resize
from fada.media.joins import may_jump
from fada.media.sample_rate import SAMPLE_RATE
from fada.media.upright import UprightFrames

__all__ = [
    "MediaError",
    "VideoInfo",
    "decode_video",
    "encode_video",
    "iterate_frames",
    "probe",
    "read_video",
    "write_video",
]

Quality = Literal["visual", "lossless"]
_AUDIO_BLOCK = 1024
_WHOLE_ROWS = 128
"""Widths that are no multiple of it lead x264's macroblock tree to read memory that nobody wrote: equal pictures then
become other bytes now and then."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video's header says; sizes are as shown (after rotation and pixel aspect)."""

    width: int
    height: int
    fps: float | None
    """Mean rate; None where the header does not say."""
    frame_count: int | None
    duration_seconds: float
    has_audio: bool
    codec: str
    rotation: int
    """Degrees counter-clockwise that were applied to show the picture upright: 0, 90, 180 or 270."""
    is_mirrored: bool = False
    """Whether left and right were swapped after that."""


def probe(path: Source) -> VideoInfo:
    """What a video is, from its header and first frame.

    Raises:
        MediaError: missing, empty, damaged, not a video, or no frame can be decoded.
    """
    with open_container(path) as container:
        stream = video_stream(container, path)
        upright = UprightFrames(stream, path)
        rate = frame_rate(stream)
        frame = next(decode_stream(container, stream, path))
        assert isinstance(frame, av.VideoFrame)
        height, width = upright.pixels(frame).shape[:2]
        line = time_line(path) if may_jump(container) else None
        if line is not None and line.is_joined:
            # The header knows the last part only.
            duration = line.ends[stream.index] - float(frame.time or 0.0)
        elif stream.duration is not None and stream.time_base:
            duration = float(stream.duration * stream.time_base)
        else:
            duration = (container.duration or 0) / av.time_base
        return VideoInfo(
            width=width,
            height=height,
            fps=float(rate) if rate else None,
            frame_count=stream.frames or None,
            duration_seconds=duration,
            has_audio=any(s.codec_context and s.codec_context.sample_rate for s in container.streams.audio),
            codec=stream.codec_context.name,
            rotation=upright.layout(frame).orientation.rotation,
            is_mirrored=upright.layout(frame).orientation.is_mirrored,
        )


def iterate_frames(
    path: Source, fps: float | None = 25.0, max_seconds: float | None = None, size: int | None = None
) -> Iterator[np.ndarray]:
    """Frames one by one, so that a long video never has to fit in memory; see :func:`read_video`."""
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be positive or None, got {fps}")
    with open_container(path) as container:
        stream = video_stream(container, path)
        frames = decode_stream(container, stream, path)
        upright = UprightFrames(stream, path)
        source_fps = float(frame_rate(stream) or 25)
        for frame in at_steady_rate(frames, fps, source_fps, max_seconds, path):
            pixels = upright.pixels(frame)
            yield pixels if size is None else square_resize(pixels, size)


def at_steady_rate(
    frames: Iterator[Any], fps: float | None, source_fps: float, max_seconds: float | None, source: Source
) -> Iterator[av.VideoFrame]:
    """Frame ``k`` is the last one whose time stamp rounds to ``k / fps`` or earlier (as FFmpeg's fps filter)."""
    rate = source_fps if fps is None else fps
    limit = math.inf if max_seconds is None else max(1, round(max_seconds * rate))
    first: float | None = None
    shown: av.VideoFrame | None = None
    shown_at, count = 0.0, 0
    for index, frame in enumerate(frames):
        time = frame.time if frame.time is not None else (first or 0.0) + index / source_fps
        first = time if first is None else first
        if fps is None:
            if count >= limit:
                return
            count += 1
            yield frame
            continue
        check_time(time - first, time - first - shown_at, source)
        slot = math.floor((time - first) * fps + 0.5)
        while shown is not None and count < slot:
            if count >= limit:
                return
            count += 1
            yield shown
        shown, shown_at = frame, time - first
    if shown is None or fps is None:
        return
    # The last frame stays for its own duration.
    length = float(shown.duration * shown.time_base) if shown.duration and shown.time_base else 1 / source_fps
    check_time(shown_at, length, source)
    end = max(1, math.floor((shown_at + length) * fps + 0.5))
    while count < min(end, limit):
        count += 1
        yield shown


def read_video(
    path: Source, fps: float | None = 25.0, max_seconds: float | None = None, size: int | None = None
) -> np.ndarray:
    """All frames of a video, upright, with square pixels.

    Args:
        path: any container and codec FFmpeg knows, or the bytes of one.
        fps: steady rate to resample to by presentation time (variable rates are handled); None takes each frame once.
        max_seconds: read no more than this.
        size: side of the centred square to cut and scale to; None keeps the frame whole.

    Returns:
        uint8 (F, H, W, 3).

    Raises:
        MediaError: missing, empty, truncated, damaged, no video stream, or frames that change size.
    """
    frames = list(iterate_frames(path, fps, max_seconds, size))
    if not frames:
        raise MediaError(f"{_name(path)}: holds no frames")
    shapes = {frame.shape for frame in frames}
    if len(shapes) > 1:
        sizes = ", ".join(f"{width}x{height}" for height, width, _ in sorted(shapes))
        raise MediaError(f"{_name(path)}: frames change size within the video ({sizes}); pass `size`")
    return np.stack(frames)


def decode_video(
    data: bytes, fps: float | None = None, max_seconds: float | None = None, size: int | None = None
) -> np.ndarray:
    """Frames of a video file held in memory, each once unless ``fps`` is given; see :func:`read_video`."""
    return read_video(data, fps, max_seconds, size)


def write_video(
    path: str | os.PathLike[str],
    frames: np.ndarray,
    fps: float = 25.0,
    audio: np.ndarray | None = None,
    sample_rate: int = SAMPLE_RATE,
    quality: Quality = "visual",
) -> None:
    """Write an mp4, atomically.

    Args:
        path: the file; an earlier one is replaced when the new one is complete.
        frames: uint8 (F, H, W, 3).
        fps: frames per second.
        audio: mono samples (N,) in [-1, 1]; silent video without.
        sample_rate: samples per second of ``audio``.
        quality: "visual" is H.264 yuv420p (an odd last row or column is repeated to make it even) with AAC, which
            plays everywhere; "lossless" keeps every RGB value (H.264 RGB) and 16-bit sample (FLAC), for data.

    Raises:
        MediaError: frames or audio of another shape or type.
    """
    _check_frames(frames)
    with whole_file(path) as temporary:
        _encode(f"file:{temporary}", frames, fps, audio, sample_rate, quality)


def encode_video(
    frames: np.ndarray,
    fps: float = 25.0,
    audio: np.ndarray | None = None,
    sample_rate: int = SAMPLE_RATE,
    quality: Quality = "visual",
) -> bytes:
    """An mp4 as bytes; see :func:`write_video`."""
    _check_frames(frames)
    buffer = io.BytesIO()
    _encode(buffer, frames, fps, audio, sample_rate, quality)
    return buffer.getvalue()


def _check_frames(frames: np.ndarray) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise MediaError(f"frames must be uint8 of shape (F, H, W, 3), got {frames.dtype} {frames.shape}")


def _encode(
    target: Any, frames: np.ndarray, fps: float, audio: np.ndarray | None, sample_rate: int, quality: Quality
) -> None:
    if quality not in ("visual", "lossless"):
        raise MediaError(f"quality must be visual or lossless, got {quality!r}")
    lossless = quality == "lossless"
    with av.open(target, mode="w", format="mp4") as container:
        video = add_video_stream(container, frames, fps, lossless)
        sound = None
        if audio is not None:
            sound = container.add_stream("flac" if lossless else "aac", rate=sample_rate, layout="mono")
            if not lossless:
                sound.bit_rate = 128_000
        for index, pixels in enumerate(frames):
            frame = to_frame(pixels, lossless)
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None and audio is not None:
            _encode_audio(container, sound, check_audio(audio), sample_rate, lossless)


def add_video_stream(
    container: Any, frames: np.ndarray, fps: float, lossless: bool, options: dict[str, str] | None = None
) -> Any:
    """A video stream for frames of this size; options are those of the encoder, beside our own."""
    height, width = frames.shape[1:3]
    # One thread: the same bytes on every machine, and workers do not fight for cores.
    options = {"preset": "veryfast", "threads": "1", **(options or {})}
    options |= {"qp": "0"} if lossless else {"crf": "14"}
    if width % _WHOLE_ROWS:
        options |= {"mbtree": "0"}
    stream = container.add_stream(
        "libx264rgb" if lossless else "libx264", rate=Fraction(fps).limit_denominator(1001), options=options
    )
    stream.width, stream.height = (width, height) if lossless else (width + width % 2, height + height % 2)
    stream.pix_fmt = "rgb24" if lossless else "yuv420p"
    if not lossless:
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709, said so that players agree
        context.color_range = 1
    return stream


def to_frame(pixels: np.ndarray, lossless: bool) -> av.VideoFrame:
    """Pixels (H, W, 3) as the encoder wants them: exact colours, and, unless lossless, even sides."""
    if lossless:
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return frame.reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        interpolation=EXACT_COLOURS,
    )


def _encode_audio(container: Any, stream: Any, audio: np.ndarray, sample_rate: int, lossless: bool) -> None:
    if lossless:
        samples = np.clip(np.round(audio * 32768.0), -32768, 32767).astype(np.int16)
    else:
        samples = np.clip(audio, -1.0, 1.0)
    kind = "s16" if lossless else "fltp"
    for start in range(0, len(samples), _AUDIO_BLOCK):
        block = np.ascontiguousarray(samples[None, start : start + _AUDIO_BLOCK])
        frame = av.AudioFrame.from_ndarray(block, format=kind, layout="mono")
        frame.sample_rate = sample_rate
        frame.pts = start
        frame.time_base = Fraction(1, sample_rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
