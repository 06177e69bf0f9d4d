"""The pattern's weights under the public names, and files as their authors publish them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
import pattern as made


@pytest.fixture(scope="session")
def pattern() -> Any:
    return made


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Several threads on a busy machine wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., tuple[dict[str, Tensor], Path]]:
    """``write(build, extra, wrap)``: the built network's weights of the pattern and those of ``extra``, in a file."""

    def call(
        build: Callable[[], nn.Module],
        extra: dict[str, tuple[int, ...]] | None = None,
        wrap: Callable[[dict], Any] = dict,
    ) -> tuple[dict[str, Tensor], Path]:
        with torch.device("meta"):
            state = build().state_dict() | {name: torch.empty(shape) for name, shape in (extra or {}).items()}
        state = made.weights({name: value for name, value in state.items() if "num_batches" not in name})
        path = tmp_path / "weights.pth"
        torch.save(wrap(state), path)
        return state, path

    return call
