"""Jumps along the ODE's way, with the perfect student of the Gaussian world."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fada.diffusion.paths import NoisePath
from fada.diffusion.solvers import solve
from fada.diffusion.trajectory import jump, jump_goal, noise_again, sample_trajectory


def times(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def noise_samples(count: int = 5) -> Tensor:
    return torch.linspace(-2, 2, count, dtype=torch.float64)[:, None]


def test_a_jump_to_where_it_starts_stays_there(path: NoisePath) -> None:
    z, t = noise_samples(3), times(0.9, 0.5, 0.001)
    assert torch.equal(jump(path, z, torch.randn(3, 1, dtype=torch.float64), t, t), z)


def test_a_jump_is_a_ddim_step(world: Any) -> None:
    z, t, s = noise_samples(3), times(0.9, 0.5, 0.2), times(0.6, 0.1, 0.0)
    expected = solve(world.predict, world.path, z, t, s, 1)
    torch.testing.assert_close(jump(world.path, z, world.predict(z, t), t, s), expected, rtol=0, atol=1e-9)


def test_perfect_jumps_from_two_points_of_a_way_meet(world: Any) -> None:
    z_n, t_n, t_m, s = noise_samples(3), times(0.9, 0.6, 0.3), times(0.8, 0.5, 0.2), times(0.2, 0.5, 0.0)
    z_m = world.exact_end(z_n, t_n, t_m)
    # Where s is t_m itself the average's jump stays; the perfect student of an empty window is not defined.
    from_m = world.perfect_student(z_m, t_m, t_m, s).nan_to_num()
    from_n = jump(world.path, z_n, world.perfect_student(z_n, t_n, t_n, s), t_n, s)
    torch.testing.assert_close(from_n, jump(world.path, z_m, from_m, t_m, s), rtol=0, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 4, 6])
def test_the_deterministic_sampler_with_perfect_jumps_lands_where_the_ode_goes(world: Any, steps: int) -> None:
    goals = dict(zip([round(1000 * (steps - k) / steps) for k in range(steps)],
                     [round(1000 * (steps - k - 1) / steps) / 1000 for k in range(steps)], strict=True))  # fmt: skip

    def predict(z: Tensor, t: Tensor) -> Tensor:
        s = torch.full_like(t, goals[round(1000 * float(t[0]))])
        return world.perfect_student(z, t, t, s)

    z = noise_samples()
    expected = world.exact_end(z, torch.ones(5).double(), torch.zeros(5).double())
    sampled = sample_trajectory(predict, world.path, z, steps, gamma=0.0)
    torch.testing.assert_close(sampled, expected, rtol=0, atol=1e-9)


def test_noise_leads_back_to_the_distribution_of_the_later_time(world: Any, generator: torch.Generator) -> None:
    s, t = times(0.3).expand(200_000), times(0.7).expand(200_000)
    path = world.path

    def marginal(at: Tensor) -> tuple[float, float]:
        a, c = (float(each[0]) for each in path.signal_noise(at))
        return a * world.mean, (a**2 * world.std**2 + c**2) ** 0.5

    drawn, noise = (torch.randn(200_000, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    mean, std = marginal(s)
    again = noise_again(path, mean + std * drawn, noise, s, t)
    assert (float(again.mean()), float(again.std())) == pytest.approx(marginal(t), abs=0.006)


def test_the_stochastic_sampler_with_perfect_jumps_gives_the_data(world: Any, generator: torch.Generator) -> None:
    def predict(z: Tensor, t: Tensor) -> Tensor:
        index = round(4 * float(t[0]))
        s = jump_goal(times((index - 1) / 4), 0.3, 1000).expand(len(z))
        return world.perfect_student(z, t, t, s)

    drawn = torch.randn(100_000, 1, generator=generator, dtype=torch.float64)
    a, c = (float(each) for each in world.path.signal_noise(torch.tensor(1.0)))
    z = a * world.mean + (a**2 * world.std**2 + c**2) ** 0.5 * drawn
    sampled = sample_trajectory(predict, world.path, z, 4, 0.3, generator)
    # At t = 0 a variance-preserving path still holds alpha_bar[0] of signal, and a little noise.
    assert (float(sampled.mean()), float(sampled.std())) == pytest.approx((world.mean, world.std), abs=0.01)


def test_fresh_noise_follows_the_generator(world: Any) -> None:
    def sample(seed: int) -> Tensor:
        return sample_trajectory(
            world.predict, world.path, noise_samples(), 3, 0.3, torch.Generator().manual_seed(seed)
        )

    assert torch.equal(sample(0), sample(0))
    assert not torch.equal(sample(0), sample(1))


@pytest.mark.parametrize(
    ("t_next", "gamma", "goal"),
    [(0.7, 0.0, 0.7), (0.5, 0.3, 0.35), (0.333, 0.3, 0.233), (0, 0.3, 0), (0.09, 0.3, 0.063)],
)
def test_a_jump_goes_too_far_by_gamma_down_to_the_grid(t_next: float, gamma: float, goal: float) -> None:
    assert jump_goal(times(t_next), gamma, 1000).tolist() == [goal]


def test_gamma_outside_its_range_is_refused(path: NoisePath) -> None:
    with pytest.raises(ValueError, match=r"gamma must be between 0 and 1, got 1\.3"):
        sample_trajectory(lambda z, t: z, path, noise_samples(), 4, gamma=1.3)
