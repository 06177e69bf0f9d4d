"""A small world without the drawn one: a bright disc on a grey picture, whose radius follows a sine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fada.eval.bench.bench import BenchClip, BenchResults, GenerationResult, Instruments, System, run_bench

SIZE, FRAMES = 32, 24


def draw(aperture: np.ndarray, background: int = 90) -> np.ndarray:
    """uint8 (F, 32, 32, 3): a dark bar of the given height (px) on a textured background."""
    frames = np.full((len(aperture), SIZE, SIZE, 3), background, dtype=np.float64)
    frames += 20 * np.sin(np.arange(SIZE))[None, :, None, None]
    rows = np.arange(SIZE)[None, :] + 0.5
    cover = np.clip(aperture[:, None] / 2 - np.abs(rows - SIZE / 2) + 0.5, 0, 1)
    frames[:, :, 12:20] *= 1 - cover[:, :, None, None]
    return frames.round().astype(np.uint8)


def measure(frames: np.ndarray, truth: dict[str, Any]) -> np.ndarray:
    """The bar's height in px, by its darkness against the column beside it."""
    inside, beside = (frames[:, :, column, 0].astype(np.float64) for column in (16, 2))
    return (1 - inside / np.maximum(beside, 1)).clip(0, 1).sum(1)


def latents_of(frames: np.ndarray) -> torch.Tensor:
    """(F, 3, 8, 8): every fourth pixel in [-1, 1]."""
    return torch.from_numpy(frames[:, ::4, ::4].copy()).permute(0, 3, 1, 2).float() / 127.5 - 1


def bench_clip(index: int, drawn: bool = True) -> BenchClip:
    """A clip whose mouth moves at its own speed."""
    curve = 0.5 + 0.5 * np.sin(np.arange(FRAMES) * (0.45 + 0.17 * index) + index)
    frames = draw(8 * curve, 80 + 15 * index)
    meta = {"truth": {"aperture": curve.tolist(), "aperture_px": (8 * curve).tolist()}} if drawn else {}
    audio = np.sin(np.arange(FRAMES * 640) * 0.05).astype(np.float32) * 0.1
    return BenchClip(f"clip-{index}", f"person-{index}", frames[0], audio, frames, latents_of(frames), meta)


def generator(noise: float, nfe: int, seconds_per_nfe: float = 0.0) -> Callable[[BenchClip, int], GenerationResult]:
    """A system that returns the truth with seeded noise of the given strength."""

    def generate(clip: BenchClip, seed: int) -> GenerationResult:
        assert clip.truth_frames is not None
        random = np.random.default_rng(seed).normal(0, 1, clip.truth_frames.shape)
        frames = np.clip(clip.truth_frames + noise * random, 0, 255).astype(np.uint8)
        start = time.perf_counter()
        time.sleep(nfe * seconds_per_nfe)
        stages = {"audio": 1e-4, "reference": 1e-4, "denoise": time.perf_counter() - start + 1e-6 * nfe, "decode": 1e-4}
        return GenerationResult(frames, latents_of(frames), stages, nfe)

    return generate


def five_systems() -> list[System]:
    """The report's usual rows."""
    return [
        System("teacher-75", "25 steps x 3 branches", 75, generator(4, 75, 2e-4), is_reference=True),
        System("teacher-6-conditional", "6 steps", 6, generator(30, 6, 2e-4), is_alternative=True),
        System("teacher-2x3", "2 steps x 3 branches", 6, generator(40, 6, 2e-4), is_alternative=True),
        System("balanced-18", "6 steps x 3 branches", 18, generator(4.5, 18, 2e-4)),
        System("fast-6", "6 steps", 6, generator(5, 6, 2e-4), is_candidate=True),
    ]


@pytest.fixture(scope="session")
def instruments() -> Instruments:
    return Instruments(measure)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory, instruments: Instruments) -> BenchResults:
    """A whole benchmark of five systems on three clips."""
    out: Path = tmp_path_factory.mktemp("bench")
    clips = [bench_clip(index) for index in range(3)]
    return run_bench(five_systems(), clips, out, seed=1, warmups=1, repeats=3, instruments=instruments)


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., BenchClip]:
    return bench_clip


@pytest.fixture(scope="session")
def make_systems() -> Callable[[], list[System]]:
    return five_systems


@pytest.fixture(scope="session")
def make_generator() -> Callable[..., Callable[[BenchClip, int], GenerationResult]]:
    return generator
