"""The benchmark: systems and clips in, rows per clip, timing rounds and controls out.

Resumes by itself: everything is stored under its fingerprint as soon as it is made, and made again only if the clip,
the seed, the weights or the metrics changed. Does not know recipes or how a system generates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fada.eval.controls import measure_controls
from fada.eval.environment import environment
from fada.eval.measure import Instruments, Measurement, measure_clip
from fada.eval.metrics.catalogue import METRICS_VERSION
from fada.eval.results import BenchResults, fingerprint
from fada.eval.set_metrics import latent_set_metrics
from fada.eval.store import Store
from fada.eval.systems import (
    BenchClip,
    BenchError,
    GenerationResult,
    System,
    check_clips,
    check_result,
    check_systems,
)
from fada.eval.timing import Progress, measure, run_rounds

__all__ = ["BenchClip", "BenchError", "BenchResults", "GenerationResult", "Instruments", "System", "run_bench"]


def _silent(what: str, done: int, total: int) -> None:
    """The default progress: none."""


def run_bench(
    systems: Sequence[System],
    clips: Sequence[BenchClip],
    out: Path,
    *,
    seed: int = 0,
    warmups: int = 2,
    repeats: int = 5,
    instruments: Instruments | None = None,
    extra: Mapping[str, Any] | None = None,
    on_progress: Progress = _silent,
) -> BenchResults:
    """Generates every clip with every system, measures, times, and writes ``OUT/results.json``.

    Args:
        systems: exactly one is the reference; the report keeps their order.
        clips: held-out clips.
        out: the benchmark's folder; the same call again skips what it already holds.
        seed: from it and a clip's key comes the clip's noise seed, the same for every system.
        warmups: unmeasured runs of each system before the timing rounds.
        repeats: timing rounds; 0 leaves timing out.
        instruments: what measures mouths; None measures none.
        extra: what the protocol should also name (dtype, scales, checkpoint hashes, commit ...), JSON-able.
        on_progress: called with (what, done, total) before each piece of work.

    Raises:
        BenchError: systems, clips or a system's output that cannot be compared.
    """
    systems, clips = list(systems), list(clips)
    reference = check_systems(systems)
    check_clips(clips)
    if warmups < 0 or repeats < 0:
        raise BenchError(f"warmups and repeats must not be negative, got {warmups} and {repeats}")
    instruments = instruments or Instruments()
    quality = _QualityPass(Store(out), reference, clips, seed, instruments)
    rows: list[dict[str, Any]] = []
    # The reference goes first: the others are measured against its latents.
    ordered = [reference, *(system for system in systems if system is not reference)]
    for number, clip in enumerate(clips):
        for system in ordered:
            on_progress(f"{clip.key}: {system.name}", number, len(clips))
            rows.append(quality.row(system, clip))
        rows.extend(quality.control_rows(clip))
    place = environment()
    protocol = _protocol(systems, clips, seed, warmups, repeats, instruments, extra or {})
    timing = run_rounds(
        systems,
        clips,
        out / "timing.json",
        seed=seed,
        warmups=warmups,
        repeats=repeats,
        # The rounds may be continued with more repeats, but not on another machine.
        fingerprint=fingerprint([place, {**protocol, "repeats": None, "fingerprint": None}]),
        on_progress=on_progress,
    )
    set_metrics = [
        row
        for system in systems
        for row in latent_set_metrics(system.name, [quality.store.latents(c.key, system.name) for c in clips], clips)
    ]
    described = [_describe(system) for system in systems]
    results = BenchResults(protocol, place, described, rows, timing, set_metrics, folder=out)
    results.save(out / "results.json")
    return results


class _QualityPass:
    """Generates and measures one (system, clip) at a time, or takes it from the store."""

    def __init__(
        self, store: Store, reference: System, clips: Sequence[BenchClip], seed: int, instruments: Instruments
    ) -> None:
        self.store = store
        self.reference = reference
        self.clips = clips
        self.seed = seed
        self.instruments = instruments

    def row(self, system: System, clip: BenchClip) -> dict[str, Any]:
        """The row of one generated video, with its latents and video stored beside it."""
        mark = self._fingerprint(system.name, system.fingerprint, clip)
        stored = self.store.row(clip.key, system.name, mark)
        if stored is not None:
            return stored
        result, cost = measure(system, clip, clip.seed(self.seed))
        check_result(system, clip, result)
        other = None if system is self.reference else self.store.latents(clip.key, self.reference.name)
        measured = measure_clip(clip, result.frames, result.latents, self.instruments, other)
        row = self._row(system.name, "system", clip, mark, measured)
        row |= {**cost, "nfe": result.nfe, "clips": result.clips, "size": list(result.frames.shape[1:3])}
        self.store.write_latents(clip.key, system.name, result.latents)
        self.store.write_clip_video(clip, system.name, result.frames)
        self.store.write_row(row)
        return row

    def control_rows(self, clip: BenchClip) -> list[dict[str, Any]]:
        """The rows of truth, shuffled sound and frozen mouth, and the true video for the report."""
        if clip.truth_frames is None:
            return []
        mark = clip.content_hash()
        if self.store.row(clip.key, "truth", mark) is None:
            self.store.write_clip_video(clip, "truth", np.asarray(clip.truth_frames))
            self.store.write_row({"clip": clip.key, "system": "truth", "fingerprint": mark})
        other = self.store.latents(clip.key, self.reference.name)
        controls = measure_controls(clip, self.clips, self.instruments, other)
        return [self._row(name, "control", clip, "", measured) for name, measured in controls.items()]

    def _row(self, name: str, kind: str, clip: BenchClip, mark: str, measured: Measurement) -> dict[str, Any]:
        return {
            "fingerprint": mark,
            "system": name,
            "kind": kind,
            "clip": clip.key,
            "identity": clip.identity,
            "seed": clip.seed(self.seed),
            "metrics": measured.values,
            "reasons": measured.reasons,
        }

    def _fingerprint(self, name: str, weights: str, clip: BenchClip) -> str:
        tools = _instrument_names(self.instruments)
        compared_with = [self.reference.name, self.reference.fingerprint]
        return fingerprint([METRICS_VERSION, name, weights, compared_with, clip.content_hash(), self.seed, tools])


def _instrument_names(instruments: Instruments) -> dict[str, str | None]:
    tools = {"measure_aperture": instruments.measure_aperture, "landmark_aperture": instruments.landmark_aperture}
    return {
        name: None if tool is None else getattr(tool, "__qualname__", type(tool).__name__)
        for name, tool in tools.items()
    }


def _describe(system: System) -> dict[str, Any]:
    return {
        "name": system.name,
        "description": system.description,
        "nfe_expected": system.nfe_expected,
        "is_reference": system.is_reference,
        "is_candidate": system.is_candidate,
        "is_alternative": system.is_alternative,
        "fingerprint": system.fingerprint,
        "notes": dict(system.notes),
    }


def _protocol(
    systems: Sequence[System],
    clips: Sequence[BenchClip],
    seed: int,
    warmups: int,
    repeats: int,
    instruments: Instruments,
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    protocol: dict[str, Any] = {
        "metrics_version": METRICS_VERSION,
        "seed": seed,
        "warmups": warmups,
        "repeats": repeats,
        "instruments": _instrument_names(instruments),
        "clips": {clip.key: clip.content_hash() for clip in clips},
        "identities": len({clip.identity for clip in clips}),
        "fps": sorted({clip.fps for clip in clips}),
        "frames": sorted({len(clip.truth_frames) for clip in clips if clip.truth_frames is not None}),
        "resolution": sorted({"x".join(map(str, clip.reference.shape[1::-1])) for clip in clips}),
        "systems": {system.name: system.fingerprint for system in systems},
        **extra,
    }
    return protocol | {"fingerprint": fingerprint(protocol)}
