"""What a run tells: lines on the console, TensorBoard, and a JSON line per log step."""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat

import numpy as np
import psutil
import torch
from PIL import Image
from rich.console import Console
from rich.text import Text
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

from fada.engine.figures import numbers_of
from fada.files.json_lines import append_line, keep_steps
from fada.files.whole import whole_file
from fada.terminal import SafeConsole, printable

if TYPE_CHECKING:
    from fada.engine.objective import StepLoss


class RunLog:
    """Collects what happens between two log lines, then writes it to `folder` and to the console.

    Only the main process of a run writes.
    """

    def __init__(self, folder: Path, name: str, console: Console | None = None, is_main: bool = True) -> None:
        self.name = name
        self.is_main = is_main
        self.console = console or SafeConsole()
        self.latest_loss = math.nan
        self.latest_data_share: float | None = None
        """Share of the steps' time before the last flush that went into data; None before the first."""
        self._scalars: dict[str, list[SupportsFloat]] = defaultdict(list)
        self._samples: dict[str, list[torch.Tensor]] = defaultdict(list)
        self._folder = folder
        self._open: Any = None
        self._first = 0

    @property
    def _writer(self) -> Any:
        """TensorBoard's, opened when it is first needed."""
        if self._open is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            # What an earlier start wrote of later steps is hidden.
            self._open = SummaryWriter(str(self._folder), purge_step=self._first + 1)
        return self._open

    def resume(self, step: int) -> None:
        """Forget what an earlier start wrote of steps after this one: they are done again."""
        self._first = step
        if self.is_main:
            keep_steps(self._lines, step)

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
            for name, value in means.items():
                self._writer.add_scalar(f"train/{name}", value, step)
            for name, parts in self._samples.items():
                found = torch.cat([part.flatten() for part in parts]).float().cpu()
                found = found[torch.isfinite(found)]
                if len(found):
                    self._writer.add_histogram(f"train/{name}", found, step)
            append_line(self._lines, {"step": step, **means})
            self._writer.flush()
        self._scalars.clear()
        self._samples.clear()
        return means

    def image(self, name: str, pixels: np.ndarray, step: int) -> None:
        """A picture (H, W, 3) uint8, for TensorBoard and as FOLDER/NAME-STEP.png."""
        if not self.is_main:
            return
        self._writer.add_image(name, pixels, step, dataformats="HWC")
        path = self._folder / f"{name}-{step:06d}.png"
        with whole_file(path) as temporary:
            Image.fromarray(pixels).save(temporary)

    def video(self, name: str, frames: np.ndarray, step: int, fps: float) -> None:
        """A video (F, H, W, 3) uint8, as an animation (TensorBoard wants GIFs)."""
        if not self.is_main:
            return
        stream = io.BytesIO()
        pictures = [Image.fromarray(frame) for frame in frames]
        pictures[0].save(stream, "GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0)
        height, width = frames.shape[1:3]
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=stream.getvalue())
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        self._writer._get_file_writer().add_summary(summary, step)

    def close(self) -> None:
        """Finish the files."""
        if self._open is not None:
            self._open.close()


def _memory() -> int:
    """Bytes that this process holds now: on its CUDA device, or else in main memory."""
    if torch.cuda.is_available():
        return torch.cuda.memory_reserved()
    return int(psutil.Process().memory_info().rss)
