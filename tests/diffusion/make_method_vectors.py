"""Reference numbers of docs/method.md, in float64, with NumPy alone: nothing of fada is imported.

    python tests/diffusion/make_method_vectors.py > tests/diffusion/vectors/method.json

A second reading of the formulas, written from the page and not from the code, so that a misreading there shows here.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np

STEPS = 1000
"""T, the length of the time grid."""
SPLITS = ((4, 4), (5, 4), (6, 4), (8, 4), (12, 4), (6, 3), (7, 2))
"""Sampling steps over windows."""
MEANS = {"b": -0.5, "r": 0.4, "a": 1.3}
"""Means of Gaussian data at every branch; its standard deviation, and the point that windows start from."""
SPREAD, START = 0.6, 0.9


def alpha_bars(kind: str = "scaled_linear", first: float = 0.00085, last: float = 0.012) -> np.ndarray:
    """alpha-bar at the indices 0 to T - 1."""
    if kind == "scaled_linear":
        betas = np.linspace(first**0.5, last**0.5, STEPS) ** 2
    else:
        betas = np.linspace(first, last, STEPS)
    return np.cumprod(1.0 - betas)


def without_signal_at_the_end(table: np.ndarray) -> np.ndarray:
    """Zero terminal SNR (arXiv 2305.08891, algorithm 1)."""
    root = table**0.5
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2


def at(table: np.ndarray, t: float) -> float:
    """alpha-bar at time t; t = 0 reads index 0 (set_alpha_to_one = false)."""
    return table[max(round(t * STEPS) - 1, 0)]


def windows(count: int) -> list[tuple[float, float]]:
    """Start and end of equal windows, from noise to data."""
    return [(i / count, (i - 1) / count) for i in range(count, 0, -1)]


def eps_line(table: np.ndarray, start: float, end: float) -> tuple[float, float]:
    """lambda and eta of the eps form."""
    s, e = at(table, start), at(table, end)
    slope = (e / s) ** 0.5
    return slope, (1 - e) ** 0.5 - (1 - s) ** 0.5 * slope


def v_line(table: np.ndarray, start: float, end: float) -> tuple[float, float]:
    """lambda and eta of the v form."""
    s, e = at(table, start), at(table, end)
    a_s, a_e, c_s, c_e = s**0.5, e**0.5, (1 - s) ** 0.5, (1 - e) ** 0.5
    return a_e * a_s + c_e * c_s, c_e * a_s - a_e * c_s


def sampling_times(steps: int, count: int) -> list[float]:
    """Start of every step of a student."""
    times = []
    for number, (start, end) in enumerate(windows(count)):
        inside = steps // count + (1 if number < steps % count else 0)
        times += [start + j * (end - start) / inside for j in range(inside)]
    return times


def combine(b: float, r: float, a: float, cfg_r: float, cfg_a: float) -> float:
    """The guidance ladder."""
    return b + cfg_r * (r - b) + cfg_a * (a - r)


def weight(ratio: float, s: float = 0.25, w0: float = 0.2, peak: float = 30.0, dead: float = 100.0) -> float:
    """W of the mixed loss."""
    if ratio < peak:
        return w0 * ratio**s
    if ratio < dead:
        return w0 * peak**s * (dead - ratio) / (dead - peak)
    return 0.0


def gaussian_eps(z: float, alpha_bar: float, mean: float) -> float:
    """The perfect noise prediction where data are Gaussian."""
    return (1 - alpha_bar) ** 0.5 * (z - alpha_bar**0.5 * mean) / (alpha_bar * SPREAD * SPREAD + 1 - alpha_bar)


def gaussian_end(z: float, start: float, end: float, mean: float) -> float:
    """Where the exact flow leads, from alpha-bar to alpha-bar."""
    scale = ((end * SPREAD * SPREAD + 1 - end) / (start * SPREAD * SPREAD + 1 - start)) ** 0.5
    return end**0.5 * mean + scale * (z - start**0.5 * mean)


def ddim(
    z: float, table: np.ndarray, start: float, end: float, steps: int, eps_at: Callable[[float, float], float]
) -> float:
    """DDIM over a window, its nodes rounded to the grid."""
    times = [round((start + j * (end - start) / steps) * STEPS) / STEPS for j in range(steps + 1)]
    for before, after in itertools.pairwise(times):
        here, there = at(table, before), at(table, after)
        eps = eps_at(z, here)
        clean = (z - (1 - here) ** 0.5 * eps) / here**0.5
        z = there**0.5 * clean + (1 - there) ** 0.5 * eps
    return z


def student_step(
    z: float, eps: float, times: tuple[float, float], window: tuple[float, float], line: tuple[float, float]
) -> float:
    """One step of a student along its chord."""
    (t, after), (start, end), (slope, gain) = times, window, line
    d = slope * (t - start) + (end - t)
    arrival = slope * (end - start) / d * z + gain * (end - t) / d * eps
    return z + (after - t) / (end - t) * (arrival - z)


def gaussian_rows(table: np.ndarray) -> list[dict[str, Any]]:
    """Window ends, targets and steps for Gaussian data."""
    rows = []
    for cfg_r, cfg_a in ((1.0, 1.0), (2.0, 6.5)):
        mean, z = combine(MEANS["b"], MEANS["r"], MEANS["a"], cfg_r, cfg_a), START
        for start, end in windows(4):
            slope, gain = eps_line(table, start, end)
            exact = gaussian_end(z, at(table, start), at(table, end), mean)
            target = (exact - slope * z) / gain

            def eps_at(x: float, alpha_bar: float, mean: float = mean) -> float:
                return gaussian_eps(x, alpha_bar, mean)

            ends = {str(n): ddim(z, table, start, end, n, eps_at) for n in (1, 2, 4, 8, 16, 125)}
            t, z_t = start + 0.4 * (end - start), z + 0.4 * (exact - z)
            value = student_step(z_t, target, (t, end), (start, end), (slope, gain))
            row = {"means": MEANS, "std": SPREAD, "cfg_r": cfg_r, "cfg_a": cfg_a, "z_start": z, "t_start": start,
                   "t_end": end, "exact_end": exact, "target_eps_of_exact_end": target, "ddim_end": ends}  # fmt: skip
            rows.append({**row, "student_step": {"t": t, "z_t": z_t, "t_next": end, "value": value}})
    return rows


def ground_truth_rows(table: np.ndarray, clean: float = 0.8, eps: float = -1.7) -> list[dict[str, float]]:
    """Both ends of the data's line, and its target."""
    rows = []
    for start, end in windows(4):
        s, e = at(table, start), at(table, end)
        slope, gain = eps_line(table, start, end)
        z_start, z_end = s**0.5 * clean + (1 - s) ** 0.5 * eps, e**0.5 * clean + (1 - e) ** 0.5 * eps
        row = {"z0": clean, "eps": eps, "t_start": start, "t_end": end, "z_start": z_start, "z_end": z_end}
        rows.append({**row, "target": (z_end - slope * z_start) / gain})
    return rows


