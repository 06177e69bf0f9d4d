"""The systems and held-out clips of a report: pipelines at one setting each, called as the benchmark calls them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fada.assembly.models import untrained
from fada.assembly.settings import default_steps
from fada.data.clips.clip import Clip
from fada.data.world import measure_aperture, measure_expression, measure_head
from fada.diffusion.guidance import needed_branches
from fada.eval.bench.measure import Instruments
from fada.eval.bench.nfe import NfeCounter
from fada.eval.bench.systems import BenchClip, GenerationResult, System
from fada.eval.bench.undistilled import Search
from fada.eval.instruments.opening import open_instruments
from fada.eval.instruments.weights import weight_folders
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.media.frame_count import frames_in, sample_count
from fada.recipe.schema import Recipe
from fada.run.data import features_of, fingerprint
from fada.studies.bench_setting import Setting, setting_of
from fada.teacher.codec import encode_frames


@dataclass(frozen=True)
class Cost:
    """An undistilled way to spend as many evaluations as a student, with the plain sampler.

    name: of its system; words: what it is called; evaluations: of the network per clip.
    """

    name: str
    words: str
    setting: Setting
    evaluations: int
    is_timed: bool


def undistilled_costs(recipe: Recipe, students: Mapping[str, AvatarPipeline], scales: tuple[float, ...]) -> list[Cost]:
    """What the teacher can do at the students' costs: without guidance and with it, in as many steps as that allows."""
    few, branches = default_steps(recipe), len(needed_branches(scales))
    plain = setting_of(recipe, few, scales, guidance="none")
    costs = [Cost(f"teacher-{few}-conditional", f"unguided, {few} steps", plain, few, is_timed=True)]
    counts = {few // branches: True}
    if any(_passes(student, branches) == branches for student in students.values()):
        counts.setdefault(few, False)
    costs += [
        Cost(
            f"teacher-{steps}x{branches}",
            f"guided, {steps} x {branches}",
            setting_of(recipe, steps, scales),
            steps * branches,
            is_timed,
        )
        for steps, is_timed in counts.items()
        if steps
    ]
    return costs


def systems(
    recipe: Recipe,
    teacher: AvatarPipeline,
    students: dict[str, AvatarPipeline],
    scales: tuple[float, ...],
    searches: Mapping[str, Search] | None = None,
) -> list[System]:
    """Teacher, what can be had without training at the students' costs, and the students.

    Args:
        recipe: of the run.
        teacher: the guided one.
        students: by name.
        scales: in the order of the family's branches.
        searches: by name of a cost, which samplers were found for it.
    """
    few, branches, searches = default_steps(recipe), len(needed_branches(scales)), searches or {}
    costs = undistilled_costs(recipe, students, scales)
    listed = _teachers(recipe, teacher, scales, searches)
    for cost in costs:
        listed += _undistilled(teacher, cost, searches.get(cost.name))
    listed += _untrained(recipe, teacher, students, scales)
    for name, built in students.items():
        passes = _passes(built, branches)
        kind = f"scales outside, {branches} branches" if passes > 1 else "scales inside the network, 1 pass"
        kind = "no guidance, 1 pass" if built.config.guidance == "none" else kind
        description = f"student, {few} steps, {kind}"
        listed.append(
            _system(
                f"{name}-{few * passes}",
                description,
                built,
                setting_of(recipe, few, scales),
                few * passes,
                is_candidate=True,
            )
        )
    return listed


def _teachers(
    recipe: Recipe, teacher: AvatarPipeline, scales: tuple[float, ...], searches: Mapping[str, Search]
) -> list[System]:
    """The reference, and the same number of evaluations at the nodes that were best for few guided steps."""
    section, branches = recipe.bench, len(needed_branches(scales))
    steps, solver, spacing = section.teacher_steps, section.teacher_solver, section.teacher_spacing
    name, words = f"teacher-{steps * branches}", f"guided teacher, {steps} steps x {branches} branches"
    setting = setting_of(recipe, steps, scales, solver=solver, spacing=spacing)
    listed = [
        _system(name, f"{words}{_at(setting)}", teacher, setting, steps * branches, is_reference=True, is_timed=True)
    ]
    guided = [found for cost, found in searches.items() if not cost.endswith("conditional")]
    found = guided[-1].best.sampler if guided else (solver, spacing)
    if found != (solver, spacing):
        other = setting_of(recipe, steps, scales, solver=found[0], spacing=found[1])
        listed.append(_system(f"{name}-best", f"{words}, searched nodes{_at(other)}", teacher, other, steps * branches))
    return listed


def _undistilled(teacher: AvatarPipeline, cost: Cost, search: Search | None) -> list[System]:
    """The teacher at one cost: plain DDIM, and the samplers that won a search."""
    said = "teacher, {}, {}".format
    own = cost.setting
    listed = [
        _system(cost.name, said(cost.words, "plain nodes (DDIM, equal times)"), teacher, own, cost.evaluations,
                is_alternative=True, is_timed=cost.is_timed)
    ]  # fmt: skip
    for criterion, (solver, spacing) in ({} if search is None else search.kept).items():
        found = replace(own, solver=solver, spacing=spacing)
        why = "least error of quality" if criterion == "best" else "nearest to the teacher"
        words = said(cost.words, f"searched nodes{_at(found)}: {why} on spare clips")
        listed.append(_system(f"{cost.name}-{criterion}", words, teacher, found, cost.evaluations, is_alternative=True))
    return listed


def _untrained(
    recipe: Recipe, teacher: AvatarPipeline, students: Mapping[str, AvatarPipeline], scales: tuple[float, ...]
) -> list[System]:
    """Each way in which students are called, with the network as it was before their training."""
    few, branches, built = default_steps(recipe), len(needed_branches(scales)), untrained(recipe, teacher)
    listed = []
    for passes in sorted({_passes(student, branches) for student in students.values()}, reverse=True):
        setting = setting_of(recipe, few, scales, guidance="ladder" if passes > 1 else "none")
        kind = f"guided, {few} x {passes}" if passes > 1 else f"unguided, {few} steps"
        listed.append(
            _system(f"untrained-{few * passes}", f"student before its training, {kind}, in the students' windows",
                    built, setting, few * passes, is_alternative=True)
        )  # fmt: skip
    return listed


def _passes(student: AvatarPipeline, branches: int) -> int:
    """Evaluations of one step of a student."""
    return 1 if student.config.guidance == "none" or student.model.is_guided else branches


def _at(setting: Setting) -> str:
    """Solver and spacing in words, where they are not the plain ones."""
    return f" ({setting.solver} at equal {setting.spacing})" if setting.sampler else ""


def _system(name: str, description: str, built: AvatarPipeline, setting: Setting, nfe: int, **roles: bool) -> System:
    # Scales that let branches fall away (ones, equal ones) make a system cheaper than its name says: no check then.
    are_apart = all(one != next_one for one, next_one in pairwise(setting.scales))
    expected = nfe if setting.guidance == "none" or are_apart else None
    around = "-".join(features_of(built.vae, built.audio_encoder).values())
    mark = f"{fingerprint(built.model)}-{around}-{built.scheduler.windows}-{setting}"
    if built.config.is_student and not roles.get("is_candidate", False):
        mark += f"-untrained-{built.config.gamma}"
    roles = {"is_timed": roles.get("is_candidate", False)} | roles
    return System(
        name,
        description,
        expected,
        generator(built, setting),
        fingerprint=mark,
        notes={
            "steps": setting.steps,
            **setting.notes,
            "dtype": str(built.dtype).removeprefix("torch."),
            "compiled": False,
            **setting.sampler,
        },
        **roles,
    )


def generator(built: AvatarPipeline, setting: Setting) -> Callable[[BenchClip, int], GenerationResult]:
    """A pipeline at one setting, as the benchmark calls it; evaluations are counted by a hook."""

    def generate(clip: BenchClip, seed: int) -> GenerationResult:
        with NfeCounter(built.model.denoiser) as counter:
            made = built(
                clip.reference,
                clip.audio,
                face=clip.face,
                keypoints=clip.keypoints,
                emotion=clip.emotion,
                seed=seed,
                steps=setting.steps,
                scales=setting.named,
                guidance=setting.guidance,
                **setting.sampler,
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


def bench_clip(clip: Clip, codec: Any, seconds: float) -> BenchClip:
    """A held-out clip, cut to length, with its latents by a codec; its own first frame is the portrait."""
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
        keypoints=None if clip.keypoints is None else clip.keypoints.of_frames(slice(0, frames)),
        emotion=clip.emotion,
        truth_frames=clip.frames[:frames],
        truth_latents=encode_frames(codec, clip.frames[:frames]),
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
        is_felt = any(clip.emotion is not None for clip in clips)
        return Instruments(
            measure_aperture=measure_aperture,
            measure_likeness=_likeness,
            measure_expression=_expression if is_felt else None,
        )
    real = open_instruments(weight_folders(weights))
    return Instruments(landmark_aperture=real.lip_opening, real=real)


def _likeness(frames: np.ndarray, truth: dict[str, Any]) -> np.ndarray:
    return measure_head(frames, truth).error


def _expression(frames: np.ndarray, truth: dict[str, Any]) -> np.ndarray:
    return measure_expression(frames, truth).features


@contextmanager
def opened(clips: Sequence[BenchClip], weights: Sequence[Path]) -> Iterator[Instruments]:
    """`instruments`, and what they hold is freed afterwards."""
    tools = instruments(clips, weights)
    try:
        yield tools
    finally:
        if tools.real is not None:
            tools.real.close()
