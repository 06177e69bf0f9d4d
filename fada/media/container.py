"""Opening media containers and saying clearly what is wrong with a bad one.

Knows files and streams. Does not know packets and times (decoding.py), pixels (video.py) or samples (audio.py).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer

from fada.media.error import MediaError
from fada.media.formats import READ_FORMATS, InputFile, open_input, refused_format
from fada.media.movie_boxes import check_one_movie
from fada.media.wav_header import check_wav_length

Source = str | os.PathLike[str] | bytes
"""A path, or the bytes of a whole file."""

# What a damaged header may claim beyond these would cost memory or hours before anything fails.
MOST_PIXELS = 8192 * 4320
"""Largest picture: 8K."""
MOST_SECONDS = 6 * 3600.0
"""Longest sound or video: its sound takes 1.4 GB at 16 kHz."""
MOST_GAP_SECONDS = 600.0
"""Longest time without a picture or a sound between two others."""
_MOST_FRAMES_PER_SECOND = 1000
"""FFmpeg sometimes takes a time base for a rate."""
_SAMPLE_RATES = range(1000, 768001)
# FFmpeg's own guard, for sizes that change within a stream and for those it meets while it looks for streams.
DECODER_OPTIONS = {"max_pixels": str(MOST_PIXELS)}


def source_name(source: Source) -> str:
    """How error messages name a source."""
    return f"<{len(source)} bytes in memory>" if isinstance(source, bytes) else os.fspath(source)


def check_file(path: str | os.PathLike[str]) -> Path:
    """The path, known to be a file that is not empty.

    Raises:
        MediaError: the file is missing, a folder, empty or not readable.
    """
    path = Path(path)
    if path.is_dir():
        raise MediaError(f"{path}: is a folder; give the path of a file")
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise MediaError(f"{path}: the file is empty (0 bytes); copy or download it again")
    if not os.access(path, os.R_OK):
        raise MediaError(f"{path}: no permission to read this file")
    return path


@contextmanager
def open_container(source: Source) -> Iterator[InputContainer]:
    """Open a media file for reading; the kind is found from the content, never from the extension.

    Nothing but the file itself is read: see formats.py.

    Raises:
        MediaError: the file is missing, empty, cut off before its index, not media at all, or of a format that is not
            read.
    """
    with _open_file(source) as opened:
        file = InputFile(opened, source_name(source))
        check_one_movie(file, source_name(source))
        is_open_ended = check_wav_length(file, source_name(source), MOST_SECONDS)
        options = {**DECODER_OPTIONS, "ignore_length": "1"} if is_open_ended else DECODER_OPTIONS
        try:
            container = open_input(file, options)
        except (av.error.FFmpegError, ValueError) as error:
            found = refused_format(file)
            if found is not None:
                raise MediaError(
                    f"{source_name(source)}: is {found}, not a video or sound format that is read "
                    f"({', '.join(READ_FORMATS)}); convert it first"
                ) from error
            raise MediaError(
                f"{source_name(source)}: cannot be opened as video or audio ({_reason(error)}); "
                "the content is cut off, damaged or not media, whatever the extension says"
            ) from error
        with container:
            yield container


def _open_file(source: Source) -> BinaryIO:
    if isinstance(source, bytes):
        if not source:
            raise MediaError("media in memory is empty (0 bytes)")
        return io.BytesIO(source)
    path = check_file(source)
    try:
        return open(path, "rb", buffering=0)
    except OSError as error:
        raise MediaError(f"{path}: cannot be opened ({error.strerror})") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def real_video_streams(container: InputContainer) -> list[av.VideoStream]:
    """Streams of pictures, of known codecs or not; cover art does not count."""
    return [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]


def video_stream(container: InputContainer, source: Source) -> av.VideoStream:
    """The first real video stream of a known codec (cover art does not count).

    Raises:
        MediaError: there is none.
    """
    for stream in real_video_streams(container):
        if stream.codec_context is not None:
            return stream
    raise MediaError(f"{source_name(source)}: has no video stream that can be decoded ({_list_streams(container)})")


def read_packets(container: InputContainer) -> Iterator[av.Packet]:
    """All packets of the streams known when the container was opened, and one without data for each at the end.

    Raises:
        av.error.FFmpegError: the container breaks off.
    """
    packets = container.demux()
    while True:
        try:
            packet = next(packets, None)
        except IndexError:
            # PyAV looks for the streams that came to light meanwhile; ours had their end.
            return
        if packet is None:
            return
        yield packet


def frame_rate(stream: av.VideoStream) -> Fraction | None:
    """Frames per second as the header has them, or as FFmpeg guesses; None where neither can be meant."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= _MOST_FRAMES_PER_SECOND:
            return Fraction(rate.numerator, rate.denominator)
    return None


def audio_stream(container: InputContainer, source: Source) -> av.AudioStream:
    """The first audio stream.

    Raises:
        MediaError: there is none.
    """
    for stream in container.streams.audio:
        if stream.codec_context is not None and stream.codec_context.sample_rate:
            return stream
    raise MediaError(f"{source_name(source)}: has no audio stream ({_list_streams(container)})")


def _list_streams(container: InputContainer) -> str:
    kinds = [stream.type or "unknown" for stream in container.streams]
    return f"found: {', '.join(kinds)}" if kinds else "found no streams"


def check_claims(stream: av.VideoStream | av.AudioStream, source: Source) -> None:
    """Know that what a stream's header claims can be decoded.

    Raises:
        MediaError: pictures over 8K, or a sample rate that no sound has.
    """
    if isinstance(stream, av.VideoStream):
        check_size(stream.codec_context.width, stream.codec_context.height, source)
    elif stream.codec_context.sample_rate not in _SAMPLE_RATES:
        raise MediaError(
            f"{source_name(source)}: claims {stream.codec_context.sample_rate} samples per second, known are "
            f"{_SAMPLE_RATES[0]} to {_SAMPLE_RATES[-1]}; its header is damaged"
        )


def check_size(width: int, height: int, source: Source) -> None:
    """Know that a picture of this size can be held.

    Raises:
        MediaError: it has more pixels than 8K.
    """
    if width * height > MOST_PIXELS:
        raise MediaError(
            f"{source_name(source)}: claims pictures of {width}x{height}, at most {MOST_PIXELS} pixels (8192x4320) are "
            "read; its header is damaged, or it must be made smaller first"
        )


def check_time(seconds: float, gap: float, source: Source) -> None:
    """Know that a time stamp can be meant.

    Args:
        seconds: since the beginning.
        gap: since the one before it.

    Raises:
        MediaError: it lies too late, or too far from the one before.
    """
    if gap > MOST_GAP_SECONDS:
        raise MediaError(
            f"{source_name(source)}: its time stamps jump by {gap:.0f} s to {seconds:.0f} s, at most "
            f"{MOST_GAP_SECONDS:.0f} s are bridged; it is damaged"
        )
    if seconds > MOST_SECONDS:
        raise MediaError(
            f"{source_name(source)}: longer than {MOST_SECONDS / 3600:g} hours, which is more than is held in memory; "
            "cut it into parts"
        )
