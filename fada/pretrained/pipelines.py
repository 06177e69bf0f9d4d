"""A pipeline's folder: the table of its components decides what `model_index.json` may name, and opens them itself.

diffusers would look into the folder for classes of the names that it holds; here nothing in it is ever imported.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import SchedulerMixin

from fada.files.errors import FolderFault
from fada.files.folders import inside
from fada.files.names import PLAIN_NAME
from fada.pretrained.errors import ModelFolderError
from fada.pretrained.hub import model_folder
from fada.pretrained.networks import check_settings, load_network, load_scheduler, read_config
from fada.pretrained.settings import shortly

INDEX = "model_index.json"
_SAFE_OPTIONS = {"use_safetensors": True, "local_files_only": True, "trust_remote_code": False}
"""Options of diffusers' pipelines that are always so here, and may be given so."""


@dataclass(frozen=True)
class Component:
    """What one component of a pipeline may be.

    Args:
        kinds: the classes that a folder may name.
        load: opens a folder of a component that is none of diffusers' classes, and that indices list as null.
        is_optional: the pipeline exists without it too.
    """

    kinds: tuple[type, ...] = ()
    load: Callable[[Path], Any] | None = None
    is_optional: bool = False

    def open(self, folder: Path, kind: type | None, variant: str | None, dtype: torch.dtype | None) -> Any:
        """The component in a folder, of the class that the index names."""
        if self.load is not None:
            return self.load(folder)
        assert kind is not None
        if issubclass(kind, SchedulerMixin):
            return load_scheduler(folder, kind)
        return load_network(folder, kind, variant=variant, dtype=dtype)


Components = Mapping[str, Component]
"""By name, as arguments of the pipeline's class."""


@dataclass(frozen=True)
class Index:
    """What a `model_index.json` says, checked: settings of the pipeline, and components with their classes.

    kinds: None for a component that the pipeline has not, or that opens itself.
    """

    settings: dict[str, Any]
    kinds: dict[str, type | None]


def read_index(folder: Path, pipeline: type, components: Components) -> Index:
    """What the folder of a pipeline says of itself.

    Raises:
        FileNotFoundError: no `model_index.json`.
        ModelFolderError: it is of another pipeline, names a class or component that is not permitted, or settings that
            are not.
    """
    return check_index(read_config(folder, INDEX), folder / INDEX, pipeline, components)


def check_index(content: Mapping[str, Any], source: Path, pipeline: type, components: Components) -> Index:
    """`read_index` of what was read from `source` already."""
    named = content.get("_class_name")
    if named != pipeline.__name__:
        raise ModelFolderError(f"{source}: holds a {shortly(named)}, not a {pipeline.__name__}")
    kinds: dict[str, type | None] = {}
    settings: dict[str, Any] = {}
    for name, value in content.items():
        if name in components:
            kinds[name] = _kind(value, source, name, components[name])
        elif isinstance(value, list):
            known = ", ".join(components)
            raise ModelFolderError(
                f"{source}: {shortly(name)}: a {pipeline.__name__} has no such component; it has {known}"
            )
        else:
            settings[name] = value
    missing = [name for name, each in components.items() if name not in kinds and not each.is_optional]
    if missing:
        raise ModelFolderError(f"{source}: lacks the component {missing[0]}; copy or fetch the folder again")
    return Index(check_settings(pipeline, settings, source), kinds)


def _kind(value: Any, source: Path, name: str, component: Component) -> type | None:
    if value == [None, None] and (component.load is not None or component.is_optional):
        return None
    for kind in component.kinds:
        if value == list(address(kind)):
            return kind
    shown = ".".join(map(str, value)) if _is_pair(value) else shortly(value)
    wanted = " or ".join(".".join(address(kind)) for kind in component.kinds) or "null"
    raise ModelFolderError(
        f"{source}: {name} names {shortly(shown)[1:-1]}; parts may come from fada, diffusers and transformers, "
        f"and {name} may only be {wanted}"
    )


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) for each in value)


def address(kind: type) -> tuple[str, str]:
    """Library and name of a class as diffusers writes them into an index."""
    library = kind.__module__.partition(".")[0]
    return (library if library in ("diffusers", "transformers") else kind.__module__), kind.__name__


def component_folder(folder: Path, name: str) -> Path:
    """The folder of a component, which lies in the pipeline's folder and is no link.

    Raises:
        ModelFolderError: it is not.
    """
    try:
        if not PLAIN_NAME.fullmatch(name):
            raise ModelFolderError(f"{folder}: {shortly(name)} is no name of a component")
        path = inside(folder, name)
    except FolderFault as error:
        raise ModelFolderError(str(error)) from error
    if not path.is_dir():
        raise ModelFolderError(f"{path}: no such folder; copy or fetch {folder} again")
    return path


def open_pipeline(pipeline: Any, folder: str | Path, components: Components, **options: Any) -> Any:
    """A pipeline out of its folder, or of the hub (`model_folder`).

    Args:
        options: components and settings in place of the folder's; `torch_dtype` and `variant` of the weights.

    Raises:
        ModelFolderError: see `read_index`, `load_network`; or an option that there is not.
    """
    folder = model_folder(Path(folder))
    if not folder.is_dir():
        raise ModelFolderError(f"{folder}: no such folder, and no name of a model on the hub (owner/name@revision)")
    index = read_index(folder, pipeline, components)
    dtype, variant = options.pop("torch_dtype", None), options.pop("variant", None)
    given = {name: options.pop(name) for name in list(options) if name in components}
    settings = index.settings | _settings(options, index.settings, pipeline)
    for name, component in components.items():
        if name in given:
            continue
        kind = index.kinds.get(name)
        is_there = kind is not None or (component.load is not None and (folder / name).is_dir())
        if is_there:
            given[name] = component.open(component_folder(folder, name), kind, variant, dtype)
        elif component.is_optional:
            given[name] = None
        else:
            raise ModelFolderError(f"{folder / name}: no such folder; copy or fetch {folder} again")
    try:
        return pipeline(**given, **settings)
    except (ValueError, TypeError) as error:
        raise ModelFolderError(f"{folder}: its parts do not make a {pipeline.__name__} ({error})") from error


def _settings(options: dict[str, Any], known: Collection[str], pipeline: type) -> dict[str, Any]:
    for name, value in _SAFE_OPTIONS.items():
        if options.pop(name, value) != value:
            raise ModelFolderError(f"{name} is always {value} here: a model's folder brings no code and no pickles")
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ModelFolderError(
            f"{pipeline.__name__}: no option {unknown[0]}; there are its components and settings, torch_dtype, variant"
        )
    return options
