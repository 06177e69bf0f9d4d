"""Metrics of your own: measured with the others, stored with them, and refused where they would hide one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fada.eval.bench.bench import GenerationResult, System, run_bench
from fada.eval.bench.systems import BenchClip
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.metrics.not_measurable import NotMeasurable
from fada.eval.metrics.registered import REGISTERED, register_metric


@pytest.fixture(autouse=True)
def _only_here() -> Iterator[None]:
    before = dict(CATALOGUE), dict(REGISTERED)
    yield
    for table, content in zip((CATALOGUE, REGISTERED), before, strict=True):
        table.clear()
        table.update(content)


def clip(number: int) -> BenchClip:
    frames = np.full((3, 16, 16, 3), 10 * number, np.uint8)
    return BenchClip(f"clip-{number}", f"person-{number}", frames[0], np.zeros(1920, np.float32), frames)


def copies(clip: BenchClip, seed: int) -> GenerationResult:
    assert clip.truth_frames is not None
    return GenerationResult(clip.truth_frames + 5, None, {"denoise": 0.1}, 1)


def brightness(clip: BenchClip, frames: np.ndarray) -> float:
    if clip.key == "clip-2":
        raise NotMeasurable("it is too bright")
    return float(frames.mean())


def test_a_registered_metric_has_a_value_or_a_reason_for_every_video(tmp_path: Path) -> None:
    systems = [System("teacher", "a copy", 1, copies, is_reference=True)]
    clips = [clip(1), clip(2)]
    before = run_bench(systems, clips, tmp_path, warmups=0, repeats=0)
    assert "brightness" not in before.rows[0]["metrics"]
    entry = register_metric("brightness", brightness, better="zero", unit="levels", digits=1)
    assert (entry.label, entry.unit, CATALOGUE["brightness"]) == ("brightness", "levels", entry)
    # Rows that were stored without it are measured again.
    found = run_bench(systems, clips, tmp_path, warmups=0, repeats=0)
    assert found.values("teacher", "brightness") == {"clip-1": 15.0, "clip-2": None}
    assert found.rows_of("teacher")[1]["reasons"]["brightness"] == "it is too bright"
    # Of controls, too.
    assert found.values("control-truth", "brightness")["clip-1"] == 10.0


def test_a_metric_may_be_registered_again_and_hides_none_of_the_packages() -> None:
    register_metric("brightness", brightness, better="zero")
    register_metric("brightness", brightness, better="lower")
    assert CATALOGUE["brightness"].better == "lower"
    with pytest.raises(ValueError, match="metric psnr_truth: the package has one of that name"):
        register_metric("psnr_truth", brightness, better="higher")
    with pytest.raises(ValueError, match="a name is made of letters, digits and _, got 'my metric'"):
        register_metric("my metric", brightness, better="higher")
    with pytest.raises(ValueError, match="better: got 'more'; choose from higher, lower, one, zero"):
        register_metric("brightness", brightness, better="more")  # type: ignore[arg-type]
