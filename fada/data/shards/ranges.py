"""Parts of objects in a store, read by their place: no object is copied whole. A read that fails for a while is tried
again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar

from fada.data.shards.location import Location, LocationError
from fada.data.shards.open_files import LARGEST_READ, Version
from fada.data.shards.parts_cache import PartsCache

Answer = TypeVar("Answer")
Neighbours = Callable[[], Iterable[Mapping[str, tuple[int, int]]]]
"""Places of the members of samples that lie beside each other, the one that is asked for among them."""
GAP = 2**20
"""Bytes between two parts up to which one request gets both."""
BLOCK = 24 * 2**20
"""Bytes of neighbouring samples that one request brings, where they are wanted soon and kept."""
MOST_SPANS = 4096
"""Of which it is remembered what they are kept together with."""
SMALLEST_CACHE = 256 * BLOCK
"""Bytes of a cache from which on blocks are brought: of a smaller one they would be gone before they are asked for."""
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


@dataclass(frozen=True)
class Block:
    """Spans of an object that are kept as one entry, one after the other: a file for each would cost more than what is
    in it.

    key: of the entry. places: where in it each span (first byte, end) begins.
    """

    key: str
    places: Mapping[tuple[int, int], int]


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
        self._blocks: dict[tuple[str, tuple[int, int]], Block | None] = {}
        self.version: Version | None = None
        """Of what `read_parts` read last: numbers of the cache's entries, None where any of it is new."""

    def forget(self) -> bool:
        """Let the cache forget what was read last, and say whether it had any of it."""
        names, self._kept = self._kept, []
        # All of them, not up to the first.
        return self._cache is not None and sum(self._cache.forget(name) for name in names) > 0

    def read_parts(
        self, name: str, places: Mapping[str, tuple[int, int]], neighbours: Neighbours | None = None
    ) -> dict[str, bytes]:
        """Bytes of an object at each place (offset, bytes); none for one beyond its end: the hash will tell.

        Args:
            neighbours: of what is not kept yet, places of samples around it that are brought and kept with it.

        Raises:
            FileNotFoundError: there is no such object.
            LocationError: the store stays away: nothing is known of the object.
        """
        if self._process != os.getpid():
            # What speaks to the store has threads, which a fork does not inherit.
            self._location, self._process = Location(str(self._location)), os.getpid()
        found = dict.fromkeys(places, b"")
        whole = self._within(name, places)
        numbers: list[int | None] = []
        self._kept = []
        for first, last, members in spans(whole):
            cuts = [(whole[each][0] - first, whole[each][1]) for each in members]
            parts, number = self._read(name, first, last, cuts, neighbours)
            found |= zip(members, parts, strict=True)
            numbers.append(number)
        self.version = None if None in numbers else tuple(each for each in numbers if each is not None)
        return found

    def _within(self, name: str, places: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """Those of the places that an object can have."""
        return {
            each: (offset, size)
            for each, (offset, size) in places.items()
            if 0 < size <= LARGEST_READ and offset + size <= self._sizes[name]
        }

    def _read(
        self, name: str, first: int, last: int, cuts: Sequence[tuple[int, int]], neighbours: Neighbours | None
    ) -> tuple[list[bytes], int | None]:
        """Parts of a span (offset in it, bytes), and the number of what was kept of it; None for what was brought."""
        if self._cache is None:
            return _cut(self._asked(name, first, last), cuts), None
        block = None if neighbours is None else self._block_of(name, (first, last), neighbours)
        if block is not None:
            return self._of_block(self._cache, name, block, (first, last), cuts)
        key = self._key(name, first, last)
        self._kept.append(key)
        kept = self._cache.parts(key, cuts)
        if kept is not None:
            return kept
        data = self._asked(name, first, last)
        self._cache.keep(key, data)
        return _cut(data, cuts), None

    def _of_block(
        self, cache: PartsCache, name: str, block: Block, wanted: tuple[int, int], cuts: Sequence[tuple[int, int]]
    ) -> tuple[list[bytes], int | None]:
        """As `_read`, of one of spans that lie together; one request brings them all, once in a machine."""
        places = [(block.places[wanted] + offset, size) for offset, size in cuts]
        self._kept.append(block.key)
        kept = cache.parts(block.key, places)
        if kept is not None:
            return kept
        if cache.is_full:
            return _cut(self._asked(name, *wanted), cuts), None
        with cache.bringing(block.key):
            kept = cache.parts(block.key, places)
            if kept is not None:
                return kept
            begin = min(first for first, _ in block.places)
            data = memoryview(self._asked(name, begin, max(last for _, last in block.places)))
            cache.keep(block.key, *(data[first - begin : last - begin] for first, last in block.places))
            return _cut(data[wanted[0] - begin : wanted[1] - begin], cuts), None

    def _block_of(self, name: str, wanted: tuple[int, int], neighbours: Neighbours) -> Block | None:
        """The spans that are kept together with one; None where it is kept alone."""
        assert self._cache is not None
        if self._cache.limit < SMALLEST_CACHE:
            return None
        if (name, wanted) not in self._blocks:
            if len(self._blocks) >= MOST_SPANS:
                self._blocks.clear()
            together = sorted({*self._spans_of(name, neighbours()), wanted})
            takes = self._cache.takes(sum(last - first for first, last in together))
            block = self._together(name, together) if takes and len(together) > 1 else None
            self._blocks |= dict.fromkeys(((name, span) for span in together), block)
        return self._blocks[name, wanted]

    def _together(self, name: str, spans: Sequence[tuple[int, int]]) -> Block:
        sizes = [last - first for first, last in spans]
        places = dict(zip(spans, accumulate(sizes[:-1], initial=0), strict=True))
        # Other parts of the same samples lie in other spans between the same ends.
        told = hashlib.sha256(repr(spans).encode()).hexdigest()[:16]
        return Block(f"{self._key(name, spans[0][0], max(last for _, last in spans))} {told}", places)

    def _spans_of(self, name: str, samples: Iterable[Mapping[str, tuple[int, int]]]) -> list[tuple[int, int]]:
        """What requests would ask for samples one by one."""
        return [span[:2] for places in samples for span in spans(self._within(name, places))]

    def _key(self, name: str, first: int, last: int) -> str:
        return f"{self._location}/{name} {self._sizes[name]} {first}-{last}"

    def _asked(self, name: str, first: int, last: int) -> bytes:
        return tried_again(f"{self._location}/{name}", lambda: self._location.read_range(name, first, last))

    def __getstate__(self) -> dict[str, Any]:
        return {"_location": str(self._location), "_sizes": self._sizes, "_cache": self._cache}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(Location(state["_location"]), state["_sizes"], state["_cache"])  # type: ignore[misc]


def _cut(data: bytes | memoryview, cuts: Sequence[tuple[int, int]]) -> list[bytes]:
    return [bytes(data[offset : offset + size]) for offset, size in cuts]


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
