"""One network out of its folder: its class from a given few, its settings typed, its size that of its weights."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from diffusers.configuration_utils import FrozenDict
from pydantic import ValidationError
from torch import nn

from fada.files.errors import FolderFault
from fada.files.folders import check_no_links
from fada.files.strict_json import JSONFault, read_table
from fada.pretrained.errors import ModelFolderError
from fada.pretrained.settings import Preprocessor, first_fault, settings_of, shortly
from fada.pretrained.weights import shapes_in, weight_files

CONFIG, SCHEDULER_CONFIG, PREPROCESSOR = "config.json", "scheduler_config.json", "preprocessor_config.json"
CONFIG_BYTES = 2**20
_SLACK = 4096
"""Numbers that a network may have beyond its file's: buffers that are not saved."""
_NOTES = ("_class_name", "_diffusers_version", "_name_or_path", "_use_default_values", "_pre_quantization_dtype")
"""What diffusers notes in a config beside the settings."""
_NOT_OURS = ("diffusers", "transformers")


def read_config(folder: Path, name: str = CONFIG) -> dict[str, Any]:
    """What the config of a component's folder says, nothing of it judged but that it is a table.

    Raises:
        FileNotFoundError: there is none.
        ModelFolderError: it is a link or no JSON, or anything in the folder is a link.
    """
    try:
        if folder.is_dir():
            check_no_links(folder)
        return read_table(folder / name, CONFIG_BYTES)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{folder / name}: no such file; a model's folder holds a {name}") from error
    except FolderFault as error:
        raise ModelFolderError(f"{error} (cp -rL copies a folder without its links)") from error
    except (JSONFault, NotADirectoryError) as error:
        raise ModelFolderError(f"{error}; copy or fetch it again") from error


def read_component(folder: Path, kinds: Sequence[type], name: str = CONFIG) -> tuple[type, dict[str, Any]]:
    """The class that a folder's config names, which is one of `kinds`, and its settings.

    Raises:
        FileNotFoundError: there is no config.
        ModelFolderError: another class, an unknown setting, or one of the wrong type or size.
    """
    config = read_config(folder, name)
    named = config.get("_class_name", kinds[0].__name__ if len(kinds) == 1 else None)
    for kind in kinds:
        if named == kind.__name__:
            return kind, check_settings(kind, config, folder / name)
    wanted = " or ".join(kind.__name__ for kind in kinds)
    raise ModelFolderError(f"{folder / name}: holds a {shortly(named)}, wanted is {wanted}")


def check_settings(kind: type, config: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """The settings of a class in a config, typed and within their limits; what libraries note there is left out.

    Raises:
        ModelFolderError: naming `source`, the setting, what is wanted and what was got.
    """
    given = {key: value for key, value in config.items() if key not in _NOTES}
    table = settings_of(kind)
    if kind.__module__.partition(".")[0] in _NOT_OURS:
        # A later version of a library has more settings; at their defaults they change nothing.
        own = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
        given = {
            key: value
            for key, value in given.items()
            if key in table.model_fields or key not in own or own[key].default != value
        }
    try:
        table.model_validate(given)
    except ValidationError as error:
        raise ModelFolderError(f"{source}: {first_fault(error)}; it is damaged, or made to do harm") from error
    return {key: value for key, value in given.items() if key in table.model_fields}


def load_network(folder: str | Path, *kinds: type, variant: str | None = None, dtype: torch.dtype | None = None) -> Any:
    """The network in a folder, in evaluation mode.

    Args:
        kinds: classes that it may be of, diffusers' models all of them.
        dtype: of its weights; None: float32, whatever the file holds.

    Raises:
        FileNotFoundError: no config, or no weights in safetensors.
        ModelFolderError: see `read_component`; or weights and settings do not fit.
    """
    folder = Path(folder)
    kind, settings = read_component(folder, kinds)
    files = weight_files(folder, variant)
    check_fit(folder, kind, settings, shapes_in(files))
    # A part without the variant is read as it is.
    found = variant if variant and all(f".{variant}" in file.name for file in files) else None
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "variant": found}
    try:
        network, told = kind.from_pretrained(  # type: ignore[attr-defined]
            str(folder.resolve()), torch_dtype=dtype, output_loading_info=True, **options
        )
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelFolderError(f"{folder}: cannot be read as {kind.__name__} ({error})") from error
    # diffusers draws what is missing at random, or leaves it without memory, and only warns.
    _refuse(
        folder,
        [
            *(f"{name} is missing" for name in told["missing_keys"]),
            *(f"{shortly(name)} has no place" for name in told["unexpected_keys"]),
        ],
    )
    return forget_place(network)


def forget_place(network: Any) -> Any:
    """The network, whose config no longer says in which folder of which machine it lay."""
    network._internal_dict = FrozenDict({key: value for key, value in network.config.items() if key != "_name_or_path"})
    return network


def check_fit(folder: Path, kind: type, settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Know that the network of these settings is as large as its weights, before it takes memory.

    Our own networks are in files name by name; of others' names differ by version, so their size must fit.

    Raises:
        ModelFolderError: saying what does not fit.
    """
    network = build_empty(folder, lambda: kind(**settings))
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if kind.__module__.partition(".")[0] in _NOT_OURS:
        check_size(folder, wanted, shapes)
        return
    faults = [f"{name} is missing" for name in wanted if name not in shapes]
    faults += [f"{shortly(name)} has no place" for name in shapes if name not in wanted]
    faults += [
        f"{name} is {list(shapes[name])}, by its config {list(shape)}"
        for name, shape in wanted.items()
        if name in shapes and shapes[name] != shape
    ]
    _refuse(folder, faults)


def _refuse(folder: Path, faults: Sequence[str]) -> None:
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ModelFolderError(
            f"{folder}: weights and {CONFIG} do not belong together: {'; '.join(faults[:3])}{more}; copy it again"
        )


def check_size(folder: Path, wanted: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raises ModelFolderError where a network needs more numbers than its files hold."""
    needed, there = (sum(math.prod(shape) for shape in each.values()) for each in (wanted, shapes))
    if needed > there + _SLACK:
        raise ModelFolderError(
            f"{folder}: its {CONFIG} asks for {needed} weights, its files hold {there}; copy or fetch it again"
        )


def build_empty(folder: Path, build: Any) -> nn.Module:
    """A network without memory for its weights; raises ModelFolderError where its settings contradict each other."""
    try:
        with torch.device("meta"):
            return build()
    except (ValueError, RuntimeError, TypeError, KeyError, AttributeError, ZeroDivisionError, OverflowError) as error:
        raise ModelFolderError(f"{folder / CONFIG}: settings that contradict each other ({error})") from error


def load_scheduler(folder: str | Path, *kinds: type) -> Any:
    """The scheduler in a folder, of one of these classes; raises as `load_network`."""
    folder = Path(folder)
    kind, settings = read_component(folder, kinds, SCHEDULER_CONFIG)
    try:
        return cast(Any, kind).from_config(settings)
    except ValueError as error:
        raise ModelFolderError(f"{folder / SCHEDULER_CONFIG}: {error}") from error


def read_preprocessor(folder: Path) -> Preprocessor:
    """How an audio encoder's folder says that sound is prepared; the usual way where it says nothing.

    Raises:
        ModelFolderError: a setting of the wrong type or size.
    """
    file = folder / PREPROCESSOR
    try:
        return Preprocessor.model_validate(read_config(folder, PREPROCESSOR) if file.is_file() else {})
    except ValidationError as error:
        raise ModelFolderError(f"{file}: {first_fault(error)}; it is damaged, or made to do harm") from error
