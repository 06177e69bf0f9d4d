"""Files put together from several recordings: places where the time stamps of picture and sound begin anew.

Transport streams are often joined by copying one behind the other (recorders that split, ``cat``). Every part then
counts from its own beginning. Here such places are found, and one shift per part is chosen for picture and sound
alike: the part begins where the one before it ended in whichever stream ended later. So the parts follow each other,
and within each the distance between picture and sound stays what it was.

A stream's time stamps are followed in the order of the file. They jump where a decoding time lies before the one before
it, or, in formats that may be cut (FFmpeg's AVFMT_TS_DISCONT), more than ten seconds after it (FFmpeg's own threshold).
Jumps of both streams that lie close together are one join. A jump forward of one stream alone is a pause and stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import av
from av.container import InputContainer

from fada.media.container import read_packets
from fada.media.error import MediaError

_JITTER_SECONDS = 0.1
"""Decoding times that step back by less are a writer's rounding."""
_JUMP_BACK_SECONDS = 0.5
"""A stream that alone steps back by more contradicts the other."""
_JUMP_FORWARD_SECONDS = 10.0
_CLOSE_SECONDS = 5.0
"""Picture and sound of the same time lie at most so far apart in a file."""
_MAY_JUMP = 0x0200
"""FFmpeg's AVFMT_TS_DISCONT."""


def may_jump(container: InputContainer) -> bool:
    """Whether files of this format may be joined by copying one behind the other."""
    return bool(container.format.flags & _MAY_JUMP)


class JumpFinder:
    """Tells packet by packet where the time stamps of one stream jump; the same packets always give the same jumps."""

    def __init__(self, container: InputContainer) -> None:
        self._may_jump_forward = may_jump(container)
        self._last: float | None = None
        self._end = 0.0

    def jumps_at(self, packet: av.Packet) -> bool:
        """Whether this packet is the first after a jump."""
        # Pictures are not stored in the order of their presentation times.
        is_ordered = packet.stream.type == "audio"
        time = _seconds(packet, packet.pts if packet.dts is None and is_ordered else packet.dts)
        if time is None:
            return False
        is_back = self._last is not None and time < self._last - _JITTER_SECONDS
        is_forward = self._may_jump_forward and self._last is not None and time > self._end + _JUMP_FORWARD_SECONDS
        self._last, self._end = time, time + (_seconds(packet, packet.duration) or 0.0)
        return is_back or is_forward


def _seconds(packet: av.Packet, stamp: int | None) -> float | None:
    return None if stamp is None or not packet.time_base else float(stamp * packet.time_base)


@dataclass
class _Part:
    """Packets of one stream between two jumps."""

    place: int
    """Number of its first packet in the file."""
    others: dict[int, float]
    """Where the other streams were then, in seconds."""
    start: float = float("inf")
    end: float = float("-inf")

    def see(self, packet: av.Packet) -> None:
        begin = _seconds(packet, packet.pts if packet.pts is not None else packet.dts)
        if begin is not None:
            self.start = min(self.start, begin)
            self.end = max(self.end, begin + (_seconds(packet, packet.duration) or 0.0))


@dataclass
class _Join:
    """Jumps of one or more streams at one place: by stream, the number of the part that begins there."""

    place: int
    others: dict[int, float]
    parts: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TimeLine:
    """How the parts of a file follow each other."""

    shifts: dict[int, list[float]]
    """By stream, what to add to the time stamps of each of its parts, in seconds."""
    ends: dict[int, float]
    """By stream, when it ends, in seconds, after that."""

    @property
    def is_joined(self) -> bool:
        """Whether any part must be moved."""
        return any(any(shifts) for shifts in self.shifts.values())


