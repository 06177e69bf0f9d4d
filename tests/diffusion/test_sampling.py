"""Student sampling with the perfect student of the Gaussian world."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fada.diffusion.forms import student_point, window_target
from fada.diffusion.guidance import combine
from fada.diffusion.paths import NoisePath
from fada.diffusion.sampling import sample_student
from fada.diffusion.windows import Windows


def perfect(world: Any, windows: Windows) -> Any:
    return lambda z, t: world.perfect_student(z, t, *windows.look_up(t))


@pytest.mark.parametrize(("steps", "count"), [(4, 4), (6, 4), (12, 4), (6, 3), (7, 2), (1, 1), (6, 1), (9, 7)])
def test_the_perfect_student_lands_where_the_ode_goes(world: Any, steps: int, count: int) -> None:
    z = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    # Boundaries off the grid (thirds) are read at the nearest index, so each window's ODE starts where the last ended.
    expected = world.exact_end(z, torch.ones(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64))
    sampled = sample_student(perfect(world, Windows(count)), world.path, Windows(count), z, steps)
    torch.testing.assert_close(sampled, expected, rtol=0, atol=1e-9)


def test_the_perfect_student_in_float32_lands_there_too(world: Any) -> None:
    z = torch.linspace(-2, 2, 5)[:, None]
    sampled = sample_student(perfect(world, Windows(4)), world.path, Windows(4), z, 6)
    assert sampled.dtype == torch.float32
    torch.testing.assert_close(sampled, world.exact_end(z, torch.ones(5), torch.zeros(5)), rtol=0, atol=1e-4)


def test_the_perfect_students_prediction_is_the_target_all_along_the_chord(world: Any) -> None:
    t_start = torch.tensor([1.0, 0.75, 0.5, 0.25], dtype=torch.float64)
    t_end, z_start = t_start - 0.25, torch.linspace(-1, 1, 4, dtype=torch.float64)[:, None]
    z_end = world.exact_end(z_start, t_start, t_end)
    target = window_target(world.path, z_start, z_end, t_start, t_end)
    for share in (0.0, 0.4, 0.9):
        t = t_start + share * (t_end - t_start)
        z_t = student_point(z_start, z_end, t, t_start, t_end)
        prediction = world.perfect_student(z_t, t, t_start, t_end)
        torch.testing.assert_close(prediction, target, rtol=0, atol=1e-9)


def test_guided_perfect_branches_combine_to_the_guided_perfect_student(world_class: Any, path: NoisePath) -> None:
    windows, scales = Windows(4), [2.0, 6.5]
    means = [torch.full((1, 1), mean, dtype=torch.float64) for mean in (-0.5, 0.4, 1.3)]
    branches = [perfect(world_class(path, mean), windows) for mean in means]

    def guided(z: Tensor, t: Tensor) -> Tensor:
        return combine([branch(z, t) for branch in branches], scales)

    z = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    whole = world_class(path, combine(means, scales))
    expected = whole.exact_end(z, torch.ones(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(sample_student(guided, path, windows, z, 6), expected, rtol=0, atol=1e-9)


def test_each_step_calls_the_student_once_and_reports() -> None:
    calls: list[float] = []
    reports: list[int] = []

    def predict(z: Tensor, t: Tensor) -> Tensor:
        calls.append(t[0].item())
        return z.bfloat16()

    sampled = sample_student(predict, NoisePath(), Windows(4), torch.ones(2, 3), 6, reports.append)
    assert calls == [1.0, 0.875, 0.75, 0.625, 0.5, 0.25]
    assert reports == [1, 2, 3, 4, 5, 6]
    assert sampled.dtype == torch.float32


def test_fewer_steps_than_windows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got 3.*use 4 or more"):
        sample_student(lambda z, t: z, NoisePath(), Windows(4), torch.ones(1, 1), 3)


def test_with_a_single_window_the_student_walks_the_straight_line_of_rectified_flow(world: Any) -> None:
    windows, z = Windows(1), torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    one, zero = torch.ones(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64)
    end, seen = world.exact_end(z, one, zero), []

    def predict(z_t: Tensor, t: Tensor) -> Tensor:
        seen.append((float(t[0]), z_t))
        return world.perfect_student(z_t, t, *windows.look_up(t))

    sample_student(predict, world.path, windows, z, 6)
    for t, z_t in seen:
        torch.testing.assert_close(z_t, t * z + (1 - t) * end, rtol=0, atol=1e-9)
    if world.path.is_flow:
        torch.testing.assert_close(window_target(world.path, z, end, one, zero), z - end)
