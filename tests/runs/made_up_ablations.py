"""Values as a run of ablations keeps them, made up: clips in two halves, rows with seeds, lines beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fada.studies.ablations.plan import Plan
from fada.studies.ablations.rows import Half

CLIPS: dict[str, Half] = {"a-0": "narrow", "a-1": "narrow", "b-0": "beyond", "b-1": "beyond"}


def line(identity: dict[str, float] | float, mouth: float | None = 0.5, nfe: int = 18, **also: Any) -> dict[str, Any]:
    """A line: its clips' identity errors (or one for all), and one correlation of mouth and sound."""
    errors = identity if isinstance(identity, dict) else dict.fromkeys(CLIPS, identity)
    clips = {
        clip: {"latent_mse_reference": 1.0, "latent_mse_truth": 1.0, "mouth_correlation_synth": mouth,
               "identity_error_synth": error}
        for clip, error in errors.items()
    }  # fmt: skip
    values = {"nfe": nfe, "clips": clips, "fd_latent_synth": 1.0, "without": [1.0] * len(clips)}
    return {**values, "training": {"loss_distill": 0.25, "weight_mean": 0.3}, "start": ["perflow-4-sync", 0], **also}


def row(*identity: float, starts: tuple[tuple[str, int], ...] = (), **also: Any) -> dict[str, Any]:
    """Seeds of a row, each with one identity error for all clips; `starts` of the seeds in turn."""
    seeds = {str(seed): line(error, **also) for seed, error in enumerate(identity)}
    for seed, found in seeds.items():
        found["start"] = list(starts[int(seed)]) if starts else ["perflow-4-sync", 0]
    return seeds


def results(**rows: dict[str, Any]) -> dict[str, Any]:
    """A whole set of values; `rows` by name, with `_` for `-`."""
    recipe = Plan(("perflow",), (0,), Path("runs")).first().model_dump(mode="json")
    return {
        "schema_version": 2,
        "seeds": [0, 1, 2],
        "looks": 1,
        "bases": 1,
        "overrides": [],
        "clips": CLIPS,
        "recipe": recipe,
        "baselines": {"teacher": {**line(2.0, 0.9, 75), "role": "teacher", "starts": []}},
        "rows": {name.replace("_", "-"): found for name, found in rows.items()},
        "teacher-b": None,
        "sweeps": [],
    }
