"""The teacher at other guidance scales, and where it is best, on held-out clips that are not in the report."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from rich.console import Console

from fada.build.data import features_of, fingerprint
from fada.build.systems import Setting, generator
from fada.eval.measure import Instruments, look_at, measure_clip
from fada.eval.metrics.catalogue import METRICS_VERSION
from fada.eval.report import Sweep
from fada.eval.results import fingerprint as hash_of
from fada.eval.results import kept_json
from fada.eval.set_metrics import Features, real_set_metrics
from fada.eval.systems import BenchClip
from fada.files.whole import write_json
from fada.recipe.schema import Recipe
from fada.student.generation import AvatarPipeline

IDENTITY_SLACK = 1.05
"""The best audio scale has the best mouth of those whose identity error is within this factor of the lowest."""
Measured = dict[str, list[float]]
"""By metric: a value per clip, or the only one of a distance between all of them."""


def sweep_scales(
    recipe: Recipe,
    teacher: AvatarPipeline,
    spare: list[BenchClip],
    tools: Instruments,
    store: Path,
    console: Console,
) -> tuple[list[Sweep], tuple[float, float]]:
    """Sweeps of the teacher, and the (reference, audio) scales of the report: the recipe's, or the sweep's best.

    Args:
        recipe: whose `bench` section tells what is tried.
        teacher: the guided one.
        spare: held-out clips that are not in the report.
        tools: those of the report; a sweep uses what it shows of them.
        store: file of what is measured already.
        console: for progress.

    Raises:
        ValueError: there is a sweep, but no spare clip.
    """
    section = recipe.bench
    if not section.sweep_audio or not section.sweep_reference:
        assert section.reference_scale is not None
        assert section.audio_scale is not None
        return [], (section.reference_scale, section.audio_scale)
    if not spare:
        raise ValueError(
            "bench: a sweep needs held-out clips beside those of the report; "
            "raise data.world.test_clips above bench.clips"
        )
    spare = spare[: section.sweep_clips]
    reference = section.reference_scale or section.sweep_reference[len(section.sweep_reference) // 2]
    sweep = _Sweep(teacher, spare, _of_sweeps(tools), section.seed, store, console)
    found = sweep.run([Setting(section.teacher_steps, reference, scale) for scale in section.sweep_audio])
    by_audio = {setting.audio_scale: values for setting, values in found.items()}
    audio = section.audio_scale or best_audio_scale(by_audio)
    found = sweep.run([Setting(section.teacher_steps, scale, audio) for scale in section.sweep_reference])
    by_reference = {setting.reference_scale: values for setting, values in found.items()}
    told = "teacher, held-out clips outside the report"
    sweeps = [
        Sweep("audio-scale", "audio scale", _lines(by_audio), f"reference scale {reference:g}, {told}"),
        Sweep("reference-scale", "reference scale", _lines(by_reference), f"audio scale {audio:g}, {told}"),
    ]
    return sweeps, (section.reference_scale or best_reference_scale(by_reference), audio)


class _Sweep:
    """The teacher at other scales, measured; every finished setting is kept in `store` and not made again."""

    def __init__(
        self,
        teacher: AvatarPipeline,
        clips: list[BenchClip],
        tools: Instruments,
        seed: int,
        store: Path,
        console: Console,
    ) -> None:
        self.teacher, self.clips, self.tools, self.seed = teacher, clips, tools, seed
        self.store, self.console = store, console
        protocols = {} if tools.real is None else tools.real.protocols()
        clip_marks = [clip.measured_hash() for clip in clips]
        self.mark = hash_of(
            [
                METRICS_VERSION,
                fingerprint(teacher.model),
                features_of(teacher.vae, teacher.audio_encoder),
                seed,
                clip_marks,
                protocols,
            ]
        )
        kept = kept_json(store)
        self.kept: dict[str, Measured] = kept["measured"] if kept.get("fingerprint") == self.mark else {}

    def run(self, settings: list[Setting]) -> dict[Setting, Measured]:
        """Per setting the values of each metric over the clips."""
        with self.console.status("sweep") as status:
            for setting in settings:
                status.update(
                    f"sweep: reference scale {setting.reference_scale:g}, audio scale {setting.audio_scale:g}"
                )
                if str(setting) not in self.kept:
                    self.kept[str(setting)] = self._measure(setting)
                    write_json(self.store, {"fingerprint": self.mark, "measured": self.kept})
        return {setting: self.kept[str(setting)] for setting in settings}

    def _measure(self, setting: Setting) -> Measured:
        values: Measured = {}
        features = []
        for clip in self.clips:
            made = generator(self.teacher, setting)(clip, clip.seed(self.seed))
            found = measure_clip(clip, made.frames, made.latents, self.tools)
            features.append((found.features, found.feature_reasons))
            for name in Sweep.metrics:
                value = found.values.get(name)
                if value is not None:
                    values.setdefault(name, []).append(value)
        if self.tools.real is not None:
            rows = real_set_metrics("", features, self.true_features, self.tools.real)
            values |= {row["metric"]: [row["value"]] for row in rows if row["value"] is not None}
        return values

    @cached_property
    def true_features(self) -> list[Features]:
        """Of the true videos, once for all settings."""
        seen = [look_at(clip, clip.truth_frames, self.tools) for clip in self.clips if clip.truth_frames is not None]
        return [(each.features, each.feature_reasons) for each in seen]


def _of_sweeps(tools: Instruments) -> Instruments:
    """Of the instruments of real footage only those whose metrics a sweep shows."""
    if tools.real is None:
        return tools
    shown = set(Sweep.metrics)
    videos = tuple(each for each in tools.real.videos if shown & set(each.names) and each.measure is not None)
    features = tuple(each for each in tools.real.features if shown & set(each.metrics) and each.features is not None)
    return replace(tools, real=replace(tools.real, videos=videos, features=features))


def best_audio_scale(measured: dict[float, Measured]) -> float:
    """The scale with the best mouth among those whose identity error is near the lowest.

    Without mouths that can be measured: the scale whose latents are nearest to the truth.
    """
    if not _measures_mouths(measured):
        return _nearest_to_truth(measured)
    identity, mouth = _means(measured, "identity_error_synth"), _means(measured, "mouth_correlation_synth")
    kept = [scale for scale in measured if identity[scale] <= IDENTITY_SLACK * min(identity.values())]
    return max(kept, key=lambda scale: mouth[scale])


def best_reference_scale(measured: dict[float, Measured]) -> float:
    """The scale with the lowest identity error, or, where that cannot be measured, the nearest to the truth."""
    if not _measures_mouths(measured):
        return _nearest_to_truth(measured)
    identity = _means(measured, "identity_error_synth")
    return min(identity, key=lambda scale: identity[scale])


def _measures_mouths(measured: dict[float, Measured]) -> bool:
    return all("mouth_correlation_synth" in found for found in measured.values())


def _nearest_to_truth(measured: dict[float, Measured]) -> float:
    distance = _means(measured, "latent_mse_truth")
    return min(distance, key=lambda scale: distance[scale])


def _means(measured: dict[float, Measured], metric: str) -> dict[float, float]:
    return {scale: float(np.mean(found[metric])) for scale, found in measured.items()}


def _lines(measured: dict[float, Measured]) -> dict[str, dict[str, dict[float, list[float]]]]:
    lines: dict[str, dict[float, list[float]]] = {}
    for scale, found in measured.items():
        for name, values in found.items():
            lines.setdefault(name, {})[scale] = values
    return {"teacher": lines}
