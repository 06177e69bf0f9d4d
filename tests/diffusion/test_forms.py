"""The line inside a window, in eps, v and flow form, against recorded numbers and algebra."""

from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from fada.diffusion.forms import lambda_eta, student_point, student_step, window_clean, window_end, window_target
from fada.diffusion.paths import NoisePath
from fada.diffusion.solvers import solve
from fada.diffusion.windows import Windows


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


STARTS, ENDS = column(1.0, 0.75, 0.5, 0.25), column(0.75, 0.5, 0.25, 0.0)


def random_latents(generator: torch.Generator, batch: int = 4) -> Tensor:
    return torch.randn(batch, 3, 2, 2, generator=generator, dtype=torch.float64)


def test_lambda_eta_of_the_eps_form_equal_recorded_numbers(vectors: dict[str, Any], eps_path: NoisePath) -> None:
    rows = vectors["windows"]
    t_start, t_end = (column(*(row[key] for row in rows)) for key in ("t_start", "t_end"))
    slope, gain = lambda_eta(eps_path, t_start, t_end)
    torch.testing.assert_close(slope, column(*(row["lambda"] for row in rows)), rtol=0, atol=1e-11)
    torch.testing.assert_close(gain, column(*(row["eta"] for row in rows)), rtol=0, atol=1e-11)


def test_lambda_eta_of_the_v_form_at_zero_snr_equal_recorded_numbers(
    vectors: dict[str, Any], v_path: NoisePath
) -> None:
    rows = vectors["windows_v_zero_snr_linear"]
    slope, gain = lambda_eta(v_path, STARTS, ENDS)
    torch.testing.assert_close(slope, column(*(row["lambda"] for row in rows)), rtol=0, atol=1e-11)
    torch.testing.assert_close(gain, column(*(row["eta"] for row in rows)), rtol=0, atol=1e-11)


def test_flow_target_is_the_chord_over_time(generator: torch.Generator) -> None:
    path = NoisePath("flow_prediction")
    z_start, z_end = random_latents(generator), random_latents(generator)
    target = window_target(path, z_start, z_end, STARTS, ENDS)
    torch.testing.assert_close(target, (z_end - z_start) / -0.25)


def test_eps_form_of_a_window_without_signal_is_refused() -> None:
    path = NoisePath(rescale_betas_zero_snr=True)
    with pytest.raises(ValueError, match=r"zero terminal SNR.*lambda is infinite; use the v form"):
        lambda_eta(path, STARTS, ENDS)
    lambda_eta(path, STARTS[1:], ENDS[1:])


def test_ground_truth_targets_equal_recorded_numbers(vectors: dict[str, Any], eps_path: NoisePath) -> None:
    for row in vectors["ground_truth_branch"]:
        clean, noise, t_start, t_end = (column(row[key]) for key in ("z0", "eps", "t_start", "t_end"))
        z_start, z_end = (eps_path.add_noise(clean, noise, t) for t in (t_start, t_end))
        target = window_target(eps_path, z_start, z_end, t_start, t_end)
        for value, key in ((z_start, "z_start"), (z_end, "z_end"), (target, "target")):
            assert value.item() == pytest.approx(row[key], abs=1e-12)


def test_ground_truth_target_is_what_a_network_learns_at_the_window_start(
    path: NoisePath, generator: torch.Generator
) -> None:
    """eps in the eps form, a_s eps - c_s z_0 in the v form, eps - z_0 in the flow form."""
    clean, noise = random_latents(generator), random_latents(generator)
    z_start, z_end = (path.add_noise(clean, noise, t) for t in (STARTS, ENDS))
    target = window_target(path, z_start, z_end, STARTS, ENDS)
    torch.testing.assert_close(target, path.training_target(clean, noise, STARTS), rtol=0, atol=1e-9)


