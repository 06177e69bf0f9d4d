"""Solvers in the Gaussian world, against diffusers, and sample by sample."""

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from fada.diffusion.guidance import combine
from fada.diffusion.paths import NoisePath
from fada.diffusion.solvers import Solver, solve
from fada.diffusion.spacing import spaced_points, time_points

SOLVERS: list[Solver] = ["ddim", "dpmpp_2m", "dpmpp_2m_log_snr"]


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def curved(z: Tensor, t: Tensor) -> Tensor:
    """A prediction without closed form."""
    return torch.sin(2 * z) + t.to(z).view(-1, *(1,) * (z.ndim - 1))


def error(world: Any, window: tuple[float, float], steps: int, solver: Solver) -> float:
    t_start, t_end, z = column(window[0]), column(window[1]), column(0.9)[None]
    end = solve(world.predict, world.path, z, t_start, t_end, steps, solver)
    return (end - world.exact_end(z, t_start, t_end)).abs().item()


def test_guided_ddim_ends_and_exact_ends_equal_recorded_numbers(
    vectors: dict[str, Any], world_class: Any, eps_path: NoisePath
) -> None:
    for row in vectors["gaussian"]:
        scales = [row["cfg_r"], row["cfg_a"]]
        branches = [world_class(eps_path, row["means"][name], row["std"]) for name in ("b", "r", "a")]

        def guided(z: Tensor, t: Tensor, branches: Any = branches, scales: Any = scales) -> Tensor:
            return combine([branch.predict(z, t) for branch in branches], scales)

        z, t_start, t_end = column(row["z_start"])[None], column(row["t_start"]), column(row["t_end"])
        for steps, expected in row["ddim_end"].items():
            end = solve(guided, eps_path, z, t_start, t_end, int(steps))
            assert end.item() == pytest.approx(expected, abs=1e-10)
        mean = combine([column(row["means"][name])[None] for name in ("b", "r", "a")], scales)
        exact = world_class(eps_path, mean, row["std"]).exact_end(z, t_start, t_end)
        assert exact.item() == pytest.approx(row["exact_end"], abs=1e-12)


@pytest.mark.parametrize("window", [(1.0, 0.75), (0.75, 0.5), (0.5, 0.25)])
def test_ddim_error_falls_as_one_over_steps(world: Any, window: tuple[float, float]) -> None:
    errors = [error(world, window, steps, "ddim") for steps in (5, 10, 25)]
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.1)
    assert errors[1] / errors[2] == pytest.approx(2.5, abs=0.1)


@pytest.mark.parametrize("window", [(0.75, 0.5), (0.5, 0.25)])
def test_second_order_error_falls_as_one_over_steps_squared(world: Any, window: tuple[float, float]) -> None:
    errors = [error(world, window, steps, "dpmpp_2m") for steps in (25, 50, 125)]
    assert errors[0] / errors[1] == pytest.approx(4.0, abs=0.3)
    assert errors[1] / errors[2] == pytest.approx(6.25, abs=0.4)


@pytest.mark.parametrize("window", [(1.0, 0.75), (0.75, 0.5), (0.5, 0.25), (0.25, 0.0)])
def test_second_order_with_four_steps_is_better_than_ddim_with_eight(
    world_class: Any, eps_path: NoisePath, v_path: NoisePath, window: tuple[float, float]
) -> None:
    for path in (eps_path, v_path):
        world = world_class(path)
        assert error(world, window, 4, "dpmpp_2m") < 1.2 * error(world, window, 8, "ddim")
        assert error(world, window, 8, "dpmpp_2m") < 0.5 * error(world, window, 8, "ddim")


def test_equal_steps_of_log_snr_bring_four_steps_far_below_eight_of_ddim_near_the_data(
    world_class: Any, eps_path: NoisePath, v_path: NoisePath
) -> None:
    for path in (eps_path, v_path):
        world = world_class(path)
        assert error(world, (0.25, 0.0), 4, "dpmpp_2m_log_snr") < 0.5 * error(world, (0.25, 0.0), 8, "ddim")


def test_log_snr_points_are_equally_spaced_in_log_snr_and_end_exactly(eps_path: NoisePath) -> None:
    points = spaced_points(eps_path, column(1.0, 0.5), column(0.75, 0.25), 4, "log_snr")
    signal, noise = eps_path.signal_noise(points.flatten())
    steps = (torch.log(signal) - torch.log(noise)).view(points.shape).diff(dim=0)
    # The grid has a thousand points: a step is off by half of one at both ends.
    torch.testing.assert_close(steps, steps.mean(0).expand_as(steps), rtol=0.03, atol=0)
    assert points[0].tolist() == [1.0, 0.5]
    assert points[-1].tolist() == [0.75, 0.25]


def test_a_start_without_signal_keeps_equal_steps_of_time(v_path: NoisePath) -> None:
    start, end = column(1.0, 0.5), column(0.75, 0.25)
    points = spaced_points(v_path, start, end, 4, "log_snr")
    even = time_points(start, end, 4, v_path.num_train_timesteps)
    assert torch.equal(points[:, 0], even[:, 0])
    assert not torch.equal(points[:, 1], even[:, 1])


