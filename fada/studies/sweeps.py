"""The teacher at other guidance scales, and where it is best, on held-out clips that are not in the report; beside it
the students that are told the scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from fada.assembly.settings import default_steps
from fada.eval.bench.measure import Instruments, measure_clip
from fada.eval.bench.systems import BenchClip
from fada.eval.report import Sweep
from fada.eval.statistics.set_metrics import real_set_metrics
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.recipe.schema import Recipe
from fada.studies.bench_setting import Setting, setting_of
from fada.studies.spare_clips import SpareClips, only
from fada.studies.systems import generator

IDENTITY_SLACK = 1.05
"""The last branch's best scale has the best mouth of those whose identity error is within this factor of the lowest."""
Measured = dict[str, list[float]]
"""By metric: a value per clip, or the only one of a distance between all of them."""


def sweep_scales(
    recipe: Recipe,
    teacher: AvatarPipeline,
    spare: list[BenchClip],
    tools: Instruments,
    store: Path,
    console: Console,
    students: Mapping[str, AvatarPipeline] | None = None,
) -> tuple[list[Sweep], tuple[float, ...]]:
    """Sweeps of the teacher, and the scales of the report in the order of the branches: the recipe's, or the best.

    The last branch is swept first, the others at the scales that were found before; those that come later stand in the
    middle of their sweeps meanwhile.

    Args:
        recipe: whose `bench` section tells what is tried.
        teacher: the guided one.
        spare: held-out clips that are not in the report.
        tools: those of the report; a sweep uses what it shows of them.
        store: file of what is measured already.
        console: for progress.
        students: by name. Those that are told the scales are called at the same ones, and have a line beside the
            teacher's in every sweep; what is best is the teacher's best.

    Raises:
        ValueError: there is a sweep, but no spare clip.
    """
    section = recipe.bench
    scales = {name: _middle(section.sweep[name]) if scale is None else scale for name, scale in section.scales.items()}
    swept = [name for name in reversed(scales) if section.sweep[name]]
    if not swept:
        return [], tuple(scales.values())
    if not spare:
        raise ValueError(
            "bench: a sweep needs held-out clips beside those of the report; "
            "raise data.world.test_clips above bench.clips"
        )
    spare = spare[: section.sweep_clips]
    shown = only(tools, Sweep.metrics)
    # What was kept of other measures than those shown is measured again.
    also = Sweep.metrics
    sweep = ScaleSweep(teacher, spare, shown, section.seed, store, console, also)
    told = {
        name: ScaleSweep(each, spare, shown, section.seed, store.with_name(f"{store.stem}-{name}.json"), console, also)
        for name, each in (students or {}).items()
        if each.model.is_guided
    }
    whose = "teacher" + (f" and students of {default_steps(recipe)} steps" if told else "")
    sweeps = []
    for name in swept:
        tried = [tuple((scales | {name: scale}).values()) for scale in section.sweep[name]]
        found = sweep.scales([setting_of(recipe, section.teacher_steps, each) for each in tried])
        measured = {setting.named[name]: values for setting, values in found.items()}
        fixed = {other: scale for other, scale in scales.items() if other != name}
        held = f"{_in_words(fixed)}, " if fixed else ""
        lines = {"teacher": _line(measured)}
        for student, line in told.items():
            own = line.scales([setting_of(recipe, default_steps(recipe), each) for each in tried])
            lines[student] = _line({setting.named[name]: values for setting, values in own.items()})
        caption = f"{held}{whose}, held-out clips outside the report"
        sweeps.append(Sweep(f"{name}-scale", f"{name} scale", lines, caption))
        if section.scales[name] is None:
            scales[name] = best_scale(measured, is_last=name == list(scales)[-1])
    return sweeps, tuple(scales.values())


def _middle(tried: Sequence[float]) -> float:
    return tried[len(tried) // 2]


def _in_words(scales: Mapping[str, float]) -> str:
    return ", ".join(f"{name} scale {scale:g}" for name, scale in scales.items())


class ScaleSweep(SpareClips):
    """A model at other scales, measured in what a sweep shows."""

    def scales(self, settings: list[Setting]) -> dict[Setting, Measured]:
        """Per setting the values of each metric over the clips."""
        return self.run(settings, self._measure, lambda each: f"sweep: {_in_words(each.named)}")

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


def best_scale(measured: dict[float, Measured], *, is_last: bool) -> float:
    """The best scale of a branch: the last one, to which all conditions are shown, is judged by the mouth too."""
    return best_audio_scale(measured) if is_last else best_reference_scale(measured)


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


def _line(measured: dict[float, Measured]) -> dict[str, dict[float, list[float]]]:
    """By metric and scale the values of the clips."""
    line: dict[str, dict[float, list[float]]] = {}
    for scale, found in measured.items():
        for name, values in found.items():
            line.setdefault(name, {})[scale] = values
    return line
