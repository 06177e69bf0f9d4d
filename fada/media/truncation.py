"""Noticing that a file holds less than its header promises."""

from __future__ import annotations

import av
from av.container import InputContainer

from fada.media.container import Source, source_name
from fada.media.error import MediaError

# Formats whose header states the length, so that missing data can be noticed; MPEG streams and bare mp3 only guess.
# WAV's length is checked by its header.
_FORMATS_WITH_KNOWN_LENGTH = ("mov", "mp4", "matroska", "webm", "avi", "flac", "aiff", "au", "tta", "wv")
_TRUNCATION_TOLERANCE_SECONDS = 0.5
_TRUNCATION_TOLERANCE_SHARE = 0.05


class TruncationWatch:
    """Notices that a file holds less than its header promises."""

    def __init__(self, container: InputContainer, source: Source) -> None:
        names = container.format.name.split(",")
        self._is_checked = any(name in _FORMATS_WITH_KNOWN_LENGTH for name in names)
        # Matroska declares where its last stamp lies, the others how long they are.
        self._is_length = "matroska" not in names
        self._start = (container.start_time or 0) / av.time_base if self._is_length else 0.0
        self._declared = (container.duration or 0) / av.time_base
        self._end = self._start
        self._source = source

    def see(self, packet: av.Packet) -> None:
        """Take note of a demuxed packet."""
        if packet.stream.type in ("video", "audio") and packet.pts is not None and packet.time_base:
            begin = float(packet.pts * packet.time_base)
            self._end = max(self._end, begin + float((packet.duration or 0) * packet.time_base))
            # What a decoder needs before the first sample counts for the length, though the file starts after it.
            self._start = min(self._start, begin) if self._is_length else self._start

    def check(self) -> None:
        """Compare what came with what was promised; call after the last packet.

        Raises:
            MediaError: data is missing at the end.
        """
        length = self._end - self._start
        slack = max(_TRUNCATION_TOLERANCE_SECONDS, _TRUNCATION_TOLERANCE_SHARE * self._declared)
        # Very short files still count as cut off when less than half is there.
        slack = min(slack, 0.5 * self._declared)
        if self._is_checked and length < self._declared - slack:
            raise MediaError(
                f"{source_name(self._source)}: truncated: {length:.2f} s of the {self._declared:.2f} s "
                "its header promises are there; copy or download it again"
            )
