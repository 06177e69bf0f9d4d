"""Windows and solver steps at equal parts of time, of log-SNR, of the noise's share."""

import math
from itertools import pairwise
from typing import Any, get_args

import pytest
import torch

from fada.diffusion.forms import student_point, window_target
from fada.diffusion.paths import NoisePath
from fada.diffusion.sampling import sample_student
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.diffusion.solvers import solve
from fada.diffusion.spacing import Spacing, spaced_points, spaced_windows
from fada.diffusion.windows import Windows


def test_windows_of_equal_noise_share_have_it_at_their_edges(eps_path: NoisePath) -> None:
    windows = spaced_windows(eps_path, 4, "noise_share")
    signal, noise = eps_path.signal_noise(torch.tensor(windows.bounds, dtype=torch.float64))
    shares = noise / (signal + noise)
    # Half a grid step is at most 0.001 of the share on this schedule.
    steps = (shares[1:] - shares[:-1]).tolist()
    assert steps == pytest.approx([float(shares[-1] - shares[0]) / 4] * 4, abs=2e-3)


def test_windows_of_equal_log_snr_have_it_at_their_edges(eps_path: NoisePath) -> None:
    windows = spaced_windows(eps_path, 4, "log_snr")
    signal, noise = eps_path.signal_noise(torch.tensor(windows.bounds, dtype=torch.float64))
    ratio = torch.log(noise / signal)
    assert (ratio[1:] - ratio[:-1]).tolist() == pytest.approx([float(ratio[-1] - ratio[0]) / 4] * 4, abs=2e-2)


def test_zero_snr_counts_log_snr_from_a_thousandth_of_signal(v_path: NoisePath) -> None:
    windows = spaced_windows(v_path, 2, "log_snr")
    signal, noise = (float(level) for level in v_path.signal_noise(torch.tensor([windows.bounds[1]])))
    last = [float(level) for level in v_path.signal_noise(torch.tensor([0.001]))]
    assert math.log(noise / signal) == pytest.approx((math.log(1000) + math.log(last[1] / last[0])) / 2, abs=2e-2)


def test_on_a_flow_path_the_noises_share_is_time() -> None:
    assert spaced_windows(NoisePath("flow_prediction"), 4, "noise_share") == Windows(4)


def test_the_papers_windows_are_the_default(eps_path: NoisePath) -> None:
    assert spaced_windows(eps_path, 4) == Windows(4) == PeRFlowScheduler().windows
    assert Windows(4).bounds == (0.0, 0.25, 0.5, 0.75, 1.0)


UNEQUAL = Windows(3, edges=(0.0, 0.1, 0.4, 1.0))


def test_unequal_windows_are_looked_up_by_hand() -> None:
    t = torch.tensor([1.0, 0.41, 0.4, 0.399, 0.1, 0.05, 0.001])
    start, end = UNEQUAL.look_up(t)
    assert start.tolist() == [1.0, 1.0, 0.4, 0.4, 0.1, 0.1, 0.1]
    assert end.tolist() == [0.4, 0.4, 0.1, 0.1, 0.0, 0.0, 0.0]


def test_steps_inside_unequal_windows_are_equal_and_extra_ones_go_where_asked() -> None:
    assert UNEQUAL.sampling_times(4) == pytest.approx([1.0, 0.7, 0.4, 0.1])
    last = Windows(3, "last", UNEQUAL.edges)
    assert last.sampling_times(4) == pytest.approx([1.0, 0.4, 0.1, 0.05])


def test_a_share_of_all_windows_counts_each_alike() -> None:
    share = torch.tensor([0.0, 1 / 6, 1 / 3, 0.5, 2 / 3, 5 / 6, 1.0], dtype=torch.float64)
    assert UNEQUAL.at_share(share).tolist() == pytest.approx([0.0, 0.05, 0.1, 0.25, 0.4, 0.7, 1.0], abs=1e-12)
    assert torch.equal(Windows(3).at_share(share), share)