def vectors() -> dict[str, Any]:
    """All numbers of the file."""
    table, v_table = alpha_bars(), without_signal_at_the_end(alpha_bars("linear"))
    point = {"b": 0.3, "r": -1.1, "a": 0.7}
    scales = ((1, 1), (2.5, 6.5), (2.0, 6.5), (0, 0), (1, 0))
    ratios = (0.0, 0.01, 1.0, 16.0, 29.999, 30.0, 65.0, 99.9, 100.0, 1e6)
    return {
        "schedule": {
            "kind": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "T": STEPS,
            "alpha_bar": {str(i): table[i] for i in (0, 1, 249, 499, 749, 874, 998, 999)},
        },
        "windows": [
            {"K": count, "t_start": start, "t_end": end, **_named(eps_line(table, start, end))}
            for count in (1, 2, 4, 8) for start, end in windows(count)
        ],
        "sampling_times": {f"{steps}/{count}": sampling_times(steps, count) for steps, count in SPLITS},
        "combine": [
            {**point, "cfg_r": cfg_r, "cfg_a": cfg_a, "value": combine(**point, cfg_r=cfg_r, cfg_a=cfg_a)}
            for cfg_r, cfg_a in scales
        ],
        "weight": [{"s": s, "R": ratio, "W": weight(ratio, s)} for s in (0.25, 0.5) for ratio in ratios],
        "gaussian": gaussian_rows(table),
        "ground_truth_branch": ground_truth_rows(table),
        "windows_v_zero_snr_linear": [
            {"t_start": start, "t_end": end, **_named(v_line(v_table, start, end))} for start, end in windows(4)
        ],
    }  # fmt: skip


def _named(line: tuple[float, float]) -> dict[str, float]:
    return dict(zip(("lambda", "eta"), line, strict=True))


if __name__ == "__main__":
    print(json.dumps(vectors(), indent=1))
