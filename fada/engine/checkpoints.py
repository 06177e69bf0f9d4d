"""Checkpoints of a run: written under a temporary name, then renamed; only complete ones are ever loaded.

A checkpoint is Accelerate's saved state (model, optimiser, scheduler, random numbers), the moving average as
safetensors, and `progress.json`, which is written last and so marks it complete.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from safetensors.torch import load_file, save_file

from fada.engine.ema import MovingAverage

PROGRESS = "progress.json"
logger = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one training phase, in `folder/step-00000500`."""

    def __init__(self, folder: Path, keep_last: int) -> None:
        self.folder = folder
        self.keep_last = keep_last

    def save(
        self, accelerator: Accelerator, step: int, average: MovingAverage | None, progress: dict[str, Any] | None = None
    ) -> Path:
        """Write the state after `step` steps; on return it is on disk under its final name."""
        final = self.folder / f"step-{step:08d}"
        partial = self.folder / f".partial-{step:08d}"
        if accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(partial), safe_serialization=True)
        if accelerator.is_main_process:
            if average is not None:
                save_file(average.state_dict(), str(partial / "ema.safetensors"))
            (partial / PROGRESS).write_text(json.dumps({"step": step, **(progress or {})}) + "\n")
            _sync_folder(partial)
            shutil.rmtree(final, ignore_errors=True)
            os.replace(partial, final)
            self._forget_old()
        accelerator.wait_for_everyone()
        return final

    def latest(self) -> Path | None:
        """The newest complete checkpoint; incomplete ones are named in a warning and left alone."""
        for folder in sorted(self.folder.glob("step-*"), reverse=True):
            if (folder / PROGRESS).is_file():
                return folder
            logger.warning("%s: incomplete checkpoint (no %s), not loaded", folder, PROGRESS)
        for partial in self.folder.glob(".partial-*"):
            logger.warning("%s: a checkpoint that was being written when the run ended, not loaded", partial)
        return None

    def load(self, accelerator: Accelerator, average: MovingAverage | None) -> int:
        """Restore the newest checkpoint; the step to go on from, 0 when there is none."""
        folder = self.latest()
        if folder is None:
            return 0
        accelerator.load_state(str(folder))
        if average is not None:
            average.load_state_dict(load_file(str(folder / "ema.safetensors")))
        return int(json.loads((folder / PROGRESS).read_text())["step"])

    def _forget_old(self) -> None:
        for folder in sorted(self.folder.glob("step-*"), reverse=True)[self.keep_last :]:
            shutil.rmtree(folder)
        for partial in self.folder.glob(".partial-*"):
            shutil.rmtree(partial)


def _sync_folder(folder: Path) -> None:
    """Make sure that the files are on disk before the folder gets its final name."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
