"""Windows against whole-number arithmetic and recorded numbers."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fada.diffusion.paths import NoisePath
from fada.diffusion.windows import Windows, round_to_grid

exact = settings(deadline=None, max_examples=60, derandomize=True)
counts_and_steps = st.integers(1, 20).flatmap(lambda count: st.tuples(st.just(count), st.integers(count, 60)))


def test_sampling_times_equal_recorded_numbers(vectors: dict[str, Any]) -> None:
    for name, expected in vectors["sampling_times"].items():
        steps, count = map(int, name.split("/"))
        assert Windows(count).sampling_times(steps) == pytest.approx(expected, abs=1e-15)


@exact
@given(counts_and_steps)
def test_each_window_gets_its_share_of_steps_the_first_ones_more(pair: tuple[int, int]) -> None:
    count, steps = pair
    times = torch.tensor(Windows(count).sampling_times(steps), dtype=torch.float64)
    t_start, t_end = Windows(count).look_up(times)
    starts, inside = t_start.unique(return_counts=True)
    more, least = steps % count, steps // count
    assert inside.flip(0).tolist() == [least + 1] * more + [least] * (count - more)
    assert starts.flip(0).tolist() == [(count - window) / count for window in range(count)]
    assert bool((t_end < times).all() and (times <= t_start).all())
    assert bool((times.diff() < 0).all())


@exact
@given(counts_and_steps, st.sampled_from([1000, 250]))
def test_times_that_went_through_float32_timesteps_keep_their_window(pair: tuple[int, int], total: int) -> None:
    count, steps = pair
    path = NoisePath(num_train_timesteps=total)
    times = torch.tensor(Windows(count).sampling_times(steps), dtype=torch.float64)
    returned = path.time_of_timestep(path.network_timestep(times))
    assert torch.equal(Windows(count).look_up(returned)[0], Windows(count).look_up(times)[0])


@exact
@given(st.integers(1, 40), st.sampled_from([1000, 999, 100]), st.sampled_from([torch.float32, torch.float64]))
def test_look_up_of_the_whole_grid_is_exact(count: int, total: int, dtype: torch.dtype) -> None:
    index = torch.arange(1, total + 1)
    number = (index * count + total - 1) // total  # ceiling, in whole numbers
    t_start, t_end = Windows(count).look_up(index.to(dtype) / total)
    assert torch.equal(t_start, number.double() / count)
    assert torch.equal(t_end, (number - 1).double() / count)


@pytest.mark.parametrize(
    ("steps", "count", "step", "expected"),
    [(12, 4, 3, (0.75, 0.5)), (12, 4, 6, (0.5, 0.25)), (6, 3, 2, (2 / 3, 1 / 3)), (7, 2, 4, (0.5, 0.0))],
)
def test_a_step_on_a_boundary_starts_the_next_window(
    steps: int, count: int, step: int, expected: tuple[float, float]
) -> None:
    time = torch.tensor(Windows(count).sampling_times(steps)[step : step + 1], dtype=torch.float64)
    assert tuple(bound.item() for bound in Windows(count).look_up(time)) == expected


@pytest.mark.parametrize(("steps", "count"), [(3, 4), (0, 1), (1, 2)])
def test_fewer_steps_than_windows_names_the_smallest_count(steps: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"steps: got {steps}.*use {count} or more"):
        Windows(count).sampling_times(steps)


def test_windows_refuse_a_count_of_zero() -> None:
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        Windows(0)


def test_drawn_times_are_uniform_on_the_grid_without_zero(generator: torch.Generator) -> None:
    times = Windows(4).draw_times(20000, generator, 10)
    values, counts = times.unique(return_counts=True)
    assert values.tolist() == [index / 10 for index in range(1, 11)]
    assert bool((counts.double() / 20000 - 0.1).abs().max() < 0.01)


def test_drawn_times_repeat_with_the_seed() -> None:
    first, second = (Windows(4).draw_times(8, torch.Generator().manual_seed(3), 1000) for _ in range(2))
    assert torch.equal(first, second)


def test_round_to_grid_goes_to_the_nearest_point() -> None:
    rounded = round_to_grid(torch.tensor([2 / 3, 0.12345, 1.0]), 1000)
    assert rounded.tolist() == [0.667, 0.123, 1.0]


def test_extra_steps_go_to_the_windows_nearest_to_data_where_asked() -> None:
    assert Windows(4, "last").sampling_times(6) == [1.0, 0.75, 0.5, 0.375, 0.25, 0.125]
    assert Windows(4, "first").sampling_times(6) == [1.0, 0.875, 0.75, 0.625, 0.5, 0.25]


def test_unknown_place_of_extra_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="extra_steps: got 'middle'; choose from first, last"):
        Windows(4, "middle")
