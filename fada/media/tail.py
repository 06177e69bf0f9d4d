"""Noticing that a file goes on behind what is read of it, in other streams than it began with.

Transport streams of different recorders that are joined number their streams differently. FFmpeg then tells of new
streams, or, where they come late, of nothing at all; what was asked for would end where the first part ends. So it does
in Flash video behind a second header.
"""

from __future__ import annotations

import av
from av.container import InputContainer

from fada.media.container import Source, source_name
from fada.media.error import MediaError
from fada.media.joins import may_jump

_LEAST_TAIL_BYTES = 1 << 16
_TAIL_SHARE = 0.05
"""So much of a file may lie behind the last packet of any stream: padding, or what a writer broke off."""


class TailWatch:
    """Follows where the packets of one stream, of others of its kind and of all lie in a file that may be joined."""

    def __init__(self, container: InputContainer, stream: av.VideoStream | av.AudioStream, source: Source) -> None:
        self._stream, self._source = stream, source
        self._size = container.size if may_jump(container) or container.format.name == "flv" else 0
        self._last = self._last_own = 0
        self._first_of_others: dict[int, int] = {}

    def see(self, packet: av.Packet) -> None:
        """Take note of a demuxed packet."""
        place = packet.pos
        if not self._size or place is None:
            return
        self._last = max(self._last, place + packet.size)
        if packet.stream.index == self._stream.index:
            self._last_own = max(self._last_own, place)
        elif packet.stream.type == self._stream.type:
            self._first_of_others.setdefault(packet.stream.index, place)

    def check(self) -> None:
        """Know that the stream is not continued in another one; call after the last packet.

        Raises:
            MediaError: it is, or most probably is.
        """
        tail = self._size - self._last
        if any(first > self._last_own for first in self._first_of_others.values()):
            kind = "picture" if self._stream.type == "video" else "sound"
            fault = f"its {kind} goes on in other streams than it begins with"
        elif tail > max(_LEAST_TAIL_BYTES, _TAIL_SHARE * self._size):
            fault = f"{tail} of its {self._size} bytes lie behind the last packet of the streams it begins with"
        else:
            return
        raise MediaError(
            f"{source_name(self._source)}: {fault}; it is joined from several recordings: cut it into these, or "
            "convert it to one time line first"
        )