@pytest.mark.parametrize("steps", [1, 2, 5, 40])
@pytest.mark.parametrize("set_alpha_to_one", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers_are_finite_from_pure_noise_to_the_data(solver: Solver, set_alpha_to_one: bool, steps: int) -> None:
    path = NoisePath("v_prediction", rescale_betas_zero_snr=True, set_alpha_to_one=set_alpha_to_one)
    end = solve(curved, path, torch.full((2, 3), 0.7), column(1.0, 1.0), column(0.0, 0.75), steps, solver)
    assert bool(torch.isfinite(end).all())


@pytest.mark.parametrize("solver", SOLVERS)
def test_more_steps_than_grid_points_change_nothing_that_matters(world: Any, solver: Solver) -> None:
    assert error(world, (0.75, 0.74), 37, solver) < 2 * error(world, (0.75, 0.74), 10, "ddim") + 1e-12


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_batch_of_different_windows_equals_its_samples_one_by_one(
    path: NoisePath, solver: Solver, generator: torch.Generator
) -> None:
    z = torch.randn(5, 2, 3, generator=generator, dtype=torch.float64)
    t_start, t_end = column(1.0, 0.75, 0.5, 0.25, 1.0), column(0.75, 0.5, 0.25, 0.0, 0.0)
    together = solve(curved, path, z, t_start, t_end, 6, solver)
    for index in range(5):
        one = slice(index, index + 1)
        alone = solve(curved, path, z[one], t_start[one], t_end[one], 6, solver)
        torch.testing.assert_close(together[one], alone, rtol=0, atol=1e-12)


def test_twenty_five_ddim_steps_equal_those_of_diffusers() -> None:
    reference = DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        set_alpha_to_one=False,
        clip_sample=False,
        timestep_spacing="trailing",
    )
    reference.set_timesteps(25)
    path = NoisePath.from_config(reference.config)
    z = expected = torch.linspace(-2, 2, 8)[:, None]
    for timestep in reference.timesteps:
        expected = reference.step(curved(expected, (timestep + 1) / 1000), int(timestep), expected).prev_sample
    end = solve(curved, path, z, torch.ones(8), torch.zeros(8), 25)
    torch.testing.assert_close(end, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # NumPy 2 in diffusers
def test_second_order_steps_equal_those_of_diffusers() -> None:
    reference = DPMSolverMultistepScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        lower_order_final=False,
        timestep_spacing="trailing",
    )
    reference.set_timesteps(20)
    path = NoisePath.from_config(reference.config)
    z = expected = torch.linspace(-2, 2, 8)[:, None]
    # Without the last step: its end differs (index 0 here, its own final sigma there).
    for timestep in reference.timesteps[:19]:
        expected = reference.step(curved(expected, (timestep + 1) / 1000), timestep, expected).prev_sample
    end = solve(curved, path, z, torch.ones(8), torch.full((8,), 0.05), 19, "dpmpp_2m")
    torch.testing.assert_close(end, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_half_precision_predictions_move_float32_latents(solver: Solver) -> None:
    seen: list[torch.dtype] = []

    def predict(z: Tensor, t: Tensor) -> Tensor:
        seen.append(z.dtype)
        return z.bfloat16()

    end = solve(predict, NoisePath(), torch.ones(1, 2, dtype=torch.bfloat16), column(1.0), column(0.75), 3, solver)
    assert {end.dtype, *seen} == {torch.float32}


def test_time_points_lie_on_the_grid_and_the_last_is_the_end() -> None:
    points = time_points(column(2 / 3, 1.0), column(1 / 3, 0.0), 7, 1000)
    scaled = points[:-1] * 1000
    torch.testing.assert_close(scaled, scaled.round(), rtol=0, atol=1e-9)
    assert torch.equal(points[-1], column(1 / 3, 0.0))
    assert points[:, 1].tolist() == [1.0, 0.857, 0.714, 0.571, 0.429, 0.286, 0.143, 0.0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_flow_off_the_grid_follows_a_constant_velocity_exactly(solver: Solver) -> None:
    path, z, velocity = NoisePath("flow_prediction"), column(0.3)[None], column(-1.1)[None]
    end = solve(lambda z, t: velocity, path, z, column(2 / 3), column(1 / 3), 5, solver)
    torch.testing.assert_close(end, z - velocity / 3, rtol=0, atol=1e-12)


def test_each_step_calls_predict_once_and_reports() -> None:
    calls: list[float] = []
    reports: list[int] = []

    def predict(z: Tensor, t: Tensor) -> Tensor:
        calls.append(t.item())
        return z

    solve(predict, NoisePath(), torch.ones(1, 1), column(1.0), column(0.75), 5, "dpmpp_2m", reports.append)
    assert calls == [1.0, 0.95, 0.9, 0.85, 0.8]
    assert reports == [1, 2, 3, 4, 5]


def test_an_unknown_solver_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'heun'; choose from ddim, dpmpp_2m, dpmpp_2m_log_snr"):
        solve(curved, NoisePath(), torch.ones(1, 1), column(1.0), column(0.75), 2, "heun")  # type: ignore[arg-type]


def test_no_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        solve(curved, NoisePath(), torch.ones(1, 1), column(1.0), column(0.75), 0)
