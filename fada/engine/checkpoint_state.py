"""What a checkpoint's files hold: trained weights and their state, by name, as safetensors.

Every trained parameter's weight, both moments of Adam, the moving average and the count of its steps, whole and in
float32. Nothing is said of processes and shards: a run that was divided in one way goes on divided in another, and
consolidation is reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from fada.engine.trained_state import TrainedState
from fada.files.manifest import describe
from fada.files.whole import sync

BYTES_PER_FILE = 256 * 2**20
"""Of float32 state; bounds what a process holds while it writes."""


class CheckpointMismatch(ValueError):
    """A checkpoint belongs to another run; the message says what differs."""


def load_state(folder: Path, state: TrainedState, keys: tuple[str, ...]) -> None:
    """Put what a checkpoint holds into its places.

    Raises:
        CheckpointMismatch: its parameters are not those that are trained.
    """
    names = set()
    for name, key, value in read_checkpoint(folder, state.former_names):
        if name not in state.parameters:
            raise CheckpointMismatch(f"{folder}: holds {name}, which this phase does not train")
        names.add(name)
        if key in keys:
            state.write(name, key, value)
    missing = sorted(set(state.parameters) - names)
    if missing:
        raise CheckpointMismatch(f"{folder}: lacks {', '.join(missing[:5])}, which this phase trains")


def read_checkpoint(
    folder: Path, former_names: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[str, str, Tensor]]:
    """(parameter, what, value) of everything in a checkpoint; what is weight, exp_avg, exp_avg_sq, average or step.

    Args:
        former_names: by the name of a parameter in checkpoints of earlier versions, the name that it has now.
    """
    for path in sorted(folder.glob("state-*.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            for entry in file.keys():  # noqa: SIM118 (no mapping, it has only this method)
                key, name = entry.split(":", 1)
                yield former_names.get(name, name), key, file.get_tensor(entry)


def write_share(
    accelerator: Accelerator, partial: Path, state: TrainedState
) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Read everything with the others, write this process's files; what was written, and what went wrong."""
    files: dict[str, dict[str, Any]] = {}
    fault = None
    for number, names in enumerate(_groups(state)):
        is_mine = number % accelerator.num_processes == accelerator.process_index
        held: dict[str, Tensor] = {}
        for name in names:
            for key in state.keys:
                value = state.read(name, key)
                if is_mine:
                    held[f"{key}:{name}"] = value
        if not is_mine or fault is not None:
            continue
        path = partial / f"state-{number:05d}.safetensors"
        # safetensors has an error of its own for a full disk.
        try:
            save_file(held, str(path))
            sync(path)
            files[path.name] = describe(path)
        except Exception as error:
            fault = str(error)
    return files, fault


def _groups(state: TrainedState) -> list[list[str]]:
    """Names of the parameters of each file, the same in every process."""
    groups: list[list[str]] = [[]]
    filled = 0
    for name, parameter in state.parameters.items():
        size = _numel(parameter) * 4 * len(state.keys)
        if groups[-1] and filled + size > BYTES_PER_FILE:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += size
    return groups


def _numel(parameter: torch.nn.Parameter) -> int:
    """Elements of the whole parameter, also where ZeRO-3 has emptied it."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))
