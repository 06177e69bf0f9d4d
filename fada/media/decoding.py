"""Streams to decoded frames, on one time line for picture and sound."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import av
from av.container import InputContainer
from av.video.frame import PictureType

from fada.media.container import (
    DECODER_OPTIONS,
    Source,
    audio_stream,
    check_claims,
    open_container,
    read_packets,
    real_video_streams,
    source_name,
    video_stream,
)
from fada.media.error import MediaError
from fada.media.joins import JoinedTimes, TimeLine, find_time_line, may_jump
from fada.media.tail import TailWatch
from fada.media.threads import thread_limit
from fada.media.truncation import TruncationWatch

_MOST_LEADING = 300
"""Pictures or packets that may be dropped before the first whole picture: more than a usual group of them."""
_PREDICTED = (PictureType.P, PictureType.B, PictureType.S, PictureType.SP, PictureType.BI)
# After one picture that they cannot decode these refuse all, key pictures too.
_DECODERS_THAT_STAY_BROKEN = frozenset(["vp8", "vp9"])
# These withhold pictures predicted from what was never there; others (MPEG-1, -2, -4, Theora ...) show rubbish.
_DECODERS_THAT_WITHHOLD = frozenset(["h264", "hevc", "vvc", "vp8", "vp9", "av1", "libdav1d", "libaom-av1"])


def decode_stream(
    container: InputContainer, stream: av.VideoStream | av.AudioStream, source: Source
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Decoded frames of one stream; single damaged packets are skipped, as players do.

    Pictures begin with the first whole one (:func:`origin_seconds`); time stamps of joined files go on (joins.py).

    Raises:
        MediaError: the header claims absurd sizes, nothing can be decoded, more than one packet in ten is damaged, the
            end of the file is missing, or its time stamps contradict each other.
    """
    check_claims(stream, source)
    if isinstance(stream, av.VideoStream):
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = thread_limit()
        stream.codec_context.options = dict(DECODER_OPTIONS)
    watches = (TruncationWatch(container, source), TailWatch(container, stream, source))
    decoder = _Decoder(stream)
    times = JoinedTimes(container, stream.index, lambda: time_line(source))
    packets = read_packets(container)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            # The container itself breaks off; what is missing is judged below.
            decoder.damaged += 1
            break
        if packet is None:
            break
        for watch in watches:
            watch.see(packet)
        begins_anew = times.see(packet)
        if packet.stream.index != stream.index:
            continue
        if begins_anew:
            yield from decoder.begin_anew()
        frames = decoder.decode(packet)
        if frames is None:
            break
        yield from frames
    for watch in watches:
        watch.check()
    decoder.check(source)


class _Decoder:
    """The decoder of one stream, and the count of what it made of it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._is_video = isinstance(stream, av.VideoStream)
        codec = stream.codec_context.codec
        self._not_first: tuple[int, ...] = ()
        if self._is_video and codec.name not in _DECODERS_THAT_WITHHOLD:
            # Decoders that reorder show a grey picture of no type in place of the one they lack.
            self._not_first = (*_PREDICTED, PictureType.NONE) if codec.reorder else _PREDICTED
        self._needs_key = codec.name in _DECODERS_THAT_STAY_BROKEN
        self._awaits_key = self._needs_key
        self._has_begun = False
        self._dropped = 0
        self.good, self.damaged = 0, 0
        self._damaged_before = 0  # the beginning, or the last join

    def decode(self, packet: Any) -> list[Any] | None:
        """Frames to be shown; None where the decoder has come to its end."""
        if self._awaits_key and not self._may_decode(packet):
            return []
        try:
            frames = packet.decode()
        except av.error.EOFError:
            return None
        except (av.error.FFmpegError, ValueError):
            # ValueError: from 19 on PyAV says so of a decoder that refused to begin, as if it knew none.
            self.damaged += 1
            if self._needs_key:
                self._stream.codec_context.flush_buffers()
                self._awaits_key = True
            return []
        return [frame for frame in frames if self._is_shown(frame)]

    def _may_decode(self, packet: Any) -> bool:
        """Whether this is a key picture, or the end, or none has come for so long that its mark cannot be trusted."""
        if packet.is_keyframe or not packet.size or self._dropped >= _MOST_LEADING:
            self._awaits_key, self._dropped = False, 0
        else:
            self._dropped += 1
            self.damaged += self._has_begun
        return not self._awaits_key

    def begin_anew(self) -> list[Any]:
        """The frames still held, and then as at the beginning: what follows is predicted from nothing before."""
        # An empty packet, as a container gives at its end: it knows the frames' time base.
        end = av.Packet()
        end.stream, end.time_base = self._stream, self._stream.time_base
        frames = self.decode(end) or []
        self._stream.codec_context.flush_buffers()
        self._has_begun, self._awaits_key, self._dropped = False, self._needs_key, 0
        self._damaged_before = self.damaged
        return frames

    def _is_shown(self, frame: Any) -> bool:
        if not self._has_begun:
            is_whole = not frame.is_corrupt and not (self._is_video and frame.pict_type in self._not_first)
            if not is_whole and self._dropped < _MOST_LEADING:
                self._dropped += 1
                return False
            self._has_begun = True
            if self._is_video:
                # A recording that begins inside a group of pictures is not damaged.
                self.damaged = max(self._damaged_before, self.damaged - _MOST_LEADING)
        self.good += 1
        return True

    def check(self, source: Source) -> None:
        """Know that enough of the stream was decoded; call at its end."""
        stream = self._stream
        if self.good == 0:
            no_size = self._is_video and not stream.codec_context.width
            remark = "; its header claims no size for its pictures, or one over 8192x4320" if no_size else ""
            raise MediaError(
                f"{source_name(source)}: its {stream.type} stream holds nothing that can be decoded{remark}"
            )
        if self.damaged > max(2, 0.1 * (self.good + self.damaged)):
            raise MediaError(
                f"{source_name(source)}: damaged: {self.damaged} of {self.good + self.damaged} {stream.type} packets "
                "cannot be decoded"
            )


def time_line(source: Source) -> TimeLine:
    """How the parts of a joined file follow each other, see joins.py; reads the whole file."""
    streams: dict[int, str] = {}
    with open_container(source) as container:
        for kind, find in (("picture", video_stream), ("sound", audio_stream)):
            with suppress(MediaError):
                streams[find(container, source).index] = kind
        return find_time_line(container, streams, source_name(source))


def origin_seconds(source: Source) -> float:
    """Time 0 of both picture and sound: the first picture that is shown, or the first sample where there is none.

    Picture and sound are read separately; one origin keeps them together where a container starts them apart. It is the
    time of the first whole picture, not the one the header states: a recording may begin inside a group of pictures,
    whose others cannot be decoded, or an edit list may hide the first ones. Decodes no more than up to that picture.
    """
    with open_container(source) as container:
        for stream in real_video_streams(container)[:1]:
            with suppress(MediaError):
                first = next(decode_stream(container, video_stream(container, source), source))
                if first.time is not None:
                    return float(first.time)
            if stream.start_time is not None and stream.time_base:
                return float(stream.start_time * stream.time_base)
        for sound in container.streams.audio[:1]:
            if sound.start_time is not None and sound.time_base:
                return float(sound.start_time * sound.time_base)
    return 0.0


def is_joined(container: InputContainer, source: Source) -> bool:
    """Whether the time stamps begin anew within the file, so that no place can be found by them."""
    return may_jump(container) and time_line(source).is_joined
