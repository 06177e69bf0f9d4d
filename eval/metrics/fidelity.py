"""How close a generated video is to a given one, in pixels and in latents."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.ndimage import correlate1d

from fada.eval.metrics.not_measurable import NotMeasurable

_WINDOW = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
_LUMA = np.array([0.299, 0.587, 0.114])


def psnr(frames: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio of whole videos (F, H, W, 3) uint8, in dB (one mean squared error over all pixels).

    Raises:
        NotMeasurable: identical videos, where it is infinite, or videos of different size.
    """
    frames, truth = same_length(frames, truth)
    error = np.mean([_squared_error(one, other) for one, other in zip(frames, truth, strict=True)])
    if error == 0:
        raise NotMeasurable("identical to the truth: infinite")
    return 10 * math.log10(255.0**2 / float(error))


def ssim(frames: np.ndarray, truth: np.ndarray) -> float:
    """Mean structural similarity over frames, on luma, Gaussian window of 11 pixels (sigma 1.5), borders left out.

    Raises:
        NotMeasurable: frames under 11 pixels, or videos of different size.

    Source: Wang et al. 2004, with K1 = 0.01 and K2 = 0.03.
    """
    frames, truth = same_length(frames, truth)
    if min(frames.shape[1:3]) < 11:
        raise NotMeasurable(f"SSIM needs frames of at least 11 pixels, got {frames.shape[2]}x{frames.shape[1]}")
    return float(np.mean([_frame_ssim(one @ _LUMA, other @ _LUMA) for one, other in zip(frames, truth, strict=True)]))


def latent_mse(latents: torch.Tensor, other: torch.Tensor) -> float:
    """Mean squared difference of two latent videos (F, C, h, w), over the frames both have.

    Raises:
        NotMeasurable: different latent shapes, or values that are not finite.
    """
    frames = min(len(latents), len(other))
    if latents.shape[1:] != other.shape[1:] or frames == 0:
        raise NotMeasurable(f"latents differ in shape: {tuple(latents.shape)} and {tuple(other.shape)}")
    difference = latents[:frames].detach().double().cpu() - other[:frames].detach().double().cpu()
    error = float(difference.square().mean())
    if not math.isfinite(error):
        raise NotMeasurable("latents that are not finite (NaN or infinite)")
    return error


def same_length(frames: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both videos cut to the shorter one; NotMeasurable if their pictures differ in size."""
    if frames.shape[1:] != truth.shape[1:]:
        raise NotMeasurable(f"pictures differ in size: {frames.shape[1:3]} and {truth.shape[1:3]}")
    count = min(len(frames), len(truth))
    return frames[:count], truth[:count]


def _squared_error(frame: np.ndarray, truth: np.ndarray) -> float:
    return float(np.square(frame.astype(np.float64) - truth).mean())


def _frame_ssim(frame: np.ndarray, truth: np.ndarray) -> float:
    first, second = _blur(frame), _blur(truth)
    first_variance = _blur(frame**2) - first**2
    second_variance = _blur(truth**2) - second**2
    covariance = _blur(frame * truth) - first * second
    stable_mean, stable_variance = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * first * second + stable_mean) * (2 * covariance + stable_variance)
    similarity /= (first**2 + second**2 + stable_mean) * (first_variance + second_variance + stable_variance)
    return float(similarity[5:-5, 5:-5].mean())


def _blur(picture: np.ndarray) -> np.ndarray:
    window = _WINDOW / _WINDOW.sum()
    return correlate1d(correlate1d(picture, window, axis=0), window, axis=1)
