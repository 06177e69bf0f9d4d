"""TensorBoard's files of a phase: scalars, histograms, pictures and animations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter


class TensorBoard:
    """A tracker (`fada.engine.trackers.Tracker`) whose files lie in `folder`."""

    name = "tensorboard"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: Any = None
        self._first = 0

    @property
    def _writer(self) -> Any:
        """Opened when it is first needed."""
        if self._open is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            # What an earlier start wrote of later steps is hidden.
            self._open = SummaryWriter(str(self._folder), purge_step=self._first + 1)
        return self._open

    def resume(self, step: int) -> None:
        """What an earlier start wrote of steps behind this one is hidden."""
        self._first = step

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        self._writer.add_histogram(name, values, step)

    def image(self, name: str, pixels: np.ndarray, step: int) -> None:
        self._writer.add_image(name, pixels, step, dataformats="HWC")

    def video(self, name: str, gif: bytes, size: tuple[int, int], step: int) -> None:
        """As a picture that moves: TensorBoard wants GIFs, and its writer would make them with moviepy."""
        height, width = size
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif)
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        self._writer._get_file_writer().add_summary(summary, step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
