"""Recipe to objects: the only place that chooses classes, and what the command line calls."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fada.generation.avatar_pipeline import AvatarPipeline

# Importing torch, diffusers and transformers makes a million objects, all of which stay: looking through them for
# garbage again and again would take a sixth of the time.
_COLLECTS = gc.isenabled()
gc.disable()
try:
    from fada.assembly.models import find_model, load_pipeline
    from fada.run.replay import replay
    from fada.run.training import distill, from_checkpoint, prepare, train_teacher
    from fada.studies.dry_run import dry_run
    from fada.studies.report import bench, bench_scales, bench_share
finally:
    if _COLLECTS:
        gc.enable()

__all__ = [
    "bench",
    "bench_scales",
    "bench_share",
    "distill",
    "dry_run",
    "find_model",
    "from_checkpoint",
    "load_pipeline",
    "open_model",
    "prepare",
    "replay",
    "train_teacher",
]


def open_model(
    model: Path, student: str | None = None, teacher: Path | None = None, named: str = "--teacher"
) -> AvatarPipeline:
    """The pipeline that a folder holds, or that a student's difference and its teacher are together.

    Args:
        model, student: as of `load_pipeline`; or a model on the hub, `owner/name` or `owner/name@revision`.
        teacher: of a difference: the teacher it belongs to, or its run.
        named: how the caller is given the teacher, for messages.

    Raises:
        ValueError: there is no model, it is damaged, or a difference and no teacher, or a teacher and no difference;
            the hub does not give it.
    """
    from fada.assembly.models import find_teacher
    from fada.export.delta import load_delta
    from fada.generation.pipelines import DIFFERENCE
    from fada.pretrained.hub import model_folder

    model = model_folder(model)
    if not (model / DIFFERENCE).is_file():
        if teacher is not None:
            raise ValueError(f"{model}: is no difference from a teacher; leave {named} out")
        return load_pipeline(model, student)
    if teacher is None:
        raise ValueError(f"{model}: holds a student's difference from its teacher: name that with {named}")
    return load_delta(model, find_teacher(model_folder(teacher)))