def test_one_solver_step_gives_the_teachers_own_prediction_as_target(
    path: NoisePath, generator: torch.Generator
) -> None:
    weights = torch.randn(3, 3, generator=generator, dtype=torch.float64)

    def predict(z: Tensor, t: Tensor) -> Tensor:
        return torch.tanh(torch.einsum("bchw,cd->bdhw", z, weights) + t.view(-1, 1, 1, 1))

    z_start = random_latents(generator)
    z_end = solve(predict, path, z_start, STARTS, ENDS, steps=1)
    target = window_target(path, z_start, z_end, STARTS, ENDS)
    torch.testing.assert_close(target, predict(z_start, STARTS), rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    st.sampled_from(["epsilon", "v_prediction", "sample", "flow_prediction"]), st.integers(1, 8), st.floats(0.001, 1.0)
)
def test_target_from_any_point_of_the_chord_leads_to_its_end(prediction_type: Any, count: int, time: float) -> None:
    path = NoisePath(prediction_type)
    t = column(time)
    t_start, t_end = Windows(count).look_up(t)
    assume((t - t_end).item() >= 1e-4)  # at the end itself nothing is left to predict
    z_start, z_end = column(0.8)[None], column(-1.9)[None]
    target = window_target(path, z_start, z_end, t_start, t_end)
    z_t = student_point(z_start, z_end, t, t_start, t_end)
    torch.testing.assert_close(window_end(path, z_t, target, t, t_start, t_end), z_end, rtol=0, atol=1e-8)


def test_a_step_inside_the_window_stays_on_the_chord(path: NoisePath, generator: torch.Generator) -> None:
    z_start, z_end = random_latents(generator), random_latents(generator)
    target = window_target(path, z_start, z_end, STARTS, ENDS)
    t, t_next = STARTS - 0.05, STARTS - 0.15
    z_t, z_next = (student_point(z_start, z_end, time, STARTS, ENDS) for time in (t, t_next))
    stepped = student_step(path, z_t, target, t, t_next, STARTS, ENDS)
    torch.testing.assert_close(stepped, z_next, rtol=0, atol=1e-9)


def test_a_step_that_ends_its_window_returns_the_predicted_end_itself(
    path: NoisePath, generator: torch.Generator
) -> None:
    z_t, prediction = random_latents(generator).float(), random_latents(generator).float()
    t = STARTS - 0.1
    stepped = student_step(path, z_t, prediction, t, ENDS, STARTS, ENDS)
    assert torch.equal(stepped, window_end(path, z_t, prediction, t, STARTS, ENDS))


def test_student_steps_equal_recorded_numbers(vectors: dict[str, Any], eps_path: NoisePath) -> None:
    for row in vectors["gaussian"]:
        step = row["student_step"]
        z_start, z_end, t_start, t_end = (column(row[k]) for k in ("z_start", "exact_end", "t_start", "t_end"))
        target = window_target(eps_path, z_start, z_end, t_start, t_end)
        assert target.item() == pytest.approx(row["target_eps_of_exact_end"], abs=1e-11)
        z_t = student_point(z_start, z_end, column(step["t"]), t_start, t_end)
        assert z_t.item() == pytest.approx(step["z_t"], abs=1e-12)
        stepped = student_step(eps_path, z_t, target, column(step["t"]), column(step["t_next"]), t_start, t_end)
        assert stepped.item() == pytest.approx(step["value"], abs=1e-11)


def test_clean_preview_on_the_ground_truth_chord_is_the_data(path: NoisePath, generator: torch.Generator) -> None:
    clean, noise = random_latents(generator), random_latents(generator)
    z_start, z_end = (path.add_noise(clean, noise, t) for t in (STARTS, ENDS))
    target, t = window_target(path, z_start, z_end, STARTS, ENDS), STARTS - 0.1
    z_t = student_point(z_start, z_end, t, STARTS, ENDS)
    torch.testing.assert_close(window_clean(path, z_t, target, t, STARTS, ENDS), clean, rtol=0, atol=1e-9)


def test_targets_of_half_precision_latents_are_float32(path: NoisePath) -> None:
    latents = torch.ones(4, 1, dtype=torch.bfloat16)
    assert window_target(path, latents, latents, STARTS, ENDS).dtype == torch.float32
    assert student_point(latents, latents, STARTS, STARTS, ENDS).dtype == torch.float32
