"""Parts of objects in a store, read by their place: no object is copied whole. A read that fails for a while is tried
again.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fada.data.location import Location, LocationError
from fada.data.open_files import LARGEST_READ, Version
from fada.data.parts_cache import PartsCache

Answer = TypeVar("Answer")
GAP = 2**20
"""Bytes between two parts up to which one request gets both."""
WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds between tries, longer each time, and each up to half as long again, so that processes do not come at once."""
logger = logging.getLogger(__name__)


def tried_again(what: str, read: Callable[[], Answer]) -> Answer:
    """The answer of a read, tried again where it fails and may not for ever.

    Raises:
        FileNotFoundError: there is no such object.
        LocationError: it failed each time.
    """
    for number, wait in enumerate((*WAITS, None)):
        try:
            return read()
        except LocationError as error:
            if wait is None:
                raise LocationError(f"{error}; it was tried {number + 1} times") from error
            seconds = wait * (1 + 0.5 * random.random())
            logger.warning("%s: try %d failed (%s); the next in %.1f s", what, number + 1, error, seconds)
            time.sleep(seconds)
    raise AssertionError


class StoreFiles:
    """Objects of a folder in a store that are read at any place.

    Args:
        location: in a store.
        sizes: of the objects, in bytes; what lies beyond is not asked for.
        cache: keeps what was read on a local disk.
    """

    def __init__(self, location: Location, sizes: Mapping[str, int], cache: PartsCache | None = None) -> None:
        self._location, self._sizes, self._cache, self._process = location, dict(sizes), cache, os.getpid()
        self._kept: list[str] = []
        self.version: Version | None = None
        """Of what `read_parts` read last: checksums where it came from the cache, None where all of it is new."""

    def forget(self) -> bool:
        """Let the cache forget what was read last, and say whether it had any of it."""
        names, self._kept = self._kept, []
        # All of them, not up to the first.
        return self._cache is not None and sum(self._cache.forget(name) for name in names) > 0

    def read_parts(self, name: str, places: Mapping[str, tuple[int, int]]) -> dict[str, bytes]:
        """Bytes of an object at each place (offset, bytes); none for one beyond its end: the hash will tell.

        Raises:
            FileNotFoundError: there is no such object.
            LocationError: the store stays away: nothing is known of the object.
        """
        if self._process != os.getpid():
            # What speaks to the store has threads, which a fork does not inherit.
            self._location, self._process = Location(str(self._location)), os.getpid()
        found = dict.fromkeys(places, b"")
        whole = {
            each: (offset, size)
            for each, (offset, size) in places.items()
            if 0 < size <= LARGEST_READ and offset + size <= self._sizes[name]
        }
        sums: list[int | None] = []
        self._kept = []
        for first, last, members in spans(whole):
            data = self._read(name, first, last, sums)
            for each in members:
                offset, size = whole[each]
                found[each] = data[offset - first : offset - first + size]
        self.version = None if None in sums else tuple(each for each in sums if each is not None)
        return found

    def _read(self, name: str, first: int, last: int, sums: list[int | None]) -> bytes:
        place = f"{self._location}/{name}"

        def ask() -> bytes:
            return tried_again(place, lambda: self._location.read_range(name, first, last))

        if self._cache is None:
            sums.append(None)
            return ask()
        self._kept.append(f"{place} {self._sizes[name]} {first}-{last}")
        data, checksum = self._cache.find(self._kept[-1], ask)
        sums.append(checksum)
        return data

    def __getstate__(self) -> dict[str, Any]:
        return {"_location": str(self._location), "_sizes": self._sizes, "_cache": self._cache}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(Location(state["_location"]), state["_sizes"], state["_cache"])  # type: ignore[misc]


def spans(places: Mapping[str, tuple[int, int]]) -> list[tuple[int, int, list[str]]]:
    """First byte, end, and names of the parts that one request gets: neighbours with small gaps together."""
    made: list[tuple[int, int, list[str]]] = []
    for name, (offset, size) in sorted(places.items(), key=lambda each: each[1]):
        if made and offset - made[-1][1] <= GAP and max(made[-1][1], offset + size) - made[-1][0] <= LARGEST_READ:
            first, last, names = made[-1]
            made[-1] = (first, max(last, offset + size), [*names, name])
        else:
            made.append((offset, offset + size, [name]))
    return made
