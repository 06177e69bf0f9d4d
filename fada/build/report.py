"""Recipe to report: the systems that are compared, at scales where the teacher is best, on held-out clips."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from torch.utils.tensorboard import SummaryWriter

from fada.build.data import RunData, fingerprint, prepare_data
from fada.build.models import find_model, find_teacher
from fada.build.run_folder import open_run
from fada.build.settings import default_steps
from fada.data.clip import Clip
from fada.data.world import measure_aperture
from fada.diffusion.ladder import needed_rungs
from fada.eval.bench import measure_clips, run_bench
from fada.eval.measure import Instruments, measure_clip
from fada.eval.metrics.catalogue import METRICS_VERSION
from fada.eval.nfe import NfeCounter
from fada.eval.opening import open_instruments
from fada.eval.report import Sweep, write_report
from fada.eval.results import BenchResults, write_json
from fada.eval.results import fingerprint as hash_of
from fada.eval.summary import mean_of, metric_names
from fada.eval.systems import BenchClip, GenerationResult, System
from fada.eval.weights import weight_folders
from fada.recipe.schema import Recipe
from fada.student.generation import AvatarPipeline, Guidance
from fada.student.pipeline import open_pipeline
from fada.teacher.vae import encode_frames

SWEEP_METRICS = ("mouth_correlation_synth", "identity_error_synth", "latent_mse_truth")
IDENTITY_SLACK = 1.05
"""The best audio scale has the best mouth of those whose identity error is within this factor of the lowest."""


@dataclass(frozen=True)
class Setting:
    """How a pipeline is called."""

    steps: int
    reference_scale: float
    audio_scale: float
    guidance: Guidance = "auto"


@dataclass(frozen=True)
class _Asked:
    """What a recipe's benchmark measures, and where."""

    out: Path
    systems: list[System]
    clips: list[BenchClip]
    sweeps: list[Sweep]
    scales: tuple[float, float]


def bench(recipe: Recipe, console: Console) -> Path:
    """Measure a finished run; the report's folder.

    Raises:
        ValueError: a model or held-out clips are missing.
    """
    asked = _asked(recipe, console)
    with console.status("measuring") as status:
        results = run_bench(
            asked.systems,
            asked.clips,
            asked.out,
            seed=recipe.bench.seed,
            warmups=recipe.bench.warmups,
            repeats=recipe.bench.repeats,
            instruments=instruments(asked.clips, recipe.bench.weights),
            extra={"recipe": recipe.name, "reference_scale": asked.scales[0], "audio_scale": asked.scales[1]},
            on_progress=lambda what, done, total: status.update(f"{what} ({done + 1} of {total})"),
        )
    written = write_report(results, title=f"{recipe.name}: NFE, quality and latency", sweeps=asked.sweeps)
    _write_scalars(results, asked.out)
    console.print(f"report: {written['page']}")
    return asked.out


def bench_scales(recipe: Recipe, console: Console) -> None:
    """Prepare what `bench_share` in several processes needs: data, and the scales where a sweep chooses them."""
    _asked(recipe, console)


def bench_share(recipe: Recipe, console: Console, rank: int, processes: int) -> None:
    """Measure one process's share of the clips; `bench` finds them measured, times and writes the report."""
    asked = _asked(recipe, console)
    measure_clips(
        asked.systems,
        asked.clips,
        asked.out,
        seed=recipe.bench.seed,
        instruments=instruments(asked.clips, recipe.bench.weights),
        rank=rank,
        processes=processes,
        on_progress=lambda what, done, total: console.print(f"process {rank}: {what} ({done + 1} of {total})"),
    )


def _asked(recipe: Recipe, console: Console) -> _Asked:
    folder = open_run(recipe)
    out = folder / "report"
    data = prepare_data(recipe, folder, console)
    teacher = open_pipeline(find_teacher(recipe.teacher.path or folder))
    students = {phase.name: open_pipeline(find_model(folder, phase.name)) for phase in recipe.distill.phases}
    measured, spare = _split(data.test, recipe.bench.clips)
    clips = [bench_clip(clip, data, recipe.bench.seconds) for clip in measured]
    out.mkdir(exist_ok=True)
    spare_clips = [bench_clip(clip, data, recipe.bench.seconds) for clip in spare]
    sweeps, scales = _scales(recipe, teacher, spare_clips, out / "sweep.json", console)
    write_json(out / "scales.json", {"reference_scale": scales[0], "audio_scale": scales[1]})
    return _Asked(out, systems(recipe, teacher, students, scales), clips, sweeps, scales)


