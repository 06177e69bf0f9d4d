"""The best undistilled baselines: solver and time nodes searched on spare held-out clips, at the students' costs.

Two criteria, stated before: the error of quality (geometric mean of what the mouth, the identity and the pictures
lack, see `fada.eval.bench.qualities`), and the distance to the guided teacher of many steps from the same noise. What
wins in either is measured in the report, and a student must beat the stronger of them in every measure.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from fada.eval.bench.measure import Instruments, measure_clip
from fada.eval.bench.qualities import QUALITY_KINDS, quality_measures
from fada.eval.bench.systems import BenchClip
from fada.eval.bench.undistilled import Search, Tried, distinct_samplers
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.statistics.set_metrics import Features, latent_set_metrics, real_set_metrics
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.studies.bench_setting import Setting
from fada.studies.spare_clips import SpareClips, only
from fada.studies.systems import Cost, generator

NAMES = tuple(name for names in QUALITY_KINDS.values() for name in names)


def search_nodes(
    teacher: AvatarPipeline,
    reference: Setting,
    costs: Sequence[Cost],
    spare: Sequence[BenchClip],
    tools: Instruments,
    seed: int,
    store: Path,
    console: Console,
) -> dict[str, Search]:
    """By name of the cost, what was tried on the spare clips; nothing where there are none.

    Args:
        teacher: that is to be sampled.
        reference: how the guided teacher is called whose output is aimed at.
        costs: at which samplers are searched.
        spare: held-out clips that are not in the report.
        tools: what measures.
        seed: of the report.
        store: file of what is measured already.
        console: for progress.
    """
    if not spare:
        return {}
    started = time.perf_counter()
    clips = _SearchedClips(teacher, spare, only(tools, NAMES), seed, store, console, [str(reference)])
    known = set(clips.kept)
    settings = {
        cost.name: [
            replace(cost.setting, solver=solver, spacing=spacing)
            for solver, spacing in distinct_samplers(teacher.model.path, cost.setting.steps)
        ]
        for cost in costs
    }
    clips.reference = reference
    found = clips.run(
        [reference, *(each for tried in settings.values() for each in tried)],
        clips.measured,
        lambda each: f"searching nodes: {each.steps} steps, {each.guidance}, {each.solver} at equal {each.spacing}",
    )
    if set(clips.kept) != known:
        spent = time.perf_counter() - started
        tried = sum(map(len, settings.values()))
        console.print(f"nodes: {tried} samplers on {len(spare)} spare clips in {spent:.0f} s")
    measures = quality_measures([name for name, values in found[reference]["values"].items() if values])
    return {
        cost.name: Search(
            cost.words,
            [_tried(each, found[each], measures) for each in settings[cost.name]],
            [clip.key for clip in spare],
        )
        for cost in costs
    }


def _tried(setting: Setting, found: Mapping[str, Any], measures: Sequence[str]) -> Tried:
    values = {name: found["values"].get(name, []) for name in measures}
    return Tried(setting.solver, setting.spacing, values, found["distance"])


class _SearchedClips(SpareClips):
    """The teacher with other samplers, measured in quality and in the distance to the reference."""

    reference: Setting
    _aimed_at: dict[str, torch.Tensor] | None = None

    def measured(self, setting: Setting) -> dict[str, Any]:
        """``values`` by measure, per clip or one of all clips; ``distance`` of latents to the reference's, mean."""
        values: dict[str, list[float]] = {}
        features: list[Features] = []
        latents, distances = {}, []
        aimed_at = {} if setting == self.reference else self._latents_of_reference()
        for clip in self.clips:
            made = generator(self.teacher, setting)(clip, clip.seed(self.seed))
            found = measure_clip(clip, made.frames, made.latents, self.tools, aimed_at.get(clip.key))
            features.append((found.features, found.feature_reasons))
            assert made.latents is not None
            latents[clip.key] = made.latents
            for name in NAMES:
                value = found.values.get(name) if name in CATALOGUE else None
                if value is not None:
                    values.setdefault(name, []).append(value)
            distance = found.values["latent_mse_reference"]
            distances.append(0.0 if distance is None else distance)
        if setting == self.reference:
            self._aimed_at = latents
        rows = latent_set_metrics("", list(latents.values()), self.clips)
        if self.tools.real is not None:
            rows += real_set_metrics("", features, self.true_features, self.tools.real)
        values |= {row["metric"]: [row["value"]] for row in rows if row["metric"] in NAMES and row["value"] is not None}
        return {"values": values, "distance": float(np.mean(distances))}

    def _latents_of_reference(self) -> dict[str, torch.Tensor]:
        """Made again where an earlier call that was broken off had made them."""
        if self._aimed_at is None:
            generate = generator(self.teacher, self.reference)
            made = {clip.key: generate(clip, clip.seed(self.seed)).latents for clip in self.clips}
            self._aimed_at = {key: latents for key, latents in made.items() if latents is not None}
        return self._aimed_at
