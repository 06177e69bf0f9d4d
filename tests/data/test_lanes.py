"""Shard by shard: no repeats and no gaps for any number of ranks, and every machine reads its own shards."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from fada.data.sampling.lanes import GROUP, Lanes, ShardRow

SIZES = (97, 100, 3)
"""Clips of the shards, in turns."""


def shards_of(clips: int) -> np.ndarray:
    sizes = np.resize(SIZES, clips)
    return np.repeat(np.arange(clips), sizes)[:clips]


def epoch_of(lanes: Lanes, clips: int, epoch: int) -> np.ndarray:
    return np.array([lanes.at(position)[1] for position in range(epoch * clips, (epoch + 1) * clips)])


@pytest.mark.parametrize("clips", [1, 5, 63, 64, 65, 1000, 20_011])
def test_an_epoch_of_64_ranks_has_every_clip_once(clips: int) -> None:
    """Ranks take the samples of a step in turns, one each; so this is whatever 64 of them, or fewer, draw together."""
    lanes = Lanes([shards_of(clips)], None, 64, seed=3)
    epochs = [epoch_of(lanes, clips, epoch) for epoch in range(3)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(clips))
    if clips > 100:
        assert not np.array_equal(epochs[0], epochs[1])
        # Another seed, another order.
        assert not np.array_equal(epoch_of(Lanes([shards_of(clips)], None, 64, seed=4), clips, 0), epochs[0])


def test_a_clip_follows_from_seed_and_position_alone() -> None:
    clips = 5003
    one = Lanes([shards_of(clips)], None, 16, seed=0)
    forwards = [one.at(position) for position in range(3 * clips)]
    again = Lanes([shards_of(clips)], None, 16, seed=0)
    for position in np.random.default_rng(0).integers(0, 3 * clips, 2000).tolist():
        assert again.at(position) == forwards[position]


def fetched(lanes: Lanes, clips: int, ranks: int, machines: int, epoch: int, held: dict[int, set[int]]) -> list[int]:
    """Clips that machines fetch in an epoch which lie in no cache of theirs yet; held: those, by machine."""
    counts = [0] * machines
    for position in range(epoch * clips, (epoch + 1) * clips):
        machine = position % ranks * machines // ranks
        clip = lanes.at(position)[1]
        if clip not in held[machine]:
            held[machine].add(clip)
            counts[machine] += 1
    return counts


def test_every_machine_fetches_its_share_once_and_in_later_epochs_nearly_nothing() -> None:
    clips, ranks, machines = 20_011, 64, 8
    lanes, held = Lanes([shards_of(clips)], None, ranks, seed=0), defaultdict(set)
    first = fetched(lanes, clips, ranks, machines, 0, held)
    assert sum(first) == clips
    assert max(first) - min(first) <= ranks
    later = [sum(fetched(lanes, clips, ranks, machines, epoch, held)) for epoch in (1, 2)]
    # What does not divide by the samples of a step goes round: less than a step of an epoch.
    assert clips % ranks == 43
    assert max(later) <= 43
    # And shards are shared between neighbours on the row only.
    shards = shards_of(clips)
    owners = Counter(shard for machine in range(machines) for shard in {int(shards[clip]) for clip in held[machine]})
    assert sum(count > 1 for count in owners.values()) <= (machines - 1) + 43


def test_a_global_shuffle_would_have_fetched_all_of_it_again() -> None:
    """What the order is for: the same count for one permutation of all clips per epoch."""
    clips, machines = 20_000, 8
    held: dict[int, set[int]] = defaultdict(set)
    counts = []
    for epoch in range(2):
        order = np.random.default_rng(epoch).permutation(clips)
        before = sum(map(len, held.values()))
        for position, clip in enumerate(order.tolist()):
            held[position % 64 * machines // 64].add(clip)
        counts.append(sum(map(len, held.values())) - before)
    assert counts[0] == clips
    assert counts[1] > 0.85 * clips


def test_a_lane_has_few_shards_open_and_leaves_each_for_good() -> None:
    shards = np.repeat(np.arange(400), 50)
    lanes = Lanes([shards], None, 4, seed=0)
    drawn = epoch_of(lanes, len(shards), 0).reshape(-1, 4)
    for lane in range(4):
        seen = shards[drawn[:, lane]]
        last = {int(shard): place for place, shard in enumerate(seen)}
        first: dict[int, int] = {}
        for place, shard in enumerate(seen.tolist()):
            first.setdefault(shard, place)
        open_at = np.zeros(len(seen) + 1, int)
        for shard, place in first.items():
            open_at[place] += 1
            open_at[last[shard] + 1] -= 1
        assert open_at.cumsum().max() <= 3 * GROUP
        # Within the group it is a shuffle: the next clip is rarely of the same shard.
        assert (np.diff(seen) == 0).mean() < 0.35


def test_nothing_of_the_sets_length_is_held_but_a_few_numbers_per_shard() -> None:
    row = ShardRow(np.repeat(np.arange(10_000), 100), 0, "all")
    for place in range(0, 1_000_000, 99_991):
        row.clip(0, 3, 0, 1_000_000, place)
    held = [value for value in vars(row).values() if isinstance(value, np.ndarray)]
    held += [known[2] for known in row._blocks.values()]
    assert max(map(len, held)) == 10_000


def test_a_mixture_keeps_its_shares_in_every_lane_and_lanes_their_clips() -> None:
    groups = [shards_of(3000), shards_of(500), np.zeros(3, int)]
    lanes = Lanes(groups, [2.0, 1.0, 1.0], 8, seed=1)
    drawn = [lanes.at(position) for position in range(8 * 2000)]
    for lane in range(8):
        counts = Counter(group for group, _ in drawn[lane::8])
        assert counts == {0: 1000, 1: 500, 2: 500}
        of_first = [clip for group, clip in drawn[lane::8] if group == 0]
        length = 3000 // 8
        # Epochs of the lane's own stretch, each with every clip of it once.
        assert len(set(of_first[:length])) == length
        assert set(of_first[length : 2 * length]) == set(of_first[:length])
    owners = [{clip for group, clip in drawn[lane::8] if group == 0} for lane in range(8)]
    assert sum(map(len, owners)) == len(set().union(*owners)) == 3000
    # A group with fewer clips than lanes is every lane's.
    assert all({clip for group, clip in drawn[lane::8] if group == 2} == {0, 1, 2} for lane in range(8))
