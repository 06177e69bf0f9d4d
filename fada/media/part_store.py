"""Parts of frames laid by while a video is decoded, so that it need not be decoded again to cut them.

The first 256 MiB lie in memory, the rest in an unnamed file of the temporary folder (`TMPDIR`): raw, up to 2 GiB or a
sixteenth of the space that is free there. What does not fit is not kept, and the caller decodes again.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np

from fada.media.pictures import PlanePart

_MOST_IN_MEMORY = 256 * 2**20
_MOST_BYTES = 2 * 2**30
_SHARE_OF_FREE = 1 / 16


@dataclass(frozen=True)
class _Place:
    offset: int
    shapes: tuple[tuple[int, int], ...]
    dtype: np.dtype
    part: PlanePart
    """Without its planes."""


class PartStore:
    """Parts by the number of their frame. A context: what is kept is gone at its end."""

    def __init__(self, most_bytes: int | None = None, most_in_memory: int = _MOST_IN_MEMORY) -> None:
        """
        Args:
            most_bytes: kept in the file; None decides by the space that is free.
            most_in_memory: bytes kept before anything goes to the file.
        """
        if most_bytes is None:
            free = shutil.disk_usage(tempfile.gettempdir()).free
            most_bytes = min(_MOST_BYTES, int(free * _SHARE_OF_FREE))
        self._most = most_bytes
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._end = 0
        self._places: dict[int, _Place] = {}
        self._room = most_in_memory
        self._near: dict[int, PlanePart] = {}

    def __enter__(self) -> PartStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._near.clear()

    def keep(self, number: int, part: PlanePart) -> None:
        """Lay a part by, where there is room."""
        size = sum(plane.nbytes for plane in part.planes)
        if size <= self._room:
            self._room -= size
            self._near[number] = part
            return
        if self._end + size > self._most:
            return
        try:
            self._file.seek(self._end)
            for plane in part.planes:
                self._file.write(np.ascontiguousarray(plane).data)
        except OSError:
            # The disk is full: nothing more is kept.
            self._most = 0
            return
        shapes = tuple((plane.shape[0], plane.shape[1]) for plane in part.planes)
        self._places[number] = _Place(self._end, shapes, part.planes[0].dtype, replace(part, planes=()))
        self._end += size

    def covers(self, number: int, left: float, top: float, side: float, size: int) -> bool:
        """Whether a square of a frame can be cut from what was kept, just as from the frame."""
        place = self._places.get(number)
        known = self._near.get(number) if place is None else place.part
        return known is not None and known.covers(left, top, side, size)

    def part(self, number: int) -> PlanePart:
        """What was kept of a frame."""
        if number in self._near:
            return self._near[number]
        place = self._places[number]
        self._file.seek(place.offset)
        planes = []
        for height, width in place.shapes:
            data = self._file.read(height * width * place.dtype.itemsize)
            planes.append(np.frombuffer(data, place.dtype).reshape(height, width))
        return replace(place.part, planes=tuple(planes))
