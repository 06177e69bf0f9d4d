"""Released weights of any family: files of tensors only, every key accounted for, folders written whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fada.files.whole import whole_folder
from fada.pretrained.weights import NotOnlyTensors, read_pickle, read_safetensors
from fada.terminal import printable

SHOWN = 5
"""Faults that an error names; the others are counted."""
NO_KINDS: Mapping[str, str] = {}


@dataclass(frozen=True)
class Row:
    """One line of the account: what, how many tensors, how many numbers in them."""

    part: str
    keys: int
    parameters: int


@dataclass(frozen=True)
class Imported:
    """The networks by name, without gradients, and the account of their keys."""

    parts: dict[str, Any]
    rows: list[Row]


@dataclass(frozen=True)
class Sizes:
    """Sizes of networks as the tensors of a file tell them; where a key is missing, the released ones."""

    tensors: Mapping[str, Tensor]

    def of(self, key: str, axis: int, released: int) -> int:
        """Length of a tensor along an axis."""
        tensor = self.tensors.get(key)
        return released if tensor is None or tensor.ndim <= axis else int(tensor.shape[axis])

    def share(self, key: str, axis: int, of: int, released: int) -> int:
        """The same, divided by the one of two factors that is known."""
        return max(1, self.of(key, axis, released * of) // of)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a pickle that holds nothing else, mapped from the disk where possible.

    Raises:
        ValueError: the file is something else.
    """
    with file.open("rb") as opened:
        if opened.read(24).startswith(b"version https://git-lfs"):
            raise ValueError(f"{file}: a Git LFS pointer, not the weights; run git lfs pull where it came from")
    if file.suffix == ".safetensors":
        return read_safetensors(file)
    try:
        loaded = read_pickle(file)
    except NotOnlyTensors as error:
        raise ValueError(
            f"{file}: refused: reading it would run code that it brings, or it is damaged; weights are read only from "
            "files that hold tensors and nothing else. Convert it to safetensors where you trust it"
        ) from error
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        inside = (
            ", ".join(printable(str(key), 60) for key in list(loaded)[:SHOWN])
            if isinstance(loaded, dict)
            else type(loaded).__name__
        )
        raise ValueError(f"{file}: no table of tensors: it holds {inside}; wanted is a plain state dict")
    return loaded


def key_faults(network: nn.Module | Mapping[str, Tensor], given: Mapping[str, Tensor], prefix: str = "") -> list[str]:
    """What keeps tensors from being those of a network, or a state: keys missing and left over, and wrong shapes."""
    wanted = network.state_dict() if isinstance(network, nn.Module) else network
    faults = [f"missing {prefix}{key}" for key in wanted if key not in given]
    faults += [f"unexpected {prefix}{key}" for key in given if key not in wanted]
    for key, value in given.items():
        if key in wanted and value.shape != wanted[key].shape:
            faults.append(f"{prefix}{key} is {list(value.shape)}, not {list(wanted[key].shape)}")
    return faults


def listed(faults: Sequence[str]) -> str:
    """The first faults, and how many more there are."""
    more = f", and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return "; ".join(printable(fault, 200) for fault in faults[:SHOWN]) + more


def account(part: str, state: Mapping[str, Tensor], kinds: Mapping[str, str] = NO_KINDS) -> list[Row]:
    """Rows of a part; each kind (name → what its keys hold) in a row of its own."""

    def row(name: str, keys: Sequence[str]) -> Row:
        return Row(name, len(keys), sum(state[key].numel() for key in keys))

    rows = [row(part, [key for key in state if not any(mark in key for mark in kinds.values())])]
    for kind, mark in kinds.items():
        keys = [key for key in state if mark in key]
        if keys:
            rows.append(row(f"{part}: {kind}", keys))
    return rows


def check_out(out: Path) -> None:
    """Raises ValueError where the new folder would meet something."""
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ValueError(f"{out}: exists and is not empty; choose another --out")


def check_model(option: str, folder: Path | None) -> None:
    """Raises FileNotFoundError where the folder that an option names is no model in safetensors."""
    if folder is None:
        return
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{option} {folder}: no config.json there; give the model's own folder")
    if not any(folder.glob("*.safetensors")):
        raise FileNotFoundError(f"{option} {folder}: no .safetensors weights; convert the model (pickles are not read)")


def write_whole(out: Path, write: Callable[[Path], Any]) -> None:
    """The folder under its name only once it is complete; `write` fills the one that it is given."""
    with whole_folder(out, has_manifest=False) as partial:
        write(partial)
