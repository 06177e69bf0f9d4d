"""Which thing comes at which place: a function of (seed, epoch, place) alone, so that nothing has to be remembered.

Up to `LARGEST_PERMUTED` things an epoch's order is a permutation of them all, drawn when it is needed. Beyond, it is
computed place by place, and nothing of its length is held.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from fada.data.sampling.seeds import sample_generator

LARGEST_PERMUTED = 2**17
"""Things whose permutation is held: 1 MiB for an epoch, as much again for the one before."""
TURNS = 1000
"""Samples in which every share of a mixture is kept."""
_ROUNDS = 8
_WORD = 2**64 - 1
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Multipliers of SplitMix64's output function (Steele, Lea and Flood 2014, as improved by Stafford's mix 13)."""


class EpochOrders:
    """The order of `count` things in every epoch, each its own."""

    def __init__(self, seed: int, count: int, purpose: str) -> None:
        self.seed, self.count, self.purpose = seed, count, purpose
        self._orders: dict[int, np.ndarray | Bijection] = {}

    def at(self, epoch: int, place: int) -> int:
        """The thing, 0 to `count` - 1, at a place of an epoch; every epoch has each of them once."""
        order = self._order(epoch)
        return order.one(place) if isinstance(order, Bijection) else int(order[place])

    def among(self, epoch: int, places: np.ndarray) -> np.ndarray:
        """The things at many places of an epoch."""
        return self._order(epoch)[places]

    def _order(self, epoch: int) -> np.ndarray | Bijection:
        if epoch not in self._orders:
            entropy = sample_generator(self.seed, epoch, 0, self.purpose).initial_seed()
            kept = {known: order for known, order in self._orders.items() if abs(known - epoch) == 1}
            self._orders = {**kept, epoch: self._drawn(entropy)}
        return self._orders[epoch]

    def _drawn(self, entropy: int) -> np.ndarray | Bijection:
        if self.count <= LARGEST_PERMUTED:
            return np.random.default_rng(entropy).permutation(self.count)
        return Bijection(self.count, entropy)


class Bijection:
    """A permutation of 0 to `count` - 1 that is computed where it is asked for.

    A Feistel network over the smallest even number of bits that holds `count`; what falls outside goes through it again
    until it falls inside, which keeps it one-to-one (cycle walking; Black and Rogaway 2002, "Ciphers with Arbitrary
    Finite Domains"). Fewer than four goes on average. It shuffles; it hides nothing.
    """

    def __init__(self, count: int, entropy: int) -> None:
        self.count = count
        self._half = np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))
        digests = [hashlib.sha256(f"{entropy}/{number}".encode()).digest() for number in range(_ROUNDS)]
        self._numbers = [int.from_bytes(digest[:8], "big") for digest in digests]
        self._keys = [np.uint64(number) for number in self._numbers]

    def one(self, place: int) -> int:
        """What stands at a place: as `[]`, without arrays, which take longer for one number."""
        half, low = int(self._half), (1 << int(self._half)) - 1
        found = place
        while True:
            left, right = found >> half, found & low
            for key in self._numbers:
                mixed = right ^ key
                mixed = ((mixed ^ (mixed >> 30)) * _FIRST) & _WORD
                mixed = ((mixed ^ (mixed >> 27)) * _SECOND) & _WORD
                left, right = right, left ^ ((mixed ^ (mixed >> 31)) & low)
            found = (left << half) | right
            if found < self.count:
                return found

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        """What stands at these places."""
        found = self._once(np.asarray(places).astype(np.uint64))
        outside = np.flatnonzero(found >= self.count)
        while len(outside):
            found[outside] = self._once(found[outside])
            outside = outside[found[outside] >= self.count]
        return found.astype(np.int64)

    def _once(self, values: np.ndarray) -> np.ndarray:
        low = np.uint64(2 ** int(self._half) - 1)
        left, right = values >> self._half, values & low
        for key in self._keys:
            left, right = right, left ^ (_mixed(right ^ key) & low)
        return (left << self._half) | right


def _mixed(values: np.ndarray) -> np.ndarray:
    """64 bits of which each depends on all those of the values."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(_FIRST)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(_SECOND)
    return values ^ (values >> np.uint64(31))


class Turns:
    """Groups of a mixture that take turns: of every `TURNS` samples each has its share, in an order of their own.

    Args:
        weights: of the groups, above zero; their shares are rounded to 1 / `TURNS`, and none is rounded to nothing.
    """

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        if not weights or min(weights) <= 0 or len(weights) > TURNS:
            raise ValueError(f"a mixture needs 1 to {TURNS} groups with weights above zero, got {list(weights)[:8]}")
        self.seed, self.counts = seed, shares_of(weights, TURNS)
        self._known: tuple[int, np.ndarray] = (-1, np.empty(0))

    def at(self, position: int) -> tuple[int, int]:
        """The group whose turn it is at a position of the training, and how many turns it has had before."""
        block, place = divmod(position, TURNS)
        if self._known[0] != block:
            entropy = sample_generator(self.seed, block, 0, "turns").initial_seed()
            groups = np.repeat(np.arange(len(self.counts)), self.counts)
            self._known = (block, np.random.default_rng(entropy).permutation(groups))
        order = self._known[1]
        group = int(order[place])
        return group, block * self.counts[group] + int((order[:place] == group).sum())


def shares_of(weights: Sequence[float], total: int) -> list[int]:
    """Whole numbers that add up to `total`, at least 1 each, as close to the weights as can be (largest remainders)."""
    wanted = np.asarray(weights, dtype=np.float64) / sum(weights) * total
    given = np.maximum(1, np.floor(wanted)).astype(np.int64)
    while given.sum() != total:
        missing = wanted - given
        if given.sum() < total:
            given[int(missing.argmax())] += 1
        else:
            given[int(np.where(given > 1, missing, np.inf).argmin())] -= 1
    return [int(each) for each in given]
