"""Sounds, pictures and parameters that can be made anywhere: here, and where record_original.py ran the public code."""

from __future__ import annotations

import numpy as np
import torch

STANDARD = (
    (-0.31148657, 0.29036078, 0.13377953),
    (0.30979887, 0.28972036, 0.13179526),
    (0.0032535, -0.04617932, 0.55244243),
    (-0.25216928, -0.38133916, 0.22405732),
    (0.2484662, -0.38128236, 0.22235769),
)


def samples(seconds: float = 0.5) -> np.ndarray:
    """A sweep that swells, with noise: int16 (N,) at 16 kHz."""
    time = np.arange(int(16000 * seconds)) / 16000
    noise = np.random.default_rng(0).normal(size=len(time))
    sound = np.sin(2 * np.pi * (200 + 1500 * time) * time) * (0.1 + time) + 0.02 * noise
    return np.round(sound * 12000).astype(np.int16)


def sync_features() -> tuple[torch.Tensor, torch.Tensor]:
    """Features of lips and of sound (40, 1024), the lips 3 frames later."""
    random = np.random.default_rng(1)
    common, noise = random.normal(size=(60, 1024)), random.normal(size=(40, 1024))
    return torch.from_numpy(common[7:47] + 0.3 * noise).float(), torch.from_numpy(common[10:50]).float()


def picture() -> np.ndarray:
    """Texture at several scales with a flat corner: (300, 290, 3) uint8."""
    random = np.random.default_rng(2)
    total = np.zeros((300, 290, 3))
    for cells in (4, 16, 64, 256):
        coarse = random.normal(size=(cells, cells, 3))
        rows, columns = np.arange(300) * cells // 300, np.arange(290) * cells // 290
        total += coarse[rows][:, columns] * 24
    total[:60, :60] = 0
    return np.clip(128 + total, 0, 255).astype(np.uint8)


def five_points() -> np.ndarray:
    """Eyes, nose, mouth corners (5, 2) in ``picture``, tilted a little."""
    return np.array([(110.0, 120.0), (172.0, 126.0), (140.0, 160.0), (112.0, 192.0), (164.0, 197.0)])


def niqe_parameters() -> dict[str, np.ndarray]:
    """What niqe_pris_params.npz holds, with other numbers."""
    random = np.random.default_rng(3)
    mixing = random.normal(size=(36, 36)) * 0.2
    grid = np.arange(-3, 4)
    window = np.exp(-(grid[:, None] ** 2 + grid[None] ** 2) / (2 * (7 / 6) ** 2))
    return {
        "mu_pris_param": random.uniform(0.2, 2.0, size=(1, 36)),
        "cov_pris_param": mixing @ mixing.T + 0.05 * np.eye(36),
        "gaussian_window": window / window.sum(),
    }


def features() -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features (90, 24) with different means and covariances."""
    random = np.random.default_rng(4)
    mixing, other = random.normal(size=(2, 24, 24)) / 4
    return random.normal(size=(90, 24)) @ mixing + 0.5, random.normal(size=(90, 24)) @ other + 0.2


def summary(pixels: np.ndarray) -> dict[str, object]:
    """Mean and a row of pixels of a picture."""
    return {"shape": list(pixels.shape), "mean": float(pixels.mean()), "pixels": pixels[100, 20:200:20].tolist()}
