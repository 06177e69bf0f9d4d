"""A metric of your own beside fada's. `python examples/metric_of_your_own.py OUTPUT`

Registered before `fada.bench(recipe)`, it stands in that run's report for teacher, baselines, students and controls.
Here three made-up systems stand in for models, so that the report is there in seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import fada
from fada.eval.bench.bench import BenchClip, GenerationResult, System, run_bench
from fada.eval.report import write_report


def sharpness(clip: BenchClip, frames: np.ndarray) -> float:
    """Mean squared difference of neighbouring pixels, over the true video's: 1 where both are equally sharp."""
    if clip.truth_frames is None:
        raise fada.NotMeasurable("the clip has no true video")
    made, true = (np.square(np.diff(video.astype(float), axis=2)).mean() for video in (frames, clip.truth_frames))
    return float(made / true)


fada.register_metric(
    "sharpness_ratio", sharpness, better="one", label="sharpness", meaning="of neighbouring pixels, to the true video's"
)


def clip_of(number: int) -> BenchClip:
    """A held-out clip: a bright square that moves, for eight frames of noise."""
    frames = np.full((8, 32, 32, 3), 60, np.uint8)
    for frame in range(8):
        frames[frame, 8:16, 4 + frame + number : 12 + frame + number] = 220
    sound = np.random.default_rng(number).standard_normal(8 * 640).astype(np.float32)
    return BenchClip(f"clip-{number}", f"person-{number}", frames[0], sound, frames, fps=25.0, sample_rate=16000)


def system(name: str, smoothing: int, evaluations: int, **role: bool) -> System:
    """A system that gives the true video back, smoothed over so many pixels."""

    def generate(clip: BenchClip, seed: int) -> GenerationResult:
        assert clip.truth_frames is not None
        shifted = [np.roll(clip.truth_frames, step, axis=2).astype(float) for step in range(smoothing)]
        return GenerationResult(np.mean(shifted, axis=0).astype(np.uint8), None, {"denoise": 0.0}, evaluations)

    return System(name, f"the truth, smoothed over {smoothing} pixels", None, generate, **role)


def main(output: Path) -> None:
    """Measure three systems on three clips, and write the report."""
    systems = [system("teacher-75", 1, 75, is_reference=True), system("teacher-2x3", 4, 6, is_alternative=True),
               system("fast-6", 2, 6, is_candidate=True)]  # fmt: skip
    results = run_bench(systems, [clip_of(number) for number in range(3)], output, warmups=0, repeats=0)
    for name in ("teacher-75", "teacher-2x3", "fast-6"):
        values = [value for value in results.values(name, "sharpness_ratio").values() if value is not None]
        print(f"{name}: sharpness {sum(values) / len(values):.3f}")
    print(f"report: {write_report(results, title='A metric of your own')['page']}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/metric"))
