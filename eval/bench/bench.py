"""The benchmark: systems and clips in, rows per clip, timing rounds and controls out.

Resumes by itself: everything is stored under its fingerprint as soon as it is made, and made again only if the clip,
the seed, the weights or the metrics changed. Does not know recipes or how a system generates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fada.eval.bench.controls import CONTROLS, SHUFFLED, TRUTH, measure_controls, other_sound
from fada.eval.bench.environment import environment, source_commit
from fada.eval.bench.measure import Instruments, Measurement, measure_clip
from fada.eval.bench.results import BenchResults, fingerprint
from fada.eval.bench.store import Store
from fada.eval.bench.systems import (
    BenchClip,
    BenchError,
    GenerationResult,
    System,
    check_clips,
    check_result,
    check_systems,
)
from fada.eval.bench.timing import Progress, measure, run_rounds
from fada.eval.metrics.catalogue import METRICS_VERSION
from fada.eval.metrics.registered import REGISTERED
from fada.eval.statistics.set_metrics import Features, latent_set_metrics, real_set_metrics

__all__ = [
    "BenchClip",
    "BenchError",
    "BenchResults",
    "GenerationResult",
    "Instruments",
    "System",
    "measure_clips",
    "run_bench",
]


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
    check_systems(systems)
    check_clips(clips)
    if warmups < 0 or repeats < 0:
        raise BenchError(f"warmups and repeats must not be negative, got {warmups} and {repeats}")
    instruments = instruments or Instruments()
    rows = measure_clips(systems, clips, out, seed=seed, instruments=instruments, on_progress=on_progress)
    place = environment()
    protocol = _protocol(systems, clips, seed, warmups, repeats, instruments, extra or {})
    timing = run_rounds(
        [system for system in systems if system.is_timed],
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
        for row in latent_set_metrics(system.name, [Store(out).latents(c.key, system.name) for c in clips], clips)
    ]
    set_metrics += _real_set_metrics(rows, clips, Store(out), instruments)
    described = [_describe(system) for system in systems]
    # Not part of what decides whether rounds are continued: most commits change nothing that is timed.
    place = place | {"commit": source_commit()}
    results = BenchResults(protocol, place, described, rows, timing, set_metrics, folder=out)
    results.save(out / "results.json")
    return results


def measure_clips(
    systems: Sequence[System],
    clips: Sequence[BenchClip],
    out: Path,
    *,
    seed: int = 0,
    instruments: Instruments | None = None,
    rank: int = 0,
    processes: int = 1,
    on_progress: Progress = _silent,
) -> list[dict[str, Any]]:
    """The rows of every clip with every system and control, generated and measured where ``out`` lacks them.

    Several processes (or machines with a common folder) each take every so-many-th clip; what they store, `run_bench`
    finds, and times by itself.

    Args:
        systems: as of `run_bench`.
        clips: all of them, whatever this process's share.
        out: the benchmark's folder.
        seed: as of `run_bench`.
        instruments: as of `run_bench`.
        rank: this process's number, from 0.
        processes: how many share the clips.
        on_progress: called with (what, done, total) before each piece of work.

    Raises:
        BenchError: systems, clips or a system's output that cannot be compared, or a rank that is none.
    """
    reference = check_systems(list(systems))
    check_clips(list(clips))
    if not 0 <= rank < processes:
        raise BenchError(f"rank must lie in 0 .. processes - 1, got {rank} of {processes}")
    quality = _QualityPass(Store(out), reference, clips, seed, instruments or Instruments())
    # The reference goes first: the others are measured against its latents.
    ordered = [reference, *(system for system in systems if system is not reference)]
    rows: list[dict[str, Any]] = []
    share = clips[rank::processes]
    for number, clip in enumerate(share):
        for system in ordered:
            on_progress(f"{clip.key}: {system.name}", number, len(share))
            rows.append(quality.row(system, clip))
        rows.extend(quality.control_rows(clip))
    return rows


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
        self.store.write_features(clip.key, system.name, measured.features)
        self.store.write_clip_video(clip, system.name, result.frames)
        self.store.write_row(row)
        return row

    def control_rows(self, clip: BenchClip) -> list[dict[str, Any]]:
        """The rows of truth, shuffled sound and frozen mouth, and the true video for the report."""
        if clip.truth_frames is None:
            return []
        mark = clip.measured_hash()
        if self.store.row(clip.key, "truth", mark) is None:
            self.store.write_clip_video(clip, "truth", np.asarray(clip.truth_frames))
            self.store.write_row({"clip": clip.key, "system": "truth", "fingerprint": mark})
        partner = other_sound(clip, self.clips)
        made_of = [*CONTROLS, "" if partner is None else partner.measured_hash()]
        mark = self._fingerprint("controls", fingerprint(made_of), clip)
        stored = self.store.row(clip.key, "controls", mark)
        if stored is not None:
            return list(stored["rows"])
        other = self.store.latents(clip.key, self.reference.name)
        controls = measure_controls(clip, self.clips, self.instruments, other)
        rows = [self._row(name, "control", clip, "", measured) for name, measured in controls.items()]
        for name, measured in controls.items():
            self.store.write_features(clip.key, name, measured.features)
        self.store.write_row({"clip": clip.key, "system": "controls", "fingerprint": mark, "rows": rows})
        return rows

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
            "feature_reasons": measured.feature_reasons,
        }

    def _fingerprint(self, name: str, weights: str, clip: BenchClip) -> str:
        tools = _instrument_names(self.instruments)
        compared_with = [self.reference.name, self.reference.fingerprint]
        return fingerprint([METRICS_VERSION, name, weights, compared_with, clip.measured_hash(), self.seed, tools])


def _real_set_metrics(
    rows: Sequence[dict[str, Any]], clips: Sequence[BenchClip], store: Store, instruments: Instruments
) -> list[dict[str, Any]]:
    """Distances of the features of real footage, of systems and of controls that have any; none in the drawn world."""
    if instruments.real is None or any(clip.drawn_truth is not None for clip in clips):
        return []
    by_name: dict[str, list[Features]] = {}
    for row in rows:
        if row["system"] != SHUFFLED:
            found = store.features(row["clip"], row["system"]), row.get("feature_reasons", {})
            by_name.setdefault(row["system"], []).append(found)
    no_truth = {one.name: "the clips have no true videos" for one in instruments.real.features}
    truth = by_name.get(TRUTH, [({}, no_truth)])
    return [row for name, videos in by_name.items() for row in real_set_metrics(name, videos, truth, instruments.real)]


def _instrument_names(instruments: Instruments) -> dict[str, Any]:
    """What measures, by name; of real footage the protocols, so that other weights make other rows."""
    tools: dict[str, Callable[..., Any] | None] = {
        "measure_aperture": instruments.measure_aperture,
        "landmark_aperture": instruments.landmark_aperture,
    }
    if instruments.measure_likeness is not None:
        tools["measure_likeness"] = instruments.measure_likeness
    if instruments.measure_expression is not None:
        tools["measure_expression"] = instruments.measure_expression
    names: dict[str, Any] = {
        name: None if tool is None else getattr(tool, "__qualname__", type(tool).__name__)
        for name, tool in tools.items()
    }
    if REGISTERED:
        names["registered"] = list(REGISTERED)
    return names if instruments.real is None else names | {"real": instruments.real.protocols()}


def _describe(system: System) -> dict[str, Any]:
    return {
        "name": system.name,
        "description": system.description,
        "nfe_expected": system.nfe_expected,
        "is_reference": system.is_reference,
        "is_candidate": system.is_candidate,
        "is_alternative": system.is_alternative,
        "is_timed": system.is_timed,
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
    if instruments.real is not None:
        shared = {name: protocol[name] for name in ("fps", "frames", "resolution")} | {"clips": len(clips)}
        del protocol["instruments"]["real"]
        protocol["metrics"] = instruments.real.protocols(**shared)
    return protocol | {"fingerprint": fingerprint(protocol)}
