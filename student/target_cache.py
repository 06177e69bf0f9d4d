"""Window ends solved once and kept, so that every epoch after the first costs only the student.

Of a cached sample only the teacher's window end is stored, in float16; its clip, noise, window and scales follow from
its number, as in training without a cache. The cache says what it was made with, and refuses anything else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fada.data.seeds import EpochOrders

INDEX = "index.json"
PER_FILE = 64
"""Samples of one file: what is lost at most when the filling is interrupted."""


class CacheMismatch(ValueError):
    """A cache was made with something else; the message says with what."""


class TargetCache:
    """Window ends in `folder`, by number 0 to `count` - 1; runs may fill and read the same folder at a time.

    Args:
        count: samples; rounded up to a multiple of `windows`.
        windows: K; numbers take turns at the windows, and so do the samples of a batch.
        made_with: what the ends follow from (teacher, schedule, solver, data, …), as JSON values.

    Raises:
        CacheMismatch: the folder holds a cache that was made with something else.
    """

    def __init__(self, folder: Path, count: int, windows: int, seed: int, made_with: dict[str, Any]) -> None:
        self.folder = folder
        self.windows = windows
        self.count = -(-count // windows) * windows
        self.seed = seed
        self.made_with = json.loads(json.dumps({**made_with, "count": self.count, "windows": windows, "seed": seed}))
        self._orders = EpochOrders(seed, self.count // windows, "cache")
        self._refuse_mismatch()

    def number(self, position: int) -> int:
        """The cached sample at a position of the training: each once per epoch, shuffled within its window."""
        epoch, place = divmod(position, self.count)
        turn, window = divmod(place, self.windows)
        return int(self._orders.at(epoch)[turn]) * self.windows + window

    def missing(self) -> list[int]:
        """Files that are not there yet."""
        return [each for each in range(-(-self.count // PER_FILE)) if not self._is_whole(each)]

    def fill(
        self,
        solve: Callable[[Sequence[int]], Tensor],
        batch: int,
        rank: int = 0,
        world: int = 1,
        on_samples: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Solve and write what is missing, this process's share of it; interrupted, it goes on where it was.

        Args:
            solve: window ends (n, F, C, h, w) of n numbers.
            batch: numbers solved at once.
            on_samples: told how many more samples are done.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if rank == 0:
            _write_text(self.folder / INDEX, json.dumps(self.made_with, indent=1) + "\n")
        # By number, not by place in the list: other processes are filling it while this one looks.
        for file in (each for each in self.missing() if each % world == rank):
            if self._is_whole(file):
                continue  # Another run that shares the folder was faster.
            numbers = self._numbers(file)
            parts = []
            for first in range(0, len(numbers), batch):
                chosen = numbers[first : first + batch]
                parts.append(solve(chosen).to(torch.float16).cpu())
                on_samples(len(chosen))
            path = self._path(file)
            partial = path.with_suffix(f".partial-{os.getpid()}")
            save_file({"z_end": torch.cat(parts).contiguous()}, str(partial))
            os.replace(partial, path)

    def read(self, numbers: Sequence[int]) -> Tensor:
        """Window ends (n, F, C, h, w), float32."""
        rows = []
        for number in numbers:
            file, row = divmod(number, PER_FILE)
            with safe_open(str(self._path(file)), framework="pt") as stored:
                rows.append(stored.get_slice("z_end")[row : row + 1])
        return torch.cat(rows).float()

    def _numbers(self, file: int) -> list[int]:
        return list(range(file * PER_FILE, min((file + 1) * PER_FILE, self.count)))

    def _path(self, file: int) -> Path:
        return self.folder / f"ends-{file:06d}.safetensors"

    def _is_whole(self, file: int) -> bool:
        """Whether a file is there with all its samples; safetensors knows a cut file by its header."""
        try:
            with safe_open(str(self._path(file)), framework="pt") as stored:
                return int(stored.get_slice("z_end").get_shape()[0]) == len(self._numbers(file))
        except (OSError, SafetensorError):
            return False

    def _refuse_mismatch(self) -> None:
        index = self.folder / INDEX
        if not index.is_file():
            return
        before = json.loads(index.read_text())
        different = [
            f"{key} was {before.get(key)!r}, is {self.made_with.get(key)!r}"
            for key in sorted({*before, *self.made_with})
            if before.get(key) != self.made_with.get(key)
        ]
        if different:
            raise CacheMismatch(
                f"{self.folder}: cached targets were made with something else ({'; '.join(different[:4])}); delete "
                "this folder to solve them anew, or give another output=..."
            )


def _write_text(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    os.replace(partial, path)
