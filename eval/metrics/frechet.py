"""One Fréchet core for any features, and the kernel distance to stand beside it.

The Fréchet distance of few samples is biased upward, by an amount that depends on N and d: print both, and a
real-against-real floor. No weights live here, so nothing here may be called FID or FVD.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fada.eval.metrics.not_measurable import NotMeasurable


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Squared Fréchet distance of the Gaussians fitted to two sets of features (N, d) and (M, d).

    ``|m1 - m2|^2 + tr S1 + tr S2 - 2 tr sqrt(S1 S2)`` with sample covariances (divisor N - 1). With centred features
    A, B the last trace is the sum of the singular values of ``A B^T / sqrt((N - 1)(M - 1))``; for more samples
    than dimensions, A and B are first replaced by square roots of their covariances of at most d rows.

    Raises:
        NotMeasurable: fewer than two samples, different dimensions, or values that are not finite.

    Source: Dowson and Landau 1982; the trace identity is exact, also for singular covariances.
    """
    first, second = _checked(first, second)
    difference = first.mean(0) - second.mean(0)
    root, other_root = (_covariance_root(features) for features in (first, second))
    cross = np.linalg.svd(root @ other_root.T, compute_uv=False).sum()
    value = difference @ difference + np.square(root).sum() + np.square(other_root).sum() - 2 * cross
    return float(max(value, 0.0))


def frechet_of_gaussians(
    mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray
) -> float:
    """Squared Fréchet distance of two given Gaussians (d,), (d, d), by eigenvalues of the product of covariances."""
    difference = np.asarray(mean, dtype=np.float64) - other_mean
    eigenvalues = np.linalg.eigvals(np.asarray(covariance, dtype=np.float64) @ other_covariance)
    cross = np.sqrt(np.maximum(eigenvalues.real, 0.0)).sum()
    return float(max(difference @ difference + np.trace(covariance) + np.trace(other_covariance) - 2 * cross, 0.0))


def kernel_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy with the cubic kernel ``(x y / d + 1)^3``; may be below 0.

    Source: Binkowski et al. 2018 (KID), over all samples at once.
    """
    first, second = _checked(first, second)
    dimensions = first.shape[1]
    within, within_other, between = (
        _kernel(left @ right.T, dimensions) for left, right in ((first, first), (second, second), (first, second))
    )
    return float(_off_diagonal_mean(within) + _off_diagonal_mean(within_other) - 2 * between.mean())


class KernelSums:
    """Kernel values summed once over every pair of videos: of them come the kernel distances of any choice of videos.

    Args:
        generated, real: features (n, d) of each video, clip by clip the same.
    """

    def __init__(self, generated: Sequence[np.ndarray], real: Sequence[np.ndarray]) -> None:
        sides = _checked(np.concatenate(list(generated)), np.concatenate(list(real)))
        self._lengths = [np.array([len(video) for video in side]) for side in (generated, real)]
        self._within = [_pair_sums(side, side, n, n) for side, n in zip(sides, self._lengths, strict=True)]
        self._own = [
            np.add.reduceat(_kernel((side * side).sum(1), side.shape[1]), _begins(n))
            for side, n in zip(sides, self._lengths, strict=True)
        ]
        self._between = _pair_sums(*sides, *self._lengths)

    def distance(self, counts: np.ndarray) -> float:
        """`kernel_distance` of the videos as often as `counts` (videos,) says, each with its true one."""
        sizes = [counts @ lengths for lengths in self._lengths]
        means = [
            (counts @ sums @ counts - counts @ own) / (size * (size - 1))
            for sums, own, size in zip(self._within, self._own, sizes, strict=True)
        ]
        return float(sum(means) - 2 * (counts @ self._between @ counts) / (sizes[0] * sizes[1]))


def _kernel(products: np.ndarray, dimensions: int) -> np.ndarray:
    return np.asarray((products / dimensions + 1) ** 3)


def _begins(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(lengths)[:-1]))


def _pair_sums(first: np.ndarray, second: np.ndarray, lengths: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Kernel values (N, d) against (M, d) summed by pairs of videos; the rows of one video at a time."""
    rows = (
        np.add.reduceat(_kernel(first[begin : begin + length] @ second.T, first.shape[1]).sum(0), _begins(others))
        for begin, length in zip(_begins(lengths), lengths, strict=True)
    )
    return np.stack(list(rows))


def _off_diagonal_mean(matrix: np.ndarray) -> float:
    return (matrix.sum() - np.trace(matrix)) / (len(matrix) * (len(matrix) - 1))


def _covariance_root(features: np.ndarray) -> np.ndarray:
    """A matrix R with R^T R the sample covariance: min(N, d) rows, so that products stay small either way."""
    scaled = (features - features.mean(0)) / np.sqrt(len(features) - 1)
    return np.asarray(np.linalg.qr(scaled, mode="r")) if len(scaled) > scaled.shape[1] else scaled


def _checked(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise NotMeasurable(f"features must be (N, d) and (M, d), got {first.shape} and {second.shape}")
    if min(len(first), len(second)) < 2:
        raise NotMeasurable(f"a covariance needs at least 2 samples, got {len(first)} and {len(second)}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise NotMeasurable("features that are not finite (NaN or infinite)")
    return first, second
