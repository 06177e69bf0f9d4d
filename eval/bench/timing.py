"""How long a clip takes: rounds in which every system generates the same clip, one after the other.

Interleaving lets the machine's noise hit all systems alike, and the order turns by one place each round. A round is
stored when it is complete, so an interrupted benchmark goes on with the next one (after fresh warm-ups).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fada.eval.bench.memory import PeakMemory
from fada.eval.bench.results import BenchResults, kept_json
from fada.eval.bench.systems import BenchClip, GenerationResult, System
from fada.files.whole import write_json

Progress = Callable[[str, int, int], None]


def measure(system: System, clip: BenchClip, seed: int) -> tuple[GenerationResult, dict[str, Any]]:
    """One generation and what it cost: ``seconds``, ``stage_seconds``, peak memory, first frame."""
    with PeakMemory() as memory:
        start = time.perf_counter()
        result = system.generate(clip, seed)
        seconds = time.perf_counter() - start
    measured = result.peak_memory_bytes is None
    return result, {
        "seconds": seconds,
        "stage_seconds": {stage: float(value) for stage, value in result.stage_seconds.items()},
        "peak_memory_bytes": memory.bytes if measured else result.peak_memory_bytes,
        "memory_kind": memory.kind if measured else "system",
        "first_frame_seconds": result.first_frame_seconds,
        "frames": len(result.frames),
        "media_seconds": len(result.frames) / clip.fps,
    }


def run_rounds(
    systems: Sequence[System],
    clips: Sequence[BenchClip],
    path: Path,
    *,
    seed: int,
    warmups: int,
    repeats: int,
    fingerprint: str,
    on_progress: Progress,
) -> list[dict[str, Any]]:
    """One row per (round, system); rounds already in ``path`` under the same fingerprint are kept.

    Round r uses clip r modulo the number of clips.
    """
    rows = _stored(path, fingerprint, repeats, [system.name for system in systems])
    done = len(rows) // len(systems)
    if done < repeats:
        for system in systems:
            for attempt in range(warmups):
                on_progress(f"warm-up {system.name}", attempt, warmups)
                system.generate(clips[0], clips[0].seed(seed))
    for number in range(done, repeats):
        clip = clips[number % len(clips)]
        turn = number % len(systems)
        for system in [*systems[turn:], *systems[:turn]]:
            on_progress(f"timing {system.name}", number, repeats)
            _, cost = measure(system, clip, clip.seed(seed))
            rows.append({"round": number, "system": system.name, "clip": clip.key, **cost})
        write_json(path, {"fingerprint": fingerprint, "rows": rows})
    return rows


def _stored(path: Path, fingerprint: str, repeats: int, names: Sequence[str]) -> list[dict[str, Any]]:
    content = kept_json(path)
    if content.get("fingerprint") != fingerprint:
        return []
    rows = [row for row in content["rows"] if row["round"] < repeats]
    return rows if {row["system"] for row in rows} == set(names) else []


def timing_summary(results: BenchResults, name: str) -> dict[str, Any] | None:
    """Medians and 90th percentiles of one system's rounds, and its speed-up over the reference; None without rounds.

    ``seconds`` and each of ``stages`` are ``{"p50", "p90"}`` in seconds per clip; ``real_time_factor`` is wall over
    media seconds; ``denoise_speedup`` and ``whole_speedup`` are ratios of medians, the ``_range`` the smallest and
    largest ratio within a round.
    """
    rows = [row for row in results.timing if row["system"] == name]
    if not rows:
        return None
    stages = {stage: [row["stage_seconds"].get(stage, 0.0) for row in rows] for stage in _stage_names(rows)}
    memory = [row["peak_memory_bytes"] for row in rows if row["peak_memory_bytes"] is not None]
    first_frames = [row["first_frame_seconds"] for row in rows if row["first_frame_seconds"] is not None]
    summary: dict[str, Any] = {
        "runs": len(rows),
        "seconds": _percentiles([row["seconds"] for row in rows]),
        "stages": {stage: _percentiles(values) for stage, values in stages.items()},
        "frames_per_second": float(np.median([row["frames"] / row["seconds"] for row in rows])),
        "real_time_factor": float(np.median([row["seconds"] / row["media_seconds"] for row in rows])),
        "first_frame_seconds": float(np.median(first_frames)) if first_frames else None,
        "peak_memory_bytes": max(memory) if memory else None,
        "memory_kind": rows[0]["memory_kind"],
    }
    other = {row["round"]: row for row in results.timing if row["system"] == results.reference}
    for key, read in (("denoise", lambda row: row["stage_seconds"]["denoise"]), ("whole", lambda row: row["seconds"])):
        pairs = [(read(other[row["round"]]), read(row)) for row in rows]
        summary[f"{key}_speedup"] = float(np.median([a for a, _ in pairs]) / np.median([b for _, b in pairs]))
        ratios = [slow / fast for slow, fast in pairs]
        summary[f"{key}_speedup_range"] = [min(ratios), max(ratios)]
    return summary


def _stage_names(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(stage for row in rows for stage in row["stage_seconds"]))


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {"p50": float(np.percentile(values, 50)), "p90": float(np.percentile(values, 90))}
