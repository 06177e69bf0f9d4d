from __future__ import annotations

import numpy as np
import pytest
import torch

from fada.eval.metrics.frechet import KernelSums, frechet_distance, frechet_of_gaussians, kernel_distance
from fada.eval.metrics.latent_features import latent_features
from fada.eval.metrics.not_measurable import NotMeasurable

RANDOM = np.random.default_rng(0)


def exact_samples(mean: np.ndarray, covariance: np.ndarray, count: int) -> np.ndarray:
    """Samples whose sample mean and covariance are exactly the given ones."""
    raw = np.random.default_rng(7).normal(size=(count, len(mean)))
    raw -= raw.mean(0)
    whitening = np.linalg.inv(np.linalg.cholesky(np.cov(raw.T))).T
    return raw @ whitening @ np.linalg.cholesky(covariance).T + mean


def test_identical_features_are_at_distance_zero() -> None:
    features = RANDOM.normal(size=(50, 8))
    assert frechet_distance(features, features) == pytest.approx(0.0, abs=1e-9)


def test_closed_form_of_diagonal_gaussians() -> None:
    # |m|^2 + sum (s1 - s2)^2 with standard deviations (1, 2, 3) and (2, 2, 1), means 0 and (1, 0, 2).
    first = exact_samples(np.zeros(3), np.diag([1.0, 4.0, 9.0]), 40)
    second = exact_samples(np.array([1.0, 0.0, 2.0]), np.diag([4.0, 4.0, 1.0]), 30)
    assert frechet_distance(first, second) == pytest.approx(5.0 + 1.0 + 0.0 + 4.0, abs=1e-9)


def test_samples_agree_with_the_eigenvalue_form() -> None:
    mixing, other_mixing = RANDOM.normal(size=(2, 6, 6))
    first, second = RANDOM.normal(size=(80, 6)) @ mixing, RANDOM.normal(size=(60, 6)) @ other_mixing + 1
    expected = frechet_of_gaussians(first.mean(0), np.cov(first.T), second.mean(0), np.cov(second.T))
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_fewer_samples_than_dimensions_agree_with_the_eigenvalue_form() -> None:
    first, second = RANDOM.normal(size=(12, 30)), RANDOM.normal(size=(9, 30)) + 0.5
    expected = frechet_of_gaussians(first.mean(0), np.cov(first.T), second.mean(0), np.cov(second.T))
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_unit_gaussians_at_means_zero_and_one_in_2048_dimensions() -> None:
    eye = np.eye(2048)
    # torch-fidelity's vector: identity covariances, means 0 and 1, d = 2048.
    means = np.zeros(2048), np.ones(2048)
    root = np.linalg.norm(means[0] - means[1]) ** 2
    assert root == pytest.approx(2048.0)
    few = RANDOM.normal(size=(16, 2048))
    assert frechet_distance(few, few + 1.0) == pytest.approx(2048.0, rel=1e-9)
    assert frechet_of_gaussians(means[0][:64], eye[:64, :64], means[1][:64], eye[:64, :64]) == pytest.approx(64.0)


def test_the_order_of_samples_does_not_matter() -> None:
    first, second = RANDOM.normal(size=(40, 5)), RANDOM.normal(size=(40, 5)) * 2
    shuffled = frechet_distance(first[::-1], RANDOM.permutation(second))
    assert shuffled == pytest.approx(frechet_distance(first, second), rel=1e-9)


def test_more_noise_is_further_away() -> None:
    real = RANDOM.normal(size=(200, 4))
    noise = RANDOM.normal(size=(200, 4))
    distances = [frechet_distance(real + strength * noise, real) for strength in (0.1, 0.5, 1.0)]
    assert distances == sorted(distances)


@pytest.mark.parametrize("places", [[0, 1, 2, 3], [3, 1], [2, 2, 0, 2, 1], [1, 1]])
def test_kernel_sums_give_the_distance_of_any_choice_of_videos(places: list[int]) -> None:
    random = np.random.default_rng(5)
    generated, real = ([random.normal(size=(n, 3)) + 2 * side for n in lengths]
                       for side, lengths in enumerate(([4, 1, 6, 3], [2, 5, 6, 1])))  # fmt: skip
    chosen = [np.concatenate([videos[place] for place in places]) for videos in (generated, real)]
    found = KernelSums(generated, real).distance(np.bincount(places, minlength=4))
    assert found == pytest.approx(kernel_distance(*chosen), rel=1e-9)


def test_kernel_distance_is_unbiased_around_zero_and_grows() -> None:
    draws = [kernel_distance(RANDOM.normal(size=(30, 3)), RANDOM.normal(size=(30, 3))) for _ in range(200)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / np.sqrt(200)
    assert kernel_distance(RANDOM.normal(size=(30, 3)) + 2, RANDOM.normal(size=(30, 3))) > 1.0


def test_a_single_sample_is_not_measurable() -> None:
    with pytest.raises(NotMeasurable, match="at least 2 samples, got 1 and 5"):
        frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))


def test_features_that_are_not_finite_are_not_measurable() -> None:
    with pytest.raises(NotMeasurable, match="not finite"):
        frechet_distance(np.full((3, 3), np.nan), np.zeros((5, 3)))


def test_features_of_different_dimensions_are_not_measurable() -> None:
    with pytest.raises(NotMeasurable, match=r"features must be \(N, d\) and \(M, d\)"):
        kernel_distance(np.zeros((3, 2)), np.zeros((5, 3)))


def test_latent_features_are_one_row_of_cell_means_per_frame() -> None:
    video = torch.arange(2 * 3 * 8 * 8, dtype=torch.float32).reshape(2, 3, 8, 8)
    features = latent_features([video, video[:1]])
    assert features.shape == (3, 48)
    assert features[0, 0] == pytest.approx(float(video[0, 0, :2, :2].mean()))
