"""The outermost boxes of MP4 and QuickTime files: whether a file holds one movie.

Two files copied one behind the other are two movies; FFmpeg, as players do, shows the first and drops the rest.
"""

from __future__ import annotations

from fada.media.error import MediaError
from fada.media.formats import InputFile

_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp")
_MOST_BOXES = 1000


def check_one_movie(file: InputFile, name: str) -> None:
    """Know that an MP4 holds one movie; leaves the file at its beginning. Other files pass.

    In fragmented files every part may bring the same header again, and all are read.

    Raises:
        MediaError: it holds several.
    """
    place, movies = 0, 0
    for _ in range(_MOST_BOXES):
        file.seek(place)
        head = file.read(16)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if (place == 0 and kind not in _FIRST_BOXES) or size < 8 or kind == b"moof":
            break
        movies += kind == b"moov"
        if movies > 1:
            raise MediaError(
                f"{name}: holds several movies, one behind the other, of which only the first would be read; cut it "
                "into these, or join them with a video tool"
            )
        place += size
    file.seek(0)
