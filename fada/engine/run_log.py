"""What a run tells: lines on the console, experiment trackers, and a JSON line per log step."""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, SupportsFloat

import numpy as np
import psutil
import torch
from PIL import Image
from rich.console import Console
from rich.text import Text

from fada.engine.figures import numbers_of
from fada.engine.tensorboard import TensorBoard
from fada.files.json_lines import append_line, keep_steps
from fada.files.whole import whole_file
from fada.terminal import SafeConsole, printable

if TYPE_CHECKING:
    from fada.engine.objective import StepLoss
    from fada.engine.trackers import Tracker


class RunLog:
    """Collects what happens between two log lines, then writes it to `folder`, and tells trackers and the console.

    Only the main process of a run writes. A tracker that fails is left out from then on, and the console says so: what
    it was told is in `log.jsonl` too.

    Args:
        trackers: default: TensorBoard in `folder`.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        console: Console | None = None,
        is_main: bool = True,
        trackers: Sequence[Tracker] | None = None,
    ) -> None:
        self.name = name
        self.is_main = is_main
        self.console = console or SafeConsole()
        self.latest_loss = math.nan
        self.latest_data_share: float | None = None
        """Share of the steps' time before the last flush that went into data; None before the first."""
        self._scalars: dict[str, list[SupportsFloat]] = defaultdict(list)
        self._samples: dict[str, list[torch.Tensor]] = defaultdict(list)
        self._folder = folder
        self._trackers: list[Tracker] = [TensorBoard(folder)] if trackers is None else [*trackers]

    def resume(self, step: int) -> None:
        """Forget what an earlier start wrote of steps after this one: they are done again."""
        if self.is_main:
            keep_steps(self._lines, step)
            self._tell(lambda tracker: tracker.resume(step))

    def _tell(self, tell: Callable[[Tracker], None]) -> None:
        """Tell every tracker that has not failed yet."""
        for tracker in [*self._trackers]:
            try:
                tell(tracker)
            except Exception as error:
                self._trackers.remove(tracker)
                # A run that stays open would be in the way of the next phase's.
                with suppress(Exception):
                    tracker.close()
                self.say(f"{tracker.name}: {type(error).__name__}: {error}; the training goes on without this tracker")

    @property
    def _lines(self) -> Path:
        return self._folder / "log.jsonl"

    def say(self, text: str) -> None:
        """One line on the console."""
        if self.is_main:
            self.console.print(Text.assemble((printable(self.name), "bold"), f" {printable(text)}"))

    def collect(
        self,
        losses: list[StepLoss],
        loss: float,
        norm: float,
        lr: float,
        seconds: float,
        laps: Mapping[str, SupportsFloat] | None = None,
    ) -> None:
        """Take in one optimiser step; nothing waits for the device that its figures are made on.

        Args:
            losses: of its micro-batches; loss: their mean.
            laps: parts of the step in seconds.
        """
        self.latest_loss = loss
        figures: dict[str, SupportsFloat] = {
            **(laps or {}),
            "loss": loss,
            "grad_norm": norm,
            "lr": lr,
            "seconds": seconds,
        }
        for named in (figures, *(each.scalars for each in losses)):
            for name, value in named.items():
                self._scalars[name].append(value.detach() if isinstance(value, torch.Tensor) else value)
        for each in losses:
            for name, samples in each.samples.items():
                self._samples[name].append(samples.detach())

    def flush(self, step: int) -> dict[str, float]:
        """Write the means of what was finite since the last flush; returns them. Here the device is waited for."""
        numbers = dict(zip(self._scalars, numbers_of(list(self._scalars.values())), strict=True))
        kept = {name: [each for each in values if math.isfinite(each)] for name, values in numbers.items()}
        means = {name: sum(values) / len(values) for name, values in kept.items() if values}
        if kept.get("seconds") and "seconds_data" in kept:
            self.latest_data_share = sum(kept["seconds_data"]) / sum(kept["seconds"])
        means["memory_gib"] = _memory() / 2**30
        if self.is_main:
            append_line(self._lines, {"step": step, **means})
            named = {f"train/{name}": value for name, value in means.items()}
            self._tell(lambda tracker: tracker.scalars(named, step))
            for name, parts in self._samples.items():
                found = torch.cat([part.flatten() for part in parts]).float().cpu()
                values = found[torch.isfinite(found)].numpy()
                if len(values):
                    self._tell_histogram(f"train/{name}", values, step)
            self._tell(lambda tracker: tracker.flush())
        self._scalars.clear()
        self._samples.clear()
        return means

    def _tell_histogram(self, name: str, values: np.ndarray, step: int) -> None:
        self._tell(lambda tracker: tracker.histogram(name, values, step))

    def image(self, name: str, pixels: np.ndarray, step: int) -> None:
        """A picture (H, W, 3) uint8, for trackers and as FOLDER/NAME-STEP.png."""
        if not self.is_main:
            return
        self._tell(lambda tracker: tracker.image(name, pixels, step))
        path = self._folder / f"{name}-{step:06d}.png"
        with whole_file(path) as temporary:
            Image.fromarray(pixels).save(temporary)

    def video(self, name: str, frames: np.ndarray, step: int, fps: float) -> None:
        """A video (F, H, W, 3) uint8, as an animation: a GIF."""
        if not self.is_main:
            return
        stream = io.BytesIO()
        pictures = [Image.fromarray(frame) for frame in frames]
        pictures[0].save(stream, "GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0)
        height, width = frames.shape[1:3]
        self._tell(lambda tracker: tracker.video(name, stream.getvalue(), (height, width), step))

    def close(self) -> None:
        """Finish the files."""
        self._tell(lambda tracker: tracker.close())


def _memory() -> int:
    """Bytes that this process holds now: on its CUDA device, or else in main memory."""
    if torch.cuda.is_available():
        return torch.cuda.memory_reserved()
    return int(psutil.Process().memory_info().rss)
