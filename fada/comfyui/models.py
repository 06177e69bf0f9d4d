"""Models by what nodes name: found, loaded once, and noticed where their files have changed."""

from __future__ import annotations

import hashlib
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fada.comfyui import host
from fada.export.run_models import INDEX, default_model, models_of
from fada.pretrained.hub import hub_name
from fada.pretrained.shipped import located

if TYPE_CHECKING:
    from fada.generation.avatar_pipeline import AvatarPipeline

AUTO = "auto"


@dataclass(frozen=True)
class Named:
    """What a node says of a model; empty texts and `auto` are the default of `fada.load`."""

    model: str
    student: str = ""
    teacher: str = ""
    device: str = AUTO
    dtype: str = AUTO


def place_of(model: str) -> str:
    """What a name means here: as `fada.load` takes it, or of that name in ComfyUI's `models/fada`.

    Raises:
        ValueError: there is nothing of that name, and it is no model's on the hub.
    """
    model = model.strip()
    if not model:
        raise ValueError("model: give a folder, shipped:drawn, or owner/name on the hub")
    own = host.models_folder()
    if located(Path(model)).exists():
        return model
    if own is not None and not Path(model).is_absolute() and (own / model).exists():
        return str(own / model)
    if hub_name(model) is None:
        beside = "" if own is None else f", nor in {own}"
        raise ValueError(
            f"model: there is no {model[:200]!r} here{beside}; give a folder, shipped:drawn, or owner/name"
        )
    return model


def fingerprint(named: Named) -> str:
    """What changes when a file of the model does; of a model on the hub, its name.

    By length and time of each file: hashing gigabytes would take as long as loading them.
    """
    lines = [repr(named)]
    for each in (named.model, named.teacher):
        folder = _folder_of(each, named.student)
        if folder is not None:
            files = [(path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
            lines += [f"{path} {facts.st_size} {facts.st_mtime_ns}" for path, facts in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _folder_of(model: str, student: str) -> Path | None:
    """The folder that a name means; None of a model on the hub, or where there is none."""
    if not model:
        return None
    folder = located(Path(place_of(model)))
    if (folder / INDEX).is_file() or not (models := models_of(folder)):
        return folder if folder.is_dir() else None
    return models.get(student) if student else default_model(folder)


# Whoever still holds a model shares it; the last one is held here, so that a change of the workflow does not lose it.
_alive: weakref.WeakValueDictionary[str, AvatarPipeline] = weakref.WeakValueDictionary()
_latest: list[AvatarPipeline] = []


def load_once(named: Named) -> AvatarPipeline:
    """The pipeline of a model, on its device; loaded where nobody holds the same files yet.

    Raises:
        ValueError: as of `fada.load`.
    """
    import fada

    key = fingerprint(named)
    found = _alive.get(key)
    if found is None:
        # Gone before the next one comes: two may not fit beside each other.
        _latest.clear()
        found = fada.load(
            place_of(named.model),
            student=named.student or None,
            teacher=place_of(named.teacher) if named.teacher else None,
            device=host.device() if named.device == AUTO else named.device,
            dtype=None if named.dtype == AUTO else named.dtype,
        )
        _alive[key] = found
    _latest[:] = [found]
    return found
