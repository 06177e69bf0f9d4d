from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from fada.eval.metrics import fidelity
from fada.eval.metrics.not_measurable import NotMeasurable

VIDEO = np.random.default_rng(0).integers(0, 256, (4, 24, 20, 3), dtype=np.uint8)


def test_psnr_of_a_known_error() -> None:
    # Every pixel off by 5: 20 log10(255 / 5).
    dark = np.full((2, 8, 8, 3), 100, np.uint8)
    assert fidelity.psnr(dark + np.uint8(5), dark) == pytest.approx(34.151404, abs=1e-6)


def test_psnr_of_identical_videos_is_not_measurable() -> None:
    with pytest.raises(NotMeasurable, match="identical"):
        fidelity.psnr(VIDEO, VIDEO)


def test_ssim_of_identical_videos_is_one() -> None:
    assert fidelity.ssim(VIDEO, VIDEO) == pytest.approx(1.0)


def test_ssim_agrees_with_torchmetrics() -> None:
    gradient = np.arange(24)[:, None] * 7 + np.arange(20)[None] * 3
    truth = np.stack([gradient + 9 * frame for frame in range(3)])[..., None].repeat(3, -1).astype(np.uint8)
    other = (truth // 2 + np.uint8(40) * (truth % 3 == 0)).astype(np.uint8)
    # torchmetrics 1.9.0, structural_similarity_index_measure(luma, data_range=255, return_full_image=True), mean over
    # [5:-5, 5:-5] in float64: its own mean includes reflected borders, Wang et al. leave them out.
    assert fidelity.ssim(other, truth) == pytest.approx(0.29329521888983634, abs=1e-9)


@pytest.mark.parametrize("metric", [fidelity.psnr, fidelity.ssim])
def test_more_blur_scores_worse(metric) -> None:
    scores = [metric(gaussian_filter(VIDEO, (0, s, s, 0)), VIDEO) for s in (0.4, 0.8, 1.6)]
    assert scores == sorted(scores, reverse=True)


def test_latent_mse_of_a_known_offset() -> None:
    latents = torch.randn(5, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    assert fidelity.latent_mse(latents + 0.5, latents) == pytest.approx(0.25, abs=1e-6)


def test_latents_that_are_not_finite_are_not_measurable() -> None:
    with pytest.raises(NotMeasurable, match="not finite"):
        fidelity.latent_mse(torch.full((2, 1, 2, 2), float("nan")), torch.zeros(2, 1, 2, 2))


def test_latents_of_another_shape_are_not_measurable() -> None:
    with pytest.raises(NotMeasurable, match="differ in shape"):
        fidelity.latent_mse(torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 3, 3))


def test_pictures_of_another_size_are_not_measurable() -> None:
    with pytest.raises(NotMeasurable, match="differ in size"):
        fidelity.psnr(VIDEO, VIDEO[:, :10])


def test_ssim_of_tiny_pictures_is_not_measurable() -> None:
    with pytest.raises(NotMeasurable, match="at least 11 pixels, got 8x8"):
        fidelity.ssim(VIDEO[:, :8, :8], VIDEO[:, :8, :8])
