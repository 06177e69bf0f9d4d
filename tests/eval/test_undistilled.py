"""Undistilled baselines: which samplers are tried, and which the report keeps."""

from __future__ import annotations

import math

import pytest

from fada.diffusion.paths import NoisePath
from fada.eval.bench.qualities import badness, losses, over_clips, quality_error, quality_measures
from fada.eval.bench.undistilled import PLAIN, SAMPLERS, Search, Tried, distinct_samplers
from fada.eval.statistics.intervals import pseudo_values

SD = NoisePath(beta_schedule="scaled_linear")
ZERO = NoisePath(beta_schedule="linear", prediction_type="v_prediction", rescale_betas_zero_snr=True)


def tried(place: int, mouth: float, identity: float, distance: float) -> Tried:
    values = {"mouth_correlation_synth": [mouth, mouth], "identity_error_synth": [identity, identity]}
    return Tried(*SAMPLERS[place], values, distance)


def test_six_samplers_are_tried_and_the_plain_one_is_the_first() -> None:
    assert len(SAMPLERS) == 6
    assert PLAIN == SAMPLERS[0] == ("ddim", "time")
    assert distinct_samplers(SD, 6) == list(SAMPLERS)


def test_samplers_that_take_the_same_steps_are_tried_once() -> None:
    # Without signal at the start log-SNR has no equal steps, and the first two steps have no second order.
    assert distinct_samplers(ZERO, 6) == [(s, c) for s, c in SAMPLERS if c != "log_snr"]
    assert distinct_samplers(ZERO, 2) == [("ddim", "time"), ("ddim", "noise_share")]
    assert distinct_samplers(SD, 2) == list(SAMPLERS)
    assert distinct_samplers(SD, 1) == [PLAIN]


def test_the_error_of_quality_is_the_geometric_mean_of_what_is_lacking() -> None:
    means = {"mouth_correlation_synth": 0.9, "identity_error_synth": 4.0, "fd_latent_synth": 0.5}
    assert quality_error(means) == pytest.approx((0.1 * 4.0 * 0.5) ** (1 / 3))
    assert quality_error({"identity_similarity": 0.75, "sync_d": 8.0}) == pytest.approx(math.sqrt(0.25 * 8))
    assert quality_error({}) == math.inf


def test_what_wins_in_quality_and_what_is_nearest_are_both_kept() -> None:
    found = Search("unguided, 6 steps", [tried(0, 0.5, 4.0, 0.3), tried(1, 0.9, 4.0, 0.2), tried(2, 0.8, 4.0, 0.1)])
    assert found.best.sampler == SAMPLERS[1]
    assert found.nearest.sampler == SAMPLERS[2]
    assert found.kept == {"best": SAMPLERS[1], "nearest": SAMPLERS[2]}


def test_a_plain_winner_is_no_row_of_its_own_and_a_double_winner_is_one() -> None:
    plain_wins = Search("", [tried(0, 0.9, 4.0, 0.3), tried(1, 0.5, 4.0, 0.2)])
    assert plain_wins.kept == {"nearest": SAMPLERS[1]}
    both = Search("", [tried(0, 0.5, 4.0, 0.3), tried(1, 0.9, 4.0, 0.2)])
    assert both.kept == {"best": SAMPLERS[1]}
    assert Search("", [tried(0, 0.9, 4.0, 0.1), tried(1, 0.5, 4.0, 0.2)]).kept == {}


def test_of_equal_samplers_the_plainer_wins() -> None:
    assert Search("", [tried(0, 0.9, 4.0, 0.1), tried(1, 0.9, 4.0, 0.1)]).best.sampler == PLAIN


def test_a_sampler_does_not_win_by_leaving_out_a_clip() -> None:
    still = Tried(*SAMPLERS[1], {"mouth_correlation_synth": [0.99], "identity_error_synth": [4.0, 4.0]}, 0.1)
    found = Search("", [tried(0, 0.5, 4.0, 0.3), still])
    assert found.error(still) == math.inf
    assert found.best.sampler == PLAIN


def test_one_measure_of_each_kind_decides_and_nearness_never_does() -> None:
    drawn = ["latent_mse_reference", "latent_mse_truth", "still_colour_error", "identity_error_synth",
             "fd_latent_synth", "mouth_correlation_synth", "psnr_truth"]  # fmt: skip
    assert quality_measures(drawn) == ["mouth_correlation_synth", "identity_error_synth", "fd_latent_synth"]
    real = ["lip_correlation", "still_colour_error", "fd_latent", "latent_mse_truth"]
    assert quality_measures(real) == ["lip_correlation", "still_colour_error", "fd_latent"]
    assert quality_measures(["latent_mse_truth", "latent_mse_reference"]) == []


def test_badness_grows_as_values_get_worse() -> None:
    assert badness("mouth_correlation_synth", 0.9) < badness("mouth_correlation_synth", 0.5)
    assert badness("identity_error_synth", 3.0) < badness("identity_error_synth", 4.0)
    assert badness("fd_latent_synth", 3.0) < badness("fd_latent_synth", 4.0)


def test_pseudo_values_of_a_mean_are_its_values() -> None:
    values = [1.0, 4.0, 7.0]
    assert pseudo_values(4.0, [5.5, 4.0, 2.5]) == pytest.approx(values)
    assert over_clips(["a", "b", "c"], 4.0, [5.5, 4.0, 2.5]) == pytest.approx({"a": 1.0, "b": 4.0, "c": 7.0})
    assert over_clips(["a", "b", "c"], 4.0, None) == over_clips(["a"], None, [1.0]) == {}


def test_losses_are_paired_and_widened_for_the_number_of_measures() -> None:
    better = {"identity_error_synth": {"a": 1.0, "b": 5.0, "c": 9.0}, "mouth_correlation_synth": {"a": -0.5, "b": -0.5}}
    worse = {"identity_error_synth": {"c": 11.0, "a": 2.0, "b": 6.0}, "mouth_correlation_synth": {"a": -0.5}}
    found = losses(worse, better)
    identity = found["identity_error_synth"]
    # Differences 1, 1, 2: sd 0.57735; t of 97.5 % (two measures) at two degrees of freedom, two-sided: 6.2053.
    assert identity.mean == pytest.approx(4 / 3)
    assert identity.half_width == pytest.approx(6.20535 * 0.577350 / math.sqrt(3), rel=1e-4)
    assert found["mouth_correlation_synth"].low is None
