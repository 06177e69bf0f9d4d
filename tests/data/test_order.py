"""Orders that follow from (seed, epoch, place): what stands where, and that every epoch has everything once."""

import numpy as np
import pytest

from fada.data.sampling import order
from fada.data.sampling.order import LARGEST_PERMUTED, TURNS, Bijection, EpochOrders, Turns, shares_of
from fada.data.sampling.seeds import sample_generator


def test_a_small_sets_order_is_the_seeded_permutation_that_it_always_was() -> None:
    entropy = sample_generator(7, 3, 0, "order").initial_seed()
    expected = np.random.default_rng(entropy).permutation(24)
    orders = EpochOrders(7, 24, "order")
    assert [orders.at(3, place) for place in range(24)] == expected.tolist()
    # Recorded from the version that held every clip in memory: numpy must not change it under us.
    assert [EpochOrders(0, 6, "order").at(0, place) for place in range(6)] == RECORDED


RECORDED = [4, 1, 2, 3, 0, 5]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 64, 65, 1000, 4097])
def test_a_bijection_has_everything_once(count: int) -> None:
    assert sorted(Bijection(count, 12345)[np.arange(count)].tolist()) == list(range(count))


def test_a_bijection_answers_one_place_as_it_answers_all() -> None:
    for count in (1, 2, 1000, 4097, 10**15):
        made, places = Bijection(count, 9), range(0, count, max(1, count // 50))
        assert [made.one(place) for place in places] == made[np.array(places)].tolist()


def test_a_bijection_shuffles() -> None:
    found = Bijection(100_000, 3)[np.arange(100_000)]
    places = np.arange(100_000)
    # Of a random permutation both have mean 0 and deviation 1 / sqrt(n), about 0.003.
    assert abs(np.corrcoef(found, places)[0, 1]) < 0.015
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.015
    # Each tenth of the places has its tenth of every tenth of the things: 1000 +- 30 by chance.
    cells = np.histogram2d(places, found, bins=10)[0]
    assert np.abs(cells - 1000).max() < 150


def test_other_seeds_and_epochs_give_other_orders() -> None:
    count, places = LARGEST_PERMUTED + 1, np.arange(1000)
    first = EpochOrders(0, count, "order").among(0, places)
    assert (first != EpochOrders(1, count, "order").among(0, places)).mean() > 0.99
    assert (first != EpochOrders(0, count, "order").among(1, places)).mean() > 0.99
    assert (first == EpochOrders(0, count, "order").among(0, places)).all()


def test_a_large_sets_epoch_holds_nothing_of_its_length() -> None:
    orders = EpochOrders(0, 10**12, "order")
    assert 0 <= orders.at(5, 10**12 - 1) < 10**12
    assert isinstance(orders._orders[5], Bijection)


@pytest.mark.parametrize("count", [1000, LARGEST_PERMUTED + 29])
def test_64_ranks_divide_an_epoch_without_repeats_or_gaps(count: int) -> None:
    seen = np.zeros(count, np.int64)
    for rank in range(64):
        # Sample numbers of a rank, as BatchShape divides them: 2 of each step's 128.
        positions = np.arange(0, count + 128, 128)[:, None] + 2 * rank + np.arange(2)
        mine = positions[positions < count]
        np.add.at(seen, EpochOrders(0, count, "order").among(0, mine), 1)
    assert (seen == 1).all()


def test_shares_add_up_and_none_is_nothing() -> None:
    assert shares_of([1, 1], 1000) == [500, 500]
    assert shares_of([2, 1], 1000) == [667, 333]
    assert shares_of([1e9, 1], 1000) == [999, 1]
    assert shares_of([1, 1, 1], 1000) == [334, 333, 333]
    assert shares_of([1e9, 1, 1], 10) == [8, 1, 1]


def test_groups_take_turns_by_their_shares_and_count_their_turns() -> None:
    turns = Turns([3.0, 1.0], seed=5)
    drawn = [turns.at(position) for position in range(2 * TURNS)]
    for group, share in ((0, 750), (1, 250)):
        # The numbers of a group go up one by one, over the borders of blocks too.
        assert [number for each, number in drawn if each == group] == list(range(2 * share))
    assert drawn[:TURNS] != [(0, number) for number in range(750)] + [(1, number) for number in range(250)]


def test_a_turn_follows_from_its_position_alone() -> None:
    forward = [Turns([2, 3, 5], 1).at(position) for position in (0, 999, 1000, 5432)]
    one = Turns([2, 3, 5], 1)
    assert [one.at(position) for position in (5432, 1000, 999, 0)] == forward[::-1]


@pytest.mark.parametrize("weights", [[], [1.0, 0.0], [-1.0], [1.0] * (order.TURNS + 1)])
def test_weights_that_make_no_mixture_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="a mixture needs 1 to 1000 groups with weights above zero, got"):
        Turns(weights, 0)
