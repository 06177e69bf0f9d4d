"""Opening media containers and saying clearly what is wrong with a bad one.

Knows files, streams and the common time line of picture and sound. Does not know pixels (video.py) or samples
(audio.py).
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from fada.media.error import MediaError
from fada.media.threads import thread_limit

Source = str | os.PathLike[str] | bytes
"""A path, or the bytes of a whole file."""

# Formats whose header states the length, so that missing data can be noticed; MPEG streams and bare mp3 only guess.
_FORMATS_WITH_KNOWN_LENGTH = ("mov", "mp4", "matroska", "webm", "avi", "wav", "flac")
_TRUNCATION_TOLERANCE_SECONDS = 0.5
_TRUNCATION_TOLERANCE_SHARE = 0.05

# What a damaged header may claim beyond these would cost memory or hours before anything fails.
MOST_PIXELS = 8192 * 4320
"""Largest picture: 8K."""
MOST_SECONDS = 6 * 3600.0
"""Longest sound or video: its sound takes 1.4 GB at 16 kHz."""
MOST_GAP_SECONDS = 600.0
"""Longest time without a picture or a sound between two others."""
_SAMPLE_RATES = range(1000, 768001)
# FFmpeg's own guard, for sizes that change within a stream and for those it meets while it looks for streams.
_DECODER_OPTIONS = {"max_pixels": str(MOST_PIXELS)}


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

    Raises:
        MediaError: the file is missing, empty, cut off before its index, or not media at all.
    """
    if isinstance(source, bytes):
        if not source:
            raise MediaError("media in memory is empty (0 bytes)")
        target: Any = io.BytesIO(source)
    else:
        target = str(check_file(source))
    try:
        container = av.open(target, mode="r", metadata_errors="replace", options=dict(_DECODER_OPTIONS))
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(
            f"{source_name(source)}: cannot be opened as video or audio ({_reason(error)}); "
            "the content is cut off, damaged or not media, whatever the extension says"
        ) from error
    with container:
        if container.format.name == "wav":
            _check_wav_length(source)
        yield container


def _check_wav_length(source: Source) -> None:
    """FFmpeg takes a cut WAV for a shorter one; its header knows better."""
    if isinstance(source, bytes):
        header, size = source[:8], len(source)
    else:
        with open(source, "rb") as file:
            header, size = file.read(8), os.path.getsize(source)
    declared = int.from_bytes(header[4:8], "little") + 8
    # Writers that cannot seek back leave 0 or the largest number.
    is_stated = header[:4] == b"RIFF" and 8 < declared < 2**31
    if is_stated and size < (1 - _TRUNCATION_TOLERANCE_SHARE) * declared:
        raise MediaError(
            f"{source_name(source)}: truncated: {size} of the {declared} bytes its header promises are there; "
            "copy or download it again"
        )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def is_still_picture(container: InputContainer) -> bool:
    """Whether the file is one picture or a text file (FFmpeg renders both as video)."""
    name = container.format.name
    return name.endswith("_pipe") or name in ("image2", "tty")


def video_stream(container: InputContainer, source: Source) -> av.VideoStream:
    """The first real video stream of a known codec (cover art does not count).

    Raises:
        MediaError: there is none.
    """
    if is_still_picture(container):
        raise MediaError(f"{source_name(source)}: is a picture or text ({container.format.name}), not a video")
    for stream in container.streams.video:
        is_cover = stream.disposition & av.stream.Disposition.attached_pic
        if not is_cover and stream.codec_context is not None:
            return stream
    raise MediaError(f"{source_name(source)}: has no video stream that can be decoded ({_list_streams(container)})")


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


def origin_seconds(container: InputContainer) -> float:
    """Time 0 of both picture and sound: the first video frame, or the first sample where there is no video.

    Picture and sound are read separately; one origin keeps them together where a container starts them apart.
    """
    real_video = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    for stream in [*real_video[:1], *container.streams.audio[:1]]:
        if stream.start_time is not None and stream.time_base is not None:
            return float(stream.start_time * stream.time_base)
    return 0.0


class TruncationWatch:
    """Notices that a file holds less than its header promises."""

    def __init__(self, container: InputContainer, source: Source) -> None:
        names = container.format.name.split(",")
        self._is_checked = any(name in _FORMATS_WITH_KNOWN_LENGTH for name in names)
        # Matroska declares where its last stamp lies, the others how long they are.
        self._start = 0.0 if "matroska" in names else (container.start_time or 0) / av.time_base
        self._declared = (container.duration or 0) / av.time_base
        self._end = 0.0
        self._source = source

    def see(self, packet: av.Packet) -> None:
        """Take note of a demuxed packet."""
        if packet.stream.type in ("video", "audio") and packet.pts is not None and packet.time_base is not None:
            self._end = max(self._end, float((packet.pts + (packet.duration or 0)) * packet.time_base) - self._start)

    def check(self) -> None:
        """Compare what came with what was promised; call after the last packet.

        Raises:
            MediaError: data is missing at the end.
        """
        slack = max(_TRUNCATION_TOLERANCE_SECONDS, _TRUNCATION_TOLERANCE_SHARE * self._declared)
        # Very short files still count as cut off when less than half is there.
        slack = min(slack, 0.5 * self._declared)
        if self._is_checked and self._end < self._declared - slack:
            raise MediaError(
                f"{source_name(self._source)}: truncated: {self._end:.2f} s of the {self._declared:.2f} s "
                "its header promises are there; copy or download it again"
            )


def decode_stream(
    container: InputContainer, stream: av.VideoStream | av.AudioStream, source: Source
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Decoded frames of one stream; single damaged packets are skipped, as players do.

    Raises:
        MediaError: the header claims absurd sizes, nothing can be decoded, more than one packet in ten is damaged, or
            the end of the file is missing.
    """
    _check_claims(stream, source)
    if isinstance(stream, av.VideoStream):
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = thread_limit()
        stream.codec_context.options = dict(_DECODER_OPTIONS)
    watch = TruncationWatch(container, source)
    good, damaged = 0, 0
    packets = container.demux()
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            # The container itself breaks off; what is missing is judged below.
            damaged += 1
            break
        if packet is None:
            break
        watch.see(packet)
        if packet.stream.index != stream.index:
            continue
        try:
            frames = packet.decode()
        except av.error.EOFError:
            break
        except av.error.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            if not getattr(frame, "is_corrupt", False) or good:
                good += 1
                yield frame  # type: ignore[misc]
    watch.check()
    if good == 0:
        no_size = isinstance(stream, av.VideoStream) and not stream.codec_context.width
        remark = "; its header claims no size for its pictures, or one over 8192x4320" if no_size else ""
        raise MediaError(f"{source_name(source)}: its {stream.type} stream holds nothing that can be decoded{remark}")
    if damaged > max(2, 0.1 * (good + damaged)):
        raise MediaError(
            f"{source_name(source)}: damaged: {damaged} of {good + damaged} {stream.type} packets cannot be decoded"
        )


def _check_claims(stream: av.VideoStream | av.AudioStream, source: Source) -> None:
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


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it only when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix + ".partial", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only their owner may read; give them the ordinary rights.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file atomically: readers see the old file or the new one, never a part."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