def find_time_line(container: InputContainer, streams: dict[int, str], name: str) -> TimeLine:
    """Follow all time stamps of a file; reads it to its end.

    Args:
        container: at its beginning.
        streams: index and kind ("picture", "sound") of those that matter.
        name: of the file.

    Raises:
        MediaError: one stream jumps back while another goes on, so that no shift is right for both.
    """
    parts = _parts(container, streams)
    shifts = {index: [0.0] for index in streams}
    shift = 0.0
    for join in _joins(parts):
        for index in parts:
            if index not in join.parts and _goes_on(parts[index], join, index):
                _check_alone(parts, join, streams, index, name)
                break
        else:
            edges = ((parts[index][number - 1].end, parts[index][number].start) for index, number in join.parts.items())
            shift += max(end - start for end, start in edges)
        for index in parts:
            if index in join.parts:
                shifts[index].append(shift)
            elif parts[index] and parts[index][0].place > join.place:
                shifts[index] = [shift]
    return TimeLine(shifts, {index: found[-1].end + shifts[index][-1] for index, found in parts.items() if found})


def _parts(container: InputContainer, streams: dict[int, str]) -> dict[int, list[_Part]]:
    finders = {index: JumpFinder(container) for index in streams}
    parts: dict[int, list[_Part]] = {index: [] for index in streams}
    packets = read_packets(container)
    place = 0
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            # What is missing is judged where the streams are decoded.
            break
        if packet is None:
            break
        index, place = packet.stream.index, place + 1
        if index not in streams:
            continue
        jumps = finders[index].jumps_at(packet)
        if packet.dts is None and packet.pts is None:
            continue
        if jumps or not parts[index]:
            others = {other: found[-1].end for other, found in parts.items() if found and other != index}
            parts[index].append(_Part(place, others))
        parts[index][-1].see(packet)
    return parts


def _joins(parts: dict[int, list[_Part]]) -> list[_Join]:
    """The jumps of all streams in the order of the file, those that belong together as one."""
    jumps = sorted((part.place, index, number) for index in parts for number, part in enumerate(parts[index]) if number)
    joins: list[_Join] = []
    for place, index, number in jumps:
        last = joins[-1] if joins else None
        at_last = last.others.get(index) if last is not None else None
        if last is None or index in last.parts or at_last is None:
            is_close = False
        else:
            is_close = parts[index][number - 1].end - at_last < _CLOSE_SECONDS
        if last is None or not is_close:
            last = _Join(place, parts[index][number].others)
            joins.append(last)
        last.parts[index] = number
    return joins


def _goes_on(parts: list[_Part], join: _Join, index: int) -> bool:
    """Whether a stream without a jump there has packets on both sides of a join."""
    before = [part for part in parts if part.place < join.place]
    return bool(before) and index in join.others and before[-1].end - join.others[index] >= _CLOSE_SECONDS


def _check_alone(parts: dict[int, list[_Part]], join: _Join, streams: dict[int, str], going_on: int, name: str) -> None:
    for index, number in join.parts.items():
        end, start = parts[index][number - 1].end, parts[index][number].start
        if start < end - _JUMP_BACK_SECONDS:
            raise MediaError(
                f"{name}: the time stamps of its {streams[index]} jump back by {end - start:.2f} s at {end:.2f} s "
                f"while those of its {streams[going_on]} go on; convert it to one time line first"
            )


class JoinedTimes:
    """The time stamps of one stream on the one time line of a file that may be joined.

    Args:
        container: that is being read.
        index: of the stream.
        find: follows all time stamps of the file (:func:`find_time_line`); called where a jump is seen.
    """

    def __init__(self, container: InputContainer, index: int, find: Callable[[], TimeLine]) -> None:
        self._index = index
        self._find = find
        self._finders: dict[int, JumpFinder] = {}
        self._container = container
        self._shifts: list[float] | None = None
        self._part = 0

    def see(self, packet: av.Packet) -> bool:
        """Take note of a packet of any stream, and move it if it is one of ours.

        Returns:
            Whether it is ours and the first behind a join: the decoder must begin anew.
        """
        index = packet.stream.index
        if packet.stream.type not in ("video", "audio"):
            return False
        finder = self._finders.setdefault(index, JumpFinder(self._container))
        jumps = finder.jumps_at(packet)
        if jumps and self._shifts is None:
            self._shifts = self._find().shifts.get(self._index, [0.0])
        if index != self._index or self._shifts is None:
            return False
        self._part += jumps
        shift = self._shifts[min(self._part, len(self._shifts) - 1)]
        if packet.time_base and shift:
            move = round(shift / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + move
            packet.dts = None if packet.dts is None else packet.dts + move
        return jumps
