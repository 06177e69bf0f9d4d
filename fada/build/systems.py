"""The systems and held-out clips of a report: pipelines at one setting each, called as the benchmark calls them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fada.build.data import RunData, features_of, fingerprint
from fada.build.settings import default_steps
from fada.data.clip import Clip
from fada.data.world import measure_aperture, measure_head
from fada.diffusion.ladder import needed_rungs
from fada.eval.measure import Instruments
from fada.eval.nfe import NfeCounter
from fada.eval.opening import open_instruments
from fada.eval.systems import BenchClip, GenerationResult, System
from fada.eval.weights import weight_folders
from fada.media.frame_count import frames_in, sample_count
from fada.recipe.schema import Recipe
from fada.student.generation import AvatarPipeline, Guidance
from fada.teacher.vae import encode_frames


@dataclass(frozen=True)
class Setting:
    """How a pipeline is called."""

    steps: int
    reference_scale: float
    audio_scale: float
    guidance: Guidance = "auto"


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
    around = "-".join(features_of(built.vae, built.audio_encoder).values())
    return System(
        name,
        description,
        expected,
        generator(built, setting),
        fingerprint=f"{fingerprint(built.model)}-{around}-{built.scheduler.windows}-{setting}",
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
    frames = min(len(clip.frames), math.floor(frames_in(seconds, clip.fps)))
    meta = dict(clip.meta)
    if "truth" in meta:
        meta["truth"] = {name: _cut(value, len(clip.frames), frames) for name, value in meta["truth"].items()}
    return BenchClip(
        key=clip.key,
        identity=str(meta.get("identity", clip.key)),
        reference=clip.frames[0],
        audio=clip.audio[: sample_count(frames, clip.sample_rate, clip.fps)],
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
        return Instruments(measure_aperture=measure_aperture, measure_likeness=_likeness)
    real = open_instruments(weight_folders(weights))
    return Instruments(landmark_aperture=real.lip_opening, real=real)


def _likeness(frames: np.ndarray, truth: dict[str, Any]) -> np.ndarray:
    return measure_head(frames, truth).error


@contextmanager
def opened(clips: Sequence[BenchClip], weights: Sequence[Path]) -> Iterator[Instruments]:
    """`instruments`, and what they hold is freed afterwards."""
    tools = instruments(clips, weights)
    try:
        yield tools
    finally:
        if tools.real is not None:
            tools.real.close()
