"""Window ends solved once and kept, so that every epoch after the first costs only the student.

Of a cached sample only the teacher's window end is stored, in float16; its clip, noise, window and scales follow from
its number, as in training without a cache. The cache says what it was made with, and refuses anything else. A file that
is not what was written counts as missing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from fada.data.sampling.order import EpochOrders
from fada.engine.tensor_files import DamagedFile, load_tensors, save_tensors
from fada.files.whole import set_aside, write_json

INDEX = "index.json"
PER_FILE = 64
"""Samples of one file: what is lost at most when the filling is interrupted."""


logger = logging.getLogger(__name__)


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
        self._known_whole: set[int] = set()
        self._named: set[int] = set()
        """Damaged files that a warning has named."""
        self._orders = EpochOrders(seed, self.count // windows, "cache")
        self._refuse_mismatch()

    def number(self, position: int) -> int:
        """The cached sample at a position of the training: each once per epoch, shuffled within its window."""
        epoch, place = divmod(position, self.count)
        turn, window = divmod(place, self.windows)
        return self._orders.at(epoch, turn) * self.windows + window

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
            solve: window ends (n, ...) of n numbers.
            batch: numbers solved at once.
            on_samples: told how many more samples are done.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if rank == 0:
            write_json(self.folder / INDEX, self.made_with)
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
            save_tensors({"z_end": torch.cat(parts)}, self._path(file))

    def read(self, numbers: Sequence[int]) -> Tensor:
        """Window ends (n, ...), float32."""
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
        """Whether a file is there as it was written, with all its samples; each is read whole once."""
        if file not in self._known_whole and self._path(file).is_file():
            try:
                ends = load_tensors(self._path(file)).get("z_end")
            except DamagedFile as error:
                if file not in self._named:
                    logger.warning("%s; its targets are solved anew", error)
                self._named.add(file)
                return False
            if ends is not None and len(ends) == len(self._numbers(file)):
                self._known_whole.add(file)
        return file in self._known_whole

    def _refuse_mismatch(self) -> None:
        index = self.folder / INDEX
        if not index.is_file():
            return
        try:
            before = json.loads(index.read_bytes())
        except (ValueError, RecursionError):
            before = None
        if not isinstance(before, dict):
            # What its targets were made with is no longer known.
            aside = set_aside(self.folder)
            logger.warning("%s: cannot be read; its targets are solved anew, these now lie in %s", index, aside)
            return
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
