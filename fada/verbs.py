"""The verbs of the command line as functions, and the one that distils models of your own.

Light: what a verb needs is loaded when it is called.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from fada.diffusion.solvers import Solver
    from fada.diffusion.spacing import Spacing
    from fada.generation.avatar_pipeline import AvatarPipeline, PipelineOutput
    from fada.recipe.schema import Recipe
    from fada.student.own.samples import Data
    from fada.student.own.student import Student

Place = str | os.PathLike[str]


def load(
    model: Place,
    *,
    student: str | None = None,
    teacher: Place | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> AvatarPipeline:
    """The avatar pipeline that a folder holds, a `DiffusionPipeline` of diffusers, on its device and ready for calls.

    Args:
        model: a run, a student or teacher in it, an exported folder, `shipped:drawn`, the teacher that comes along, or
            `owner/name` or `owner/name@revision` on the hub.
        student: of a run: which student, or `teacher`; default: the recipe's last phase.
        teacher: of a student exported as a difference: the teacher it belongs to, or its run.
        device: `cpu`, `cuda`, `cuda:N` or `mps`; default: cuda if there is one.
        dtype: `fp32`, `bf16` or `fp16`, of the networks; default: bf16 where cuda has it, else fp32.

    Raises:
        ValueError: there is no model, it is damaged, or names what is not permitted.
    """
    from fada.export.opening import open_model
    from fada.generation.devices import pick_device, pick_dtype

    pipeline = open_model(Path(model), student, None if teacher is None else Path(teacher), named="teacher")
    place = pick_device(device)
    return pipeline.to(place, pick_dtype(dtype, place)).optimize()


def generate(
    model: Place | AvatarPipeline,
    image: Place | np.ndarray,
    audio: Place | np.ndarray,
    out: Place | None = None,
    *,
    overwrite: bool = False,
    **options: Any,
) -> PipelineOutput:
    """Make a portrait speak; the frames, and a video where `out` names one.

    Args:
        model: a folder as of `load`, or a pipeline that is loaded.
        image: the portrait: a file, or uint8 (H, W, 3); its centred square is used.
        audio: the speech: a sound file, or float32 samples (N,) in [-1, 1] at 16 kHz.
        out: an mp4 to write, with the sound in mono at 16 kHz (`fada generate` keeps its rate and channels).
        overwrite: replace `out` where it exists.
        options: of the pipeline's call: `steps`, `scales={"audio": 6.5}`, `seed`, `face`,
            `emotion={"happy": 0.8}`, `max_frames`, `solver`, …

    Returns:
        `frames` uint8 (F, H, W, 3), `latents` (F, C, h, w), `nfe`, `stage_seconds`.

    Raises:
        ValueError: a file cannot be read, `out` exists or is an input, or the model cannot be called so.
    """
    from fada.files.output_file import check_output
    from fada.media.audio import read_audio
    from fada.media.image import read_image
    from fada.media.video import write_video

    paths = [Path(each) for each in (image, audio) if isinstance(each, str | os.PathLike)]
    if out is not None:
        check_output(Path(out), *paths, overwrite=overwrite)
    portrait: Any = read_image(image) if isinstance(image, str | os.PathLike) else image
    speech: Any = read_audio(audio) if isinstance(audio, str | os.PathLike) else audio
    pipeline: Any = load(model) if isinstance(model, str | os.PathLike) else model
    made: PipelineOutput = pipeline(portrait, speech, **options)
    if out is not None:
        write_video(out, made.frames, pipeline.config.fps, speech)
    return made


def train_teacher(recipe: Place | Recipe, overrides: Sequence[str] = ()) -> Path:
    """Train a recipe's teacher, stage by stage, or find it done; the teacher's folder.

    Args:
        recipe: a YAML file, the name of a shipped recipe (`tiny/teacher`), or a `Recipe`.
        overrides: `key.path=value`, as on the command line.

    Raises:
        RecipeError: something in the recipe is wrong; every fault is named.
        TrainingFailed: a loss is not finite, or memory ran out; the message says what to do.
        Interrupted: SIGINT or SIGTERM came; the same call goes on.
    """
    from fada import jobs
    from fada.files.folders import inside
    from fada.terminal import SafeConsole

    loaded = _loaded(recipe, overrides)
    _trained(loaded, lambda: jobs.train_teacher(loaded, SafeConsole()), ["teacher", "train"])
    return loaded.teacher.path or inside(loaded.output, "teacher")


def bench(recipe: Place | Recipe, overrides: Sequence[str] = ()) -> Path:
    """Measure a finished run, teacher and students and what can be had without training; the report's folder.

    Args:
        recipe, overrides: as of `train_teacher`.

    Raises:
        ValueError: a model of the run, or held-out clips, are missing.
    """
    from fada import jobs
    from fada.terminal import SafeConsole

    return jobs.bench(_loaded(recipe, overrides), SafeConsole())


def distill(
    model: Place | Recipe | nn.Module,
    data: Data | None = None,
    *,
    overrides: Sequence[str] = (),
    folder: Place | None = None,
    kind: Literal["balanced", "fast"] = "balanced",
    scales: Mapping[str, float | tuple[float, float]] | None = None,
    windows: int = 4,
    spacing: Spacing = "time",
    matched: bool = False,
    solver: Solver = "ddim",
    solver_steps: int = 8,
    data_weight: float = 0.2,
    tokens: int = 4,
    steps: int = 1000,
    batch: int = 16,
    lr: float = 1e-4,
    warmup: int = 100,
    schedule: Literal["constant", "cosine"] = "cosine",
    ema: float = 0.999,
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    seed: int = 0,
    checkpoint_every: int = 500,
    log_every: int = 10,
    progress: bool = True,
) -> list[Path] | Student:
    """Distil a recipe's teacher, or a model of your own.

    A recipe (a YAML file, a shipped one's name such as `tiny/demo`, or a `Recipe`) says everything itself: give it and
    `overrides` (`key.path=value`), and get the students' folders. What is there already is not made again.

    A model of your own comes with data, and the arguments below; back comes a `Student`: its trained copy, which can
    be sampled, saved, and handed to pipelines of diffusers (`student.denoiser`, `student.scheduler`). Each step draws
    samples, times and guidance scales; the frozen, guided model solves each sample's window of time; the student
    learns the straight line through it, and the data's own, in one pass.

    Args:
        model: a `torch.nn.Module` that satisfies `fada.Denoiser`; `fada.adapters.DiffusersDenoiser` makes one of a
            network of diffusers. It is moved to the device that trains (cuda where there is one), else left as it is.
        data: samples (latents, conditions), without batch axis: a sequence of them, each of which comes once in every
            epoch; a function that draws one with a `torch.Generator`; or an iterable, gone through again and again.
            Latents are a tensor of any rank, (F, D), (C, H, W) or (F, C, h, w), or tensors by name for a model that
            makes several things at once; scale them to a standard deviation near one. Conditions are what the model's
            `inputs_of` takes, with every tensor stacked along a new first axis: {} or None where there are none.
        folder: where checkpoints, logs and the student lie; the same call goes on where it stopped, or opens the
            finished student. None keeps nothing.
        kind: `balanced` learns every branch of guidance: scales stay outside and free, a step costs as many
            evaluations as branches are needed. `fast` has them inside: one evaluation a step. It needs a model that
            says its `sites()`: CFG layers with learnable tokens go there, or, where it has none, the scales are added
            to its time embedding.
        scales: guidance scales by the name of a branch: a number, or the least and the greatest that a fast student
            learns (default: 1 to 8). The middle is what `Student.sample` uses unless told otherwise.
        windows: of time; each is straightened on its own. At least as many steps are sampled.
        spacing: of which clock windows and solver steps are equal parts: `time`, `log_snr` or `noise_share`.
        matched: show the student points inside windows on its own noise path (docs/method.md, section 4).
        solver, solver_steps: of the model through one window.
        data_weight: how much data count beside the model, W0 of the mixed loss; 0 learns from the model alone.
        tokens: of a fast student's CFG layers, for each branch.
        steps, batch: of the training; the batch is that of one process.
        lr, warmup, schedule: peak learning rate of AdamW, steps of its linear rise (at most a quarter), and its course.
        ema: decay of the moving average of the weights, which is the result; 0 keeps none.
        precision: of the training: `fp32`, `bf16` or `fp16`; weights stay in their own type.
        seed: of all that is drawn.
        checkpoint_every, log_every: steps.
        progress: whether the console shows them.

    Raises:
        TypeError: the model lacks what `fada.Denoiser` asks for, or arguments of the one use come with the other.
        ValueError: a sample, a name or a number cannot be used, or the folder holds another training (see the message).
        RecipeError, TrainingFailed, Interrupted: as of `train_teacher`.
    """
    own = {name: value for name, value in locals().items() if name not in ("model", "data", "overrides", "folder")}
    if _is_module(model):
        if data is None or overrides:
            missing = "a model of your own needs data" if data is None else "overrides are a recipe's"
            raise TypeError(f"fada.distill: {missing}; see help(fada.distill)")
        return _distil_own(model, data, folder, own)
    if isinstance(model, str | os.PathLike) or hasattr(model, "distill"):
        defaults: Any = distill.__kwdefaults__
        given = [name for name, value in own.items() if value != defaults[name]]
        given += [name for name, value in (("data", data), ("folder", folder)) if value is not None]
        if given:
            raise TypeError(f"fada.distill: a recipe says everything itself, but {', '.join(given)} was given too; use "
                            "overrides=['distill.windows=4', ...]")  # fmt: skip
        return _distil_recipe(model, overrides)  # type: ignore[arg-type]
    raise TypeError(f"fada.distill: got {type(model).__name__}; give a recipe (its path or name, or a Recipe), or a "
                    "torch.nn.Module that satisfies fada.Denoiser")  # fmt: skip


def _distil_recipe(recipe: Place | Recipe, overrides: Sequence[str]) -> list[Path]:
    from fada import jobs
    from fada.files.folders import inside
    from fada.terminal import SafeConsole

    loaded = _loaded(recipe, overrides)
    _trained(loaded, lambda: jobs.distill(loaded, SafeConsole()), ["distill"])
    return [inside(loaded.output, "students", phase.name) for phase in loaded.distill.phases]


def _distil_own(model: Any, data: Any, folder: Place | None, own: Mapping[str, Any]) -> Student:
    from fada.student.own.distillation import Distillation, distill_own

    settings = Distillation(**{**own, "scales": own["scales"] or {}})
    return distill_own(model, data, None if folder is None else Path(folder), settings)


def _is_module(value: Any) -> bool:
    """Whether this is a module of torch; where torch is not loaded there are none."""
    import sys

    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _loaded(recipe: Place | Recipe, overrides: Sequence[str]) -> Recipe:
    from fada.recipe.loading import load_recipe
    from fada.recipe.schema import Recipe

    if not isinstance(recipe, Recipe):
        return load_recipe(Path(recipe), overrides)
    if overrides:
        raise TypeError("overrides change a recipe's file; of a Recipe use recipe.model_copy(update={...})")
    return recipe


def _trained(recipe: Recipe, train: Callable[[], object], verb: Sequence[str]) -> None:
    """Train in this process, or in as many as the recipe asks for: they are given the recipe as a file."""
    import tempfile

    from fada.cli.running import run_training
    from fada.recipe.loading import save_recipe
    from fada.terminal import SafeConsole

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        save_recipe(recipe, file)
        run_training(recipe, SafeConsole(), train, [*verb, str(file)])
