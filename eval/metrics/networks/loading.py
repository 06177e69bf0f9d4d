"""Public weights into our networks: tensors only, every key accounted for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from fada.pretrained.errors import ModelFolderError
from fada.pretrained.weights import read_pickle, read_safetensors
from fada.teacher.released import key_faults, listed
from fada.terminal import printable

Network = TypeVar("Network", bound=nn.Module)
_COUNTER = "num_batches_tracked"
"""Batch norms count batches in training; files from before 2018 lack the counter, and no forward pass reads it."""


class WeightsError(ValueError):
    """A file that does not hold the network's weights; the message names file and fault."""


def load_network(
    build: Callable[[], Network], path: Path, *, inside: str = "", prefix: str = "", leave: tuple[str, ...] = ()
) -> Network:
    """The network with the file's weights, without gradients, in evaluation mode.

    Args:
        build: makes the network, whose parameters carry the public names; called without memory for them.
        path: a pickle of tensors, or a file of safetensors.
        inside: key of the table of tensors, where the file holds other things too.
        prefix: what the file puts before every name, such as ``module.``.
        leave: beginnings of names that the file holds and the network does not use.

    Raises:
        WeightsError: the file cannot be read without running code, or a tensor is missing, left over or of another
            shape.
    """
    loaded = _read(path)
    table = loaded.get(inside) if inside else loaded
    if not isinstance(table, Mapping):
        held = ", ".join(printable(str(key), 60) for key in list(loaded)[:5])
        raise WeightsError(f"{path}: no table {inside!r}: it holds {held}")
    state = {
        name.removeprefix(prefix): value
        for name, value in table.items()
        if isinstance(value, Tensor) and not name.removeprefix(prefix).startswith(leave or ("\0",))
    }
    with torch.device("meta"):
        network = build()
    counters = {name: torch.zeros(()) for name in network.state_dict() if name.endswith(_COUNTER)}
    known = {name: value for name, value in state.items() if not name.endswith(_COUNTER)} | counters
    faults = key_faults(network, known)
    if faults:
        raise WeightsError(f"{path}: not the weights of {type(network).__name__}: {listed(faults)}")
    network.load_state_dict(known, assign=True)
    return network.eval().requires_grad_(False)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        loaded = read_safetensors(path) if path.suffix == ".safetensors" else read_pickle(path)
    except ModelFolderError as error:
        # torch's own words would advise to trust the file.
        kind = type(error.__cause__).__name__
        raise WeightsError(
            f"{path}: not a file of tensors ({kind}): damaged, or it brings code, which is never run"
        ) from error
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{path}: a {type(loaded).__name__}, not a table of tensors")
    return loaded
