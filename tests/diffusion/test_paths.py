"""Noise paths against recorded numbers, diffusers and algebra."""

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

from fada.diffusion.paths import NoisePath


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_alpha_bar_equals_recorded_numbers(vectors: dict[str, Any], eps_path: NoisePath) -> None:
    recorded = vectors["schedule"]["alpha_bar"]
    times = column(*((int(index) + 1) / 1000 for index in recorded))
    torch.testing.assert_close(eps_path.alpha_bar(times), column(*recorded.values()), rtol=0, atol=1e-12)


def test_alpha_bar_at_time_zero_is_that_of_the_first_index(eps_path: NoisePath) -> None:
    assert eps_path.alpha_bar(column(0.0)) == eps_path.alpha_bar(column(0.001))


def test_alpha_bar_at_time_zero_is_one_with_set_alpha_to_one() -> None:
    assert NoisePath(set_alpha_to_one=True).alpha_bar(column(0.0)) == 1.0


def test_alpha_bar_of_float32_times_reads_the_same_index(eps_path: NoisePath) -> None:
    times = torch.arange(1001, dtype=torch.float64) / 1000
    torch.testing.assert_close(eps_path.alpha_bar(times.float()), eps_path.alpha_bar(times), rtol=0, atol=0)


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear"])
@pytest.mark.parametrize("rescale", [False, True])
def test_alpha_bar_equals_that_of_diffusers(schedule: str, rescale: bool) -> None:
    reference = DDIMScheduler(beta_schedule=schedule, rescale_betas_zero_snr=rescale)
    path = NoisePath.from_config(reference.config)
    times = torch.arange(1, 1001, dtype=torch.float64) / 1000
    torch.testing.assert_close(path.alpha_bar(times).float(), reference.alphas_cumprod, rtol=0, atol=2e-6)


def test_zero_snr_rescaling_equals_that_of_diffusers() -> None:
    betas = torch.linspace(0.00085, 0.012, 1000, dtype=torch.float64)
    reference = torch.cumprod(1 - rescale_zero_terminal_snr(betas), dim=0)
    path = NoisePath("v_prediction", beta_schedule="linear", rescale_betas_zero_snr=True)
    times = torch.arange(1, 1001, dtype=torch.float64) / 1000
    torch.testing.assert_close(path.alpha_bar(times), reference, rtol=0, atol=1e-12)
    assert path.alpha_bar(column(1.0)) == 0.0


def test_config_round_trip_gives_the_same_path(path: NoisePath) -> None:
    assert NoisePath.from_config(path.to_config()) == path


def test_signal_and_noise_of_a_flow_path_are_one_minus_t_and_t() -> None:
    signal, noise = NoisePath("flow_prediction").signal_noise(column(0.0, 0.3, 1.0))
    torch.testing.assert_close(signal, column(1.0, 0.7, 0.0))
    torch.testing.assert_close(noise, column(0.0, 0.3, 1.0))


@pytest.mark.parametrize(
    ("latents", "expected"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_levels_shaped_like_latents_are_float32_or_better(
    path: NoisePath, latents: torch.dtype, expected: torch.dtype
) -> None:
    signal, noise = path.signal_noise(column(0.5, 0.25), like=torch.zeros(2, 3, 4, 5, dtype=latents))
    assert signal.shape == noise.shape == (2, 1, 1, 1)
    assert signal.dtype == noise.dtype == expected


def test_add_noise_equals_that_of_diffusers(generator: torch.Generator) -> None:
    clean, noise = torch.randn(2, 3, 4, 4, generator=generator), torch.randn(2, 3, 4, 4, generator=generator)
    reference = DDIMScheduler(beta_schedule="scaled_linear")
    path = NoisePath.from_config(reference.config)
    expected = reference.add_noise(clean, noise, torch.tensor([999, 249]))
    torch.testing.assert_close(path.add_noise(clean, noise, column(1.0, 0.25)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("offset", "expected"), [(-1, [999.0, 665.66669]), (0, [1000.0, 666.66669])])
def test_network_timestep_is_a_float_with_offset(offset: int, expected: list[float]) -> None:
    path = NoisePath(timestep_offset=offset)
    timestep = path.network_timestep(column(1.0, 2 / 3))
    torch.testing.assert_close(timestep, torch.tensor(expected), rtol=0, atol=1e-4)
    torch.testing.assert_close(path.time_of_timestep(timestep), column(1.0, 2 / 3), rtol=0, atol=1e-7)


def test_training_target_converts_back_to_clean_and_noise(path: NoisePath, generator: torch.Generator) -> None:
    clean, noise = (torch.randn(5, 2, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    t = column(0.999, 0.75, 0.5, 0.25, 0.001)
    noisy = path.add_noise(clean, noise, t)
    found_clean, found_noise = path.to_clean_and_noise(path.training_target(clean, noise, t), noisy, t)
    torch.testing.assert_close(found_clean, clean, rtol=0, atol=1e-9)
    torch.testing.assert_close(found_noise, noise, rtol=0, atol=1e-9)


def test_v_prediction_without_signal_gives_clean_and_noise(v_path: NoisePath) -> None:
    clean, noise = v_path.to_clean_and_noise(column(-0.7)[None], column(0.4)[None], column(1.0))
    assert (clean.item(), noise.item()) == (0.7, 0.4)


def test_noise_prediction_without_signal_is_refused() -> None:
    path = NoisePath(rescale_betas_zero_snr=True)
    with pytest.raises(ValueError, match=r"epsilon form at alpha_bar = 0.*use the v form"):
        path.to_clean_and_noise(torch.zeros(2, 1), torch.zeros(2, 1), column(0.5, 1.0))
    path.to_clean_and_noise(torch.zeros(2, 1), torch.zeros(2, 1), column(0.5, 0.999))


def test_alpha_bar_of_a_flow_path_is_refused() -> None:
    with pytest.raises(ValueError, match="has no alpha_bar; use signal_noise"):
        NoisePath("flow_prediction").alpha_bar(column(0.5))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"prediction_type": "mu"}, "prediction_type: got 'mu'; choose from epsilon, v_prediction, sample"),
        ({"beta_schedule": "squaredcos_cap_v2"}, "beta_schedule: got 'squaredcos_cap_v2'; choose from linear"),
        ({"trained_betas": [0.1, 0.2]}, "trained_betas is not supported"),
        ({"num_train_timesteps": 1}, "num_train_timesteps must be at least 2, got 1"),
    ],
)
def test_config_that_cannot_be_followed_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NoisePath.from_config(config)
