"""Files of weights: tensors and nothing else, in the folder where they are looked for.

The only place of the package that reads a pickle: torch's own reader of tensors, which runs nothing.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from fada.files.errors import FolderFault
from fada.files.folders import inside
from fada.files.strict_json import JSONFault, read_table
from fada.pretrained.errors import ModelFolderError
from fada.pretrained.settings import shortly

STEM = "diffusion_pytorch_model"
"""How diffusers names the weights of one network."""
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,150}\.safetensors")
_VARIANT = re.compile(r"[A-Za-z0-9_-]{1,32}")


class NotOnlyTensors(ModelFolderError):
    """A pickle that would run code when it is read, or is damaged; which of the two nobody can say."""


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a file, mapped from the disk.

    Raises:
        FileNotFoundError: there is none.
        ModelFolderError: it is a link, or no safetensors file.
    """
    _check_plain(file)
    try:
        return load_file(str(file))
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, OverflowError) as error:
        raise ModelFolderError(f"{file}: no safetensors file ({error}); fetch it again") from error


def read_pickle(file: Path, content: bytes | None = None) -> Any:
    """What a file of torch's holds, as long as it is tensors, numbers, texts and tables of them.

    Args:
        content: of the file, where it is not on the disk.

    Raises:
        NotOnlyTensors: it names anything else.
        ModelFolderError: torch cannot read it.
    """
    try:
        if content is not None:
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise NotOnlyTensors(f"{file}: holds more than tensors, or is damaged") from error
    # Whatever a damaged file makes of torch's reader; none of it is a fault of this package.
    except (
        EOFError,
        RuntimeError,
        AttributeError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        OverflowError,
    ) as error:
        raise ModelFolderError(f"{file}: torch cannot read it ({error}); fetch it again") from error


def shapes_in(files: Iterable[Path]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in these files, from their heads alone.

    Raises:
        ModelFolderError: no safetensors file, or a tensor that two of them hold.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            with safe_open(str(file), framework="pt") as opened:
                found = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, RuntimeError, ValueError, OverflowError) as error:
            raise ModelFolderError(f"{file}: no safetensors file ({error}); fetch it again") from error
        double = shapes.keys() & found.keys()
        if double:
            raise ModelFolderError(f"{file}: holds {shortly(min(double))} a second time; keep one file of it")
        shapes |= found
    return shapes


def weight_files(folder: Path, variant: str | None = None, stem: str = STEM) -> list[Path]:
    """The files from which a library reads a network's weights: one, or those that an index beside them names.

    Args:
        variant: as in `fp16`, of which there may be files beside the others.
        stem: how the library names them.

    Raises:
        FileNotFoundError: no safetensors files.
        ModelFolderError: the index names what is no file of the folder, or something is a link.
    """
    if variant is not None and not _VARIANT.fullmatch(variant):
        raise ModelFolderError(f"{folder}: {shortly(variant)} is no variant of weights; give a word such as fp16")
    endings = [f".{variant}", ""] if variant else [""]
    for ending in endings:
        # diffusers has the variant before or behind the rest of an index's name, by version.
        for index in (f"{stem}.safetensors.index{ending}.json", f"{stem}{ending}.safetensors.index.json"):
            if (folder / index).is_file():
                return _listed(folder, _plain(folder, index))
        if (folder / f"{stem}{ending}.safetensors").is_file():
            return [_plain(folder, f"{stem}{ending}.safetensors")]
    raise FileNotFoundError(
        f"{folder}: no .safetensors weights ({stem}.safetensors); convert the model (pickled weights are not read)"
    )


def all_files(folder: Path) -> list[Path]:
    """Every safetensors file of a folder, none of them a link; raises ModelFolderError where one is."""
    return [_plain(folder, file.name) for file in sorted(folder.glob("*.safetensors"))]


def _listed(folder: Path, index: Path) -> list[Path]:
    try:
        weights = read_table(index).get("weight_map")
    except JSONFault as error:
        raise ModelFolderError(f"{error}; fetch it again") from error
    if not isinstance(weights, dict) or not weights:
        raise ModelFolderError(f"{index}: names no files (weight_map); fetch it again")
    names = []
    for name in weights.values():
        if not isinstance(name, str) or not _FILE.fullmatch(name):
            raise ModelFolderError(f"{index}: names {shortly(name)}, which is no .safetensors file of its folder")
        if name not in names:
            names.append(name)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelFolderError(f"{index}: names {missing[0]}, which is not there; fetch it again")
    return [_plain(folder, name) for name in names]


def _plain(folder: Path, name: str) -> Path:
    try:
        path = inside(folder, name)
    except FolderFault as error:
        raise ModelFolderError(str(error)) from error
    _check_plain(path)
    return path


def _check_plain(file: Path) -> None:
    if file.is_symlink():
        raise ModelFolderError(
            f"{file}: is a link, it may lead anywhere; put the file itself there (cp -L, or cp -rL for a folder)"
        )
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