def _write_scalars(results: BenchResults, out: Path) -> None:
    """Every system's means as TensorBoard scalars, beside the training's curves."""
    for stale in out.glob("events.out.tfevents.*"):
        stale.unlink()
    with SummaryWriter(str(out)) as writer:
        for metric in metric_names(results):
            for system in results.systems:
                mean = mean_of(results, system["name"], metric)
                if mean is not None:
                    writer.add_scalar(f"bench-{metric}/{system['name']}", mean.mean, 0)


def systems(
    recipe: Recipe, teacher: AvatarPipeline, students: dict[str, AvatarPipeline], scales: tuple[float, float]
) -> list[System]:
    """Teacher, its undistilled shortcuts at the fast student's cost, and the students."""
    steps, few = recipe.bench.teacher_steps, default_steps(recipe)
    rungs = len(needed_rungs(scales))
    listed = [
        _system(f"teacher-{steps * rungs}", f"guided teacher, {steps} steps x {rungs} rungs", teacher,
                Setting(steps, *scales), steps * rungs, is_reference=True),
        _system(f"teacher-{few}-conditional", f"teacher without guidance, {few} steps", teacher,
                Setting(few, *scales, guidance="none"), few, is_alternative=True),
        _system(f"teacher-{few // rungs}x{rungs}", f"guided teacher, {few // rungs} steps x {rungs} rungs", teacher,
                Setting(few // rungs, *scales), few // rungs * rungs, is_alternative=True),
    ]  # fmt: skip
    for name, built in students.items():
        if built.config.guidance == "none":
            nfe, kind = few, "no guidance, 1 pass"
        elif built.denoising_unet.is_guided:
            nfe, kind = few, "scales inside the network, 1 pass"
        else:
            nfe, kind = few * rungs, f"scales outside, {rungs} rungs"
        setting = Setting(few, *scales)
        listed.append(_system(f"{name}-{nfe}", f"student, {few} steps, {kind}", built, setting, nfe, is_candidate=True))
    return listed


def _system(name: str, description: str, built: AvatarPipeline, setting: Setting, nfe: int, **roles: bool) -> System:
    # Scales that let rungs fall away (ones, equal ones) make a system cheaper than its name says: no check then.
    expected = nfe if setting.guidance == "none" or setting.reference_scale != setting.audio_scale else None
    return System(
        name,
        description,
        expected,
        generator(built, setting),
        fingerprint=f"{fingerprint(built.model)}-{built.scheduler.windows}-{setting}",
        notes={
            "steps": setting.steps,
            "reference_scale": setting.reference_scale,
            "audio_scale": setting.audio_scale,
            "dtype": str(built.dtype).removeprefix("torch."),
            "compiled": False,
        },
        **roles,
    )


def generator(built: AvatarPipeline, setting: Setting) -> Callable[[BenchClip, int], GenerationResult]:
    """A pipeline at one setting, as the benchmark calls it; evaluations are counted by a hook."""

    def generate(clip: BenchClip, seed: int) -> GenerationResult:
        with NfeCounter(built.denoising_unet) as counter:
            made = built(
                clip.reference,
                clip.audio,
                face=clip.face,
                seed=seed,
                steps=setting.steps,
                reference_scale=setting.reference_scale,
                audio_scale=setting.audio_scale,
                guidance=setting.guidance,
            )
        return GenerationResult(
            frames=made.frames,
            latents=made.latents,
            stage_seconds=made.stage_seconds,
            nfe=counter.per_clip // made.clips,
            clips=made.clips,
            first_frame_seconds=made.seconds_to_first_frame,
        )

    return generate


def bench_clip(clip: Clip, data: RunData, seconds: float) -> BenchClip:
    """A held-out clip, cut to length; its own first frame is the portrait."""
    frames = min(len(clip.frames), math.floor(seconds * clip.fps))
    meta = dict(clip.meta)
    if "truth" in meta:
        meta["truth"] = {name: _cut(value, len(clip.frames), frames) for name, value in meta["truth"].items()}
    return BenchClip(
        key=clip.key,
        identity=str(meta.get("identity", clip.key)),
        reference=clip.frames[0],
        audio=clip.audio[: round(frames / clip.fps * clip.sample_rate)],
        face=clip.face,
        truth_frames=clip.frames[:frames],
        truth_latents=encode_frames(data.vae, clip.frames[:frames]),
        meta=meta,
        fps=clip.fps,
        sample_rate=clip.sample_rate,
    )


def _cut(value: Any, length: int, frames: int) -> Any:
    """The first frames of a per-frame list of the truth; anything else as it is."""
    return value[:frames] if isinstance(value, list) and len(value) == length else value


def instruments(clips: Sequence[BenchClip], weights: Sequence[Path] = ()) -> Instruments:
    """The drawn world measures its own mouths; real footage is measured with the weights in these folders.

    Args:
        clips: what is measured.
        weights: folders, beside those of FADA_WEIGHTS.
    """
    if all(clip.drawn_truth is not None for clip in clips):
        return Instruments(measure_aperture=measure_aperture)
    real = open_instruments(weight_folders(weights))
    return Instruments(landmark_aperture=real.lip_opening, real=real)


def _split(test: list[Clip], count: int) -> tuple[list[Clip], list[Clip]]:
    """Clips of the report, and spare held-out ones on which scales may be chosen."""
    if not test:
        raise ValueError("bench: there are no held-out clips; give data.test_shards, or data.world.test_clips")
    return test[:count], test[count:]


def _scales(
    recipe: Recipe, teacher: AvatarPipeline, spare: list[BenchClip], store: Path, console: Console
) -> tuple[list[Sweep], tuple[float, float]]:
    """Sweeps of the teacher, and the (reference, audio) scales of the report: the recipe's, or the sweep's best."""
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
    sweep = _Sweep(teacher, spare, section.seed, store, console)
    by_audio = sweep.run([Setting(section.teacher_steps, reference, scale) for scale in section.sweep_audio])
    audio = section.audio_scale or best_audio_scale({s.audio_scale: v for s, v in by_audio.items()})
    by_reference = sweep.run([Setting(section.teacher_steps, scale, audio) for scale in section.sweep_reference])
    reference = section.reference_scale or best_reference_scale({s.reference_scale: v for s, v in by_reference.items()})
    sweeps = [
        Sweep("audio-scale", "audio scale", _lines({s.audio_scale: v for s, v in by_audio.items()}),
              "reference scale fixed, teacher, held-out clips outside the report"),
        Sweep("reference-scale", "reference scale", _lines({s.reference_scale: v for s, v in by_reference.items()}),
              f"audio scale {audio:g}, teacher, held-out clips outside the report"),
    ]  # fmt: skip
    return sweeps, (reference, audio)


Measured = dict[str, list[float]]


class _Sweep:
    """The teacher at other scales, measured; every finished setting is kept in `store` and not made again."""

    def __init__(
        self, teacher: AvatarPipeline, clips: list[BenchClip], seed: int, store: Path, console: Console
    ) -> None:
        self.teacher, self.clips, self.seed, self.store, self.console = teacher, clips, seed, store, console
        # What a sweep chooses by needs no weights.
        self.instruments = Instruments(measure_aperture if all(clip.drawn_truth for clip in clips) else None)
        self.mark = hash_of([METRICS_VERSION, fingerprint(teacher.model), seed, [c.content_hash() for c in clips]])
        kept = json.loads(store.read_text()) if store.is_file() else {}
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
        for clip in self.clips:
            made = generator(self.teacher, setting)(clip, clip.seed(self.seed))
            found = measure_clip(clip, made.frames, made.latents, self.instruments).values
            for name in SWEEP_METRICS:
                value = found.get(name)
                if value is not None:
                    values.setdefault(name, []).append(value)
        return values


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
