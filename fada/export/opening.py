"""The pipeline that a folder, a run or the hub holds: nothing that trains is loaded for it."""

from __future__ import annotations

import logging
from pathlib import Path

from fada.export.run_models import INDEX, default_model, models_of
from fada.files.manifest import MANIFEST, find_fault
from fada.files.uncollected import uncollected
from fada.pretrained.hub import model_folder
from fada.pretrained.shipped import located

with uncollected():
    from diffusers.utils.logging import disable_progress_bar

    from fada.engine.tensor_files import header_fault
    from fada.export.delta import load_delta
    from fada.generation.avatar_pipeline import AvatarPipeline
    from fada.generation.pipelines import DIFFERENCE, open_pipeline

# diffusers warns at every `.to(dtype)` of a model, with an empty list of the modules that it worries about, and of the
# log-mel encoder, which has no weights to save; it draws a bar for every load of a second.
for _talkative in ("diffusers.models.modeling_utils", "diffusers.pipelines.pipeline_utils"):
    logging.getLogger(_talkative).setLevel(logging.ERROR)
disable_progress_bar()


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
    model = model_folder(model)
    if not (model / DIFFERENCE).is_file():
        if teacher is not None:
            raise ValueError(f"{model}: is no difference from a teacher; leave {named} out")
        return load_pipeline(model, student)
    if teacher is None:
        raise ValueError(f"{model}: holds a student's difference from its teacher: name that with {named}")
    return load_delta(model, find_teacher(model_folder(teacher)))


def model_fault(folder: Path) -> str | None:
    """What is wrong with a saved pipeline; None for a whole one. Reads every byte that its manifest lists.

    Of one without a manifest, as earlier versions wrote it, the headers of its weights are read.
    """
    if (folder / MANIFEST).exists():
        fault = find_fault(folder)
        if fault is not None:
            return fault
    if not (folder / INDEX).is_file():
        return f"incomplete, it has no {INDEX}"
    return header_faults(folder)


def header_faults(folder: Path) -> str | None:
    """The first safetensors file in a folder whose header cannot be read, and why; None where there is none."""
    faults = (header_fault(file) for file in sorted(folder.rglob("*.safetensors")))
    return next((fault for fault in faults if fault is not None), None)


def load_pipeline(folder: Path, student: str | None = None) -> AvatarPipeline:
    """The pipeline in a folder, or of a run: its recipe's last student (or the one named, or `teacher`).

    Raises:
        ValueError: there is no model, or it is damaged.
    """
    return open_pipeline(find_model(folder, student))


def find_model(folder: Path, student: str | None = None) -> Path:
    """The model folder that `folder` is, names (`shipped:drawn`), or holds as a run; its weights can be opened.

    Raises:
        ValueError: there is none, there are several students and nothing says which is meant, or it is damaged.
    """
    found = _model_in(located(folder), student)
    fault = header_faults(found)
    if fault is not None:
        raise ValueError(f"{found}: {fault}; it is damaged: fetch it again, or repeat the command that made it")
    return found


def _model_in(folder: Path, student: str | None) -> Path:
    if (folder / INDEX).is_file():
        return folder
    models = models_of(folder)
    if student is not None:
        if student not in models:
            raise ValueError(f"{folder}: no model named {student!r}; choose from {', '.join(models) or 'none'}")
        return models[student]
    if not models:
        raise ValueError(
            f"{folder}: no model here (no {INDEX}, teacher/ or students/); give a run or a model, or owner/name"
        )
    return default_model(folder)


def find_teacher(path: Path) -> Path:
    """The teacher that `path` is, or, where it is a run, the run's teacher: never one of its students."""
    return find_model(path, "teacher" if (located(path) / "teacher").is_dir() else None)