@pytest.mark.parametrize("spacing", ["log_snr", "noise_share"])
def test_the_perfect_student_of_unequal_windows_lands_where_the_ode_goes(world: Any, spacing: Spacing) -> None:
    windows, z = spaced_windows(world.path, 4, spacing), torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    expected = world.exact_end(z, torch.ones(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64))
    found = sample_student(lambda x, t: world.perfect_student(x, t, *windows.look_up(t)), world.path, windows, z, 6)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_targets_of_unequal_windows_are_constant_along_their_chords(world: Any) -> None:
    windows, z_start = spaced_windows(world.path, 3, "log_snr"), torch.tensor([[0.4]], dtype=torch.float64)
    start, end = windows.look_up(torch.tensor([windows.bounds[2]], dtype=torch.float64))
    z_end = world.exact_end(z_start, start, end)
    target = window_target(world.path, z_start, z_end, start, end)
    for share in (0.0, 0.5, 0.9):
        t = start + share * (end - start)
        z_t = student_point(z_start, z_end, t, start, end)
        torch.testing.assert_close(world.perfect_student(z_t, t, start, end), target, rtol=0, atol=1e-9)


@pytest.mark.parametrize("spacing", get_args(Spacing))
def test_unequal_windows_keep_what_they_are_told(eps_path: NoisePath, spacing: Spacing) -> None:
    found = spaced_windows(eps_path, 4, spacing, "last", is_matched=True)
    assert (found.extra_steps, found.is_matched) == ("last", True)
    # 1-1-2-2, from noise to data.
    below = [sum(low < time <= high for time in found.sampling_times(6)) for low, high in pairwise(found.bounds)]
    assert below == [2, 2, 1, 1]


def test_solver_steps_of_equal_noise_share(eps_path: NoisePath) -> None:
    one = torch.ones(1, dtype=torch.float64)
    points = spaced_points(eps_path, one, 0 * one, 6, "noise_share")[:, 0]
    assert (float(points[0]), float(points[-1])) == (1.0, 0.0)
    signal, noise = eps_path.signal_noise(points)
    shares = (noise / (signal + noise)).tolist()
    assert [a - b for a, b in pairwise(shares)] == pytest.approx([(shares[0] - shares[-1]) / 6] * 6, abs=3e-3)


def test_better_nodes_bring_ddim_nearer_to_the_odes_end(world_class: Any, eps_path: NoisePath) -> None:
    world, one = world_class(eps_path), torch.ones(5, dtype=torch.float64)
    z = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    exact = world.exact_end(z, one, 0 * one)
    errors = {
        spacing: float((solve(world.predict, eps_path, z, one, 0 * one, 6, spacing=spacing) - exact).abs().mean())
        for spacing in ("time", "noise_share")
    }
    assert errors["noise_share"] < 0.75 * errors["time"]


def test_2m_by_log_snr_is_2m_with_that_spacing(world_class: Any, eps_path: NoisePath) -> None:
    world, start = world_class(eps_path), torch.full((3,), 0.75, dtype=torch.float64)
    z = torch.linspace(-1, 1, 3, dtype=torch.float64)[:, None]
    named = solve(world.predict, eps_path, z, start, start - 0.25, 4, "dpmpp_2m_log_snr")
    spaced = solve(world.predict, eps_path, z, start, start - 0.25, 4, "dpmpp_2m", spacing="log_snr")
    assert torch.equal(named, spaced)


def test_unknown_spacing_is_refused(eps_path: NoisePath) -> None:
    with pytest.raises(ValueError, match="spacing: got 'even'; choose from time, log_snr, noise_share"):
        spaced_windows(eps_path, 4, "even")  # type: ignore[arg-type]


def test_windows_that_the_grid_has_no_room_for_are_refused(eps_path: NoisePath) -> None:
    with pytest.raises(ValueError, match=r"900 windows at equal steps of log_snr do not fit on a grid of 1/1000"):
        spaced_windows(eps_path, 900, "log_snr")


@pytest.mark.parametrize("edges", [(0.0, 1.0), (0.0, 0.5, 0.5, 1.0), (0.1, 0.2, 0.3, 1.0), (0.0, 0.2, 0.3, 0.9)])
def test_edges_that_do_not_rise_from_zero_to_one_are_refused(edges: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="3 windows need 4 edges rising from 0 to 1"):
        Windows(3, edges=edges)


def test_windows_are_named_by_what_is_not_their_default(eps_path: NoisePath) -> None:
    assert str(Windows(4, "last")) == "Windows(count=4, extra_steps='last')"
    matched = spaced_windows(eps_path, 2, "noise_share", is_matched=True)
    assert str(matched) == f"Windows(count=2, extra_steps='first', edges={matched.edges}, is_matched=True)"
