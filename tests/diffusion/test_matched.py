"""Points inside windows on the network's own noise path: closed forms of Gaussian data, and numbers by hand."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from fada.diffusion.forms import student_point, student_step, window_end, window_target
from fada.diffusion.matched import matched_points, unmatched_time, window_prediction, window_predictor
from fada.diffusion.paths import NoisePath
from fada.diffusion.sampling import sample_student
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.diffusion.spacing import spaced_windows
from fada.diffusion.windows import Windows

ZERO_SNR = {"prediction_type": "v_prediction", "beta_schedule": "linear", "rescale_betas_zero_snr": True}
T_START = torch.tensor([1.0, 0.75, 0.5, 0.25], dtype=torch.float64)
T_END = T_START - 0.25
MEAN, STD = 1.3, 0.6


def predictor(path: NoisePath, mean: float = MEAN, std: float = STD) -> Any:
    """The perfect network of Gaussian data, also between grid points."""

    def predict(z: Tensor, t: Tensor) -> Tensor:
        a, c = (level.view(-1, 1).to(z) for level in path.signal_noise_between(t))
        unit = (z - a * mean) / (a**2 * std**2 + c**2)
        clean, noise = mean + a * std**2 * unit, c * unit
        if path.is_flow:
            return noise - clean
        kinds = {"epsilon": noise, "v_prediction": a * noise - c * clean, "sample": clean}
        return kinds[path.prediction_type]

    return predict


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9])
def test_a_perfect_predictor_of_one_datum_finds_the_chords_end_from_anywhere_on_it(
    path: NoisePath, share: float
) -> None:
    noise = torch.tensor([[-1.1], [0.3], [0.8], [2.0]], dtype=torch.float64)
    z_start, z_end = (path.add_noise(torch.full_like(noise, MEAN), noise, t) for t in (T_START, T_END))
    t = T_START + share * (T_END - T_START)
    z_t = student_point(z_start, z_end, t, T_START, T_END)
    matched = window_predictor(predictor(path, std=0.0), path, Windows(4, is_matched=True))
    found = matched(z_t, t)
    torch.testing.assert_close(found, window_target(path, z_start, z_end, T_START, T_END), rtol=0, atol=1e-9)
    torch.testing.assert_close(window_end(path, z_t, found, t, T_START, T_END), z_end, rtol=0, atol=1e-9)


def test_a_perfect_predictor_answers_the_expected_ground_truth_target(path: NoisePath) -> None:
    """On the chord of Gaussian data ``E[target | z_t]`` is a regression; an untrained copy minimises that loss."""
    t = T_START + 0.6 * (T_END - T_START)
    (a_s, c_s), (a_e, c_e) = path.signal_noise(T_START), path.signal_noise(T_END)
    a, c = 0.4 * a_s + 0.6 * a_e, 0.4 * c_s + 0.6 * c_e
    z_t = torch.tensor([0.2, -1.0, 0.5, 1.9], dtype=torch.float64)
    unit = (z_t - a * MEAN) / (a**2 * STD**2 + c**2)
    clean, noise = MEAN + a * STD**2 * unit, c * unit
    starts, ends = (a_s * clean + c_s * noise)[:, None], (a_e * clean + c_e * noise)[:, None]
    expected = window_target(path, starts, ends, T_START, T_END)
    found = window_predictor(predictor(path), path, Windows(4, is_matched=True))(z_t[:, None], t)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_shown_as_they_are_the_same_points_mislead_the_same_predictor(eps_path: NoisePath) -> None:
    noise = torch.tensor([[-1.1], [0.3], [0.8], [2.0]], dtype=torch.float64)
    z_start, z_end = (eps_path.add_noise(torch.full_like(noise, MEAN), noise, t) for t in (T_START, T_END))
    t = T_START + 0.5 * (T_END - T_START)
    z_t = student_point(z_start, z_end, t, T_START, T_END)
    plain = window_predictor(predictor(eps_path, std=0.0), eps_path, Windows(4))(z_t, t)
    assert float((plain - noise).abs().max()) > 0.1


@pytest.mark.parametrize("steps", [1, 2, 6])
def test_one_matched_window_is_ddim_at_equal_steps_of_the_noises_share(steps: int) -> None:
    path = NoisePath(**ZERO_SNR, set_alpha_to_one=True)
    z = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    found = sample_student(predictor(path), path, Windows(1, is_matched=True), z, steps)
    # DDIM by itself, at angles whose noise's share c / (a + c) is 1, 1 - 1/N, ... 0.
    shares = [1 - step / steps for step in range(steps + 1)]
    levels = [((1 - each) / math.hypot(each, 1 - each), each / math.hypot(each, 1 - each)) for each in shares]
    expected = z
    for (a, c), (a_next, c_next) in pairwise(levels):
        unit = (expected - a * MEAN) / (a**2 * STD**2 + c**2)
        expected = a_next * (MEAN + a * STD**2 * unit) + c_next * c * unit
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_v_form_by_hand() -> None:
    # A window from pure noise (a, c) = (0, 1); the point A = 0.6, C = 0.8 at z = 0.5, answer v = 0.25:
    # x0 = 0.6 0.5 - 0.8 0.25 = 0.1, e = 0.8 0.5 + 0.6 0.25 = 0.55; prediction = 0 e - 1 x0 = -0.1.
    path = NoisePath(**ZERO_SNR)
    one = torch.ones(1, dtype=torch.float64)
    points = matched_points(path, one, one, 0.75 * one)
    points = type(points)(2 * one, 0.6 * one, 0.8 * one, 0.9 * one)
    answer, z = torch.tensor([[0.25]]), torch.tensor([[0.5]])
    torch.testing.assert_close(window_prediction(path, answer, z, points, one), torch.tensor([[-0.1]]))


def test_eps_form_by_hand() -> None:
    # abar(0.5) and abar(0.25) of Stable Diffusion's schedule, half way between them on the chord.
    path, half = NoisePath(), torch.tensor([0.5], dtype=torch.float64)
    abar = [float(path.alpha_bar(torch.tensor([t]))) for t in (0.5, 0.25)]
    alpha = (math.sqrt(abar[0]) + math.sqrt(abar[1])) / 2
    sigma = (math.sqrt(1 - abar[0]) + math.sqrt(1 - abar[1])) / 2
    points = matched_points(path, torch.tensor([0.375], dtype=torch.float64), half, half / 2)
    assert float(points.scale) == pytest.approx(math.hypot(alpha, sigma), abs=1e-12)
    assert float(points.signal / points.noise) == pytest.approx(alpha / sigma, abs=1e-12)
    # Stable Diffusion's indices 360 and 361 enclose that ratio; found in the table of its alpha_bar.
    table = path.alpha_bar(torch.arange(1, 1001, dtype=torch.float64) / 1000)
    index = int((table / (1 - table) > (alpha / sigma) ** 2).sum())
    assert index / 1000 < float(points.t) < (index + 1) / 1000
    answer = torch.tensor([[0.7]])
    assert torch.equal(window_prediction(path, answer, torch.ones(1, 1), points, half), answer)


def test_the_time_of_a_ratio_is_the_inverse_of_the_levels_between_grid_points(path: NoisePath) -> None:
    t = torch.tensor([0.001, 0.0137, 0.25, 0.33333, 0.6181, 0.9995, 1.0], dtype=torch.float64)
    signal, noise = path.signal_noise_between(t)
    torch.testing.assert_close(path.time_of(3 * signal, 3 * noise), t, rtol=0, atol=1e-9)
    torch.testing.assert_close(signal**2 + noise**2 if not path.is_flow else signal + noise, torch.ones_like(t))


def test_levels_between_grid_points_are_the_tables_on_it(path: NoisePath) -> None:
    t = torch.arange(1001, dtype=torch.float64) / 1000
    for found, expected in zip(path.signal_noise_between(t), path.signal_noise(t), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_window_starts_and_flow_points_stay_exactly_as_they_are(path: NoisePath) -> None:
    inside = T_START - 0.1 if path.is_flow else T_START
    points = matched_points(path, inside, T_START, T_END)
    assert torch.equal(points.scale, torch.ones(4, dtype=torch.float64))
    assert torch.equal(points.t, inside)


def test_samples_of_a_batch_are_matched_each_in_its_own_window_and_time(v_path: NoisePath) -> None:
    windows, t = Windows(4, is_matched=True), torch.tensor([0.95, 0.6, 0.501, 0.02], dtype=torch.float64)
    z = torch.linspace(-1, 1, 12, dtype=torch.float64).view(4, 3)
    matched = window_predictor(predictor(v_path), v_path, windows)
    together = matched(z, t)
    alone = torch.cat([matched(z[each : each + 1], t[each : each + 1]) for each in range(4)])
    assert torch.equal(together, alone)


def test_a_points_time_in_its_window_is_found_again_from_the_matched_one(path: NoisePath) -> None:
    windows = Windows(4, is_matched=True)
    t = torch.tensor([1.0, 0.93, 0.76, 0.75, 0.55, 0.45, 0.26, 0.2, 0.01], dtype=torch.float64)
    matched = matched_points(path, t, *windows.look_up(t)).t
    torch.testing.assert_close(unmatched_time(path, matched, windows), t, rtol=0, atol=1e-9)


def test_the_zero_snr_start_gives_finite_predictions_in_half_precision(v_path: NoisePath) -> None:
    matched = window_predictor(lambda z, t: z.bfloat16(), v_path, Windows(4, is_matched=True))
    found = matched(torch.ones(2, 3), torch.tensor([1.0, 0.9]))
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()


SCHEDULERS = [{}, ZERO_SNR, {"spacing": "noise_share"}, {**ZERO_SNR, "spacing": "log_snr", "extra_steps": "last"}]


@pytest.mark.parametrize("kind", SCHEDULERS)
@pytest.mark.parametrize("steps", [4, 6, 12])
def test_the_scheduler_asks_and_steps_as_the_sampler_does(kind: dict[str, Any], steps: int, tmp_path: Any) -> None:
    PeRFlowScheduler(**kind, matched=True).save_pretrained(tmp_path)
    scheduler = PeRFlowScheduler.from_pretrained(tmp_path)
    assert scheduler.config["matched"] is True
    path, asked = scheduler.path, []

    def network(z: Tensor, timestep: Tensor) -> Tensor:
        asked.append(float(timestep.flatten()[0]))
        return torch.sin(2 * z) + timestep.to(z).view(-1, 1) / 1000

    scheduler.set_timesteps(steps)
    z = sample = torch.linspace(-2, 2, 12, dtype=torch.float64).view(2, 6)
    for timestep in scheduler.timesteps:
        answer = network(scheduler.scale_model_input(sample, timestep), timestep)
        sample = scheduler.step(answer, timestep, sample).prev_sample
    by_scheduler = list(asked)
    asked.clear()
    windows = spaced_windows(path, 4, kind.get("spacing", "time"), kind.get("extra_steps", "first"), True)
    expected = sample_student(lambda z, t: network(z, path.network_timestep(t)), path, windows, z, steps)
    assert asked == by_scheduler
    torch.testing.assert_close(sample, expected, rtol=0, atol=1e-9)


def test_the_schedulers_preview_on_the_data_line_is_the_data_inside_a_window_too() -> None:
    scheduler = PeRFlowScheduler(**ZERO_SNR, matched=True)
    scheduler.set_timesteps(6)
    noise = torch.tensor([[-1.7]], dtype=torch.float64)
    start, now, end = (torch.tensor([t], dtype=torch.float64) for t in (1.0, 0.875, 0.75))
    z_start, z_end = (scheduler.path.add_noise(torch.full_like(noise, 0.8), noise, t) for t in (start, end))
    z_t, timestep = student_point(z_start, z_end, now, start, end), scheduler.timesteps[1]
    answer = predictor(scheduler.path, 0.8, 0.0)(
        scheduler.scale_model_input(z_t, timestep), scheduler.path.time_of_timestep(timestep[None])
    )
    output = scheduler.step(answer, timestep, z_t)
    torch.testing.assert_close(output.pred_original_sample, torch.full_like(noise, 0.8), rtol=0, atol=1e-5)
    torch.testing.assert_close(output.prev_sample, z_end, rtol=0, atol=1e-5)


def test_scaling_without_a_timestep_is_refused() -> None:
    with pytest.raises(ValueError, match="matched windows need the timestep, got None"):
        PeRFlowScheduler(matched=True).scale_model_input(torch.ones(1, 1))


def test_a_step_from_a_start_equals_the_plain_one(v_path: NoisePath) -> None:
    z = torch.linspace(-1, 1, 4, dtype=torch.float64)[:, None]
    plain, matched = (
        window_predictor(predictor(v_path), v_path, Windows(4, is_matched=each)) for each in (False, True)
    )
    stepped = [student_step(v_path, z, each(z, T_START), T_START, T_END, T_START, T_END) for each in (plain, matched)]
    torch.testing.assert_close(stepped[0], stepped[1], rtol=0, atol=1e-12)
