"""Shard by shard: an order in which every sample of a step goes through shards of its own.

A step's samples are lanes. The shards lie in a row, shuffled once by the seed; every lane has its own stretch of the
row, for good. So processes and machines, which have lanes of their own, read each other's shards in no epoch, and a
cache of a machine's stretches has all that it asks for. Within its stretch a lane goes through the shards in an
order of the epoch's, and through the clips of a few neighbouring shards shuffled: a group that moves along.

All of it is a function of (seed, epoch, place), and of how many samples a step has: not of processes. What is held is a
few numbers per shard, and per lane that is asked for the order of the clips of one group.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fada.data.sampling.order import EpochOrders, Turns
from fada.data.sampling.seeds import sample_generator

GROUP = 4
"""Shards whose clips are shuffled among each other at a time; as twice, half a group apart, some eight are open."""
LARGEST_GROUP = 2**14
"""Clips of a group at most."""


class Lanes:
    """Which clip comes at a position of the training, of groups of clips that are read shard by shard.

    Args:
        shards: for every group the shard (N,) of each of its clips, in their order; equal neighbours are one shard.
        weights: of the groups in a mixture, None for one group that has all.
        lanes: samples of a step.
    """

    def __init__(self, shards: Sequence[np.ndarray], weights: Sequence[float] | None, lanes: int, seed: int) -> None:
        self._rows = [ShardRow(each, seed, f"group {number}") for number, each in enumerate(shards)]
        self._weights, self._lanes, self._seed = weights, lanes, seed
        self._turns: dict[int, Turns] = {}
        self._shared: dict[tuple[int, int], EpochOrders] = {}

    def at(self, position: int) -> tuple[int, int]:
        """The group whose turn it is at a position of the training, and which of its clips comes."""
        if self._weights is None:
            return 0, self._of_all(position)
        return self._of_group(position)

    def _of_all(self, position: int) -> int:
        """Every epoch has every clip once: equal stretches, and what is left over goes round."""
        row, lanes = self._rows[0], self._lanes
        epoch, place = divmod(position, row.count)
        turn, left = divmod(place, lanes)
        length = row.count // lanes
        if turn < length:
            lane = position % lanes
            return row.clip(epoch, lane, lane * length, length, turn)
        # Fewer clips than a step has; whichever lanes come first in the epoch's last step have them.
        first = lanes * length
        return row.clip(epoch, lanes, first, row.count - first, left)

    def _of_group(self, position: int) -> tuple[int, int]:
        """Every lane has its share of every group, and goes through its stretch of it in epochs of its own."""
        assert self._weights is not None
        turn, lane = divmod(position, self._lanes)
        if lane not in self._turns:
            entropy = sample_generator(self._seed, lane, 0, "turns of a lane").initial_seed()
            self._turns[lane] = Turns(self._weights, entropy)
        group, place = self._turns[lane].at(turn)
        row = self._rows[group]
        length, more = divmod(row.count, self._lanes)
        if not length:
            # Fewer clips than lanes: every lane has them all.
            purpose = f"order of group {group} in lane {lane}"
            orders = self._shared.setdefault((group, lane), EpochOrders(self._seed, row.count, purpose))
            return group, orders.at(*divmod(place, row.count))
        first, length = lane * length + min(lane, more), length + (lane < more)
        epoch, turn = divmod(place, length)
        return group, row.clip(epoch, lane, first, length, turn)


class ShardRow:
    """Clips in a row of shuffled shards, of which stretches are gone through."""

    def __init__(self, shards: np.ndarray, seed: int, purpose: str) -> None:
        self.count, self._seed, self._purpose = len(shards), seed, purpose
        begins = np.concatenate([[0], np.flatnonzero(np.diff(shards)) + 1])
        sizes = np.diff(np.append(begins, self.count))
        order = np.random.default_rng(self._entropy(0, "shards")).permutation(len(begins))
        self._begins, self._ends = begins[order], np.cumsum(sizes[order])
        self._starts = self._ends - sizes[order]
        self._group = int(min(LARGEST_GROUP, GROUP * -(-self.count // len(begins))))
        self._pieces: dict[int, _Pieces] = {}
        self._blocks: dict[tuple[int, int], tuple[int, int, np.ndarray]] = {}

    def clip(self, epoch: int, lane: int, first: int, length: int, turn: int) -> int:
        """The clip at a turn of a lane whose stretch of the row begins at `first`."""
        for half in (1, 0):
            turn = self._moved(epoch, lane, length, turn, half)
        pieces = self._pieces.get(lane)
        if pieces is None or (pieces.epoch, pieces.first, pieces.length) != (epoch, first, length):
            pieces = self._pieces[lane] = self._cut(epoch, lane, first, length)
        return pieces.clip(turn)

    def _cut(self, epoch: int, lane: int, first: int, length: int) -> _Pieces:
        """The parts of shards in a stretch, in the epoch's order."""
        low, high = (int(np.searchsorted(self._ends, place, "right")) for place in (first, first + length - 1))
        starts = np.maximum(self._starts[low : high + 1], first)
        sizes = np.minimum(self._ends[low : high + 1], first + length) - starts
        clips = self._begins[low : high + 1] + starts - self._starts[low : high + 1]
        order = np.random.default_rng(self._entropy(epoch, f"pieces of lane {lane}")).permutation(len(sizes))
        return _Pieces(epoch, first, length, clips[order], np.cumsum(sizes[order]))

    def _moved(self, epoch: int, lane: int, length: int, turn: int, half: int) -> int:
        """Where a turn goes when the clips of each group are shuffled; with `half` groups begin half a group later."""
        shift = half * (self._group // 2)
        block = (turn + shift) // self._group
        begin, end = max(0, block * self._group - shift), min(length, (block + 1) * self._group - shift)
        known = self._blocks.get((lane, half))
        if known is None or known[:2] != (epoch, block) or len(known[2]) != end - begin:
            entropy = self._entropy(epoch, f"block {block} of lane {lane}, {half}")
            known = (epoch, block, np.random.default_rng(entropy).permutation(end - begin))
            self._blocks[lane, half] = known
        return begin + int(known[2][turn - begin])

    def _entropy(self, epoch: int, what: str) -> int:
        return sample_generator(self._seed, epoch, 0, f"{self._purpose}: {what}").initial_seed()


class _Pieces:
    """Parts of shards one after the other: the first clip of each, and where the parts end."""

    def __init__(self, epoch: int, first: int, length: int, clips: np.ndarray, ends: np.ndarray) -> None:
        self.epoch, self.first, self.length = epoch, first, length
        self._clips, self._ends = clips, ends

    def clip(self, place: int) -> int:
        piece = int(np.searchsorted(self._ends, place, "right"))
        begin = int(self._ends[piece - 1]) if piece else 0
        return int(self._clips[piece]) + place - begin
