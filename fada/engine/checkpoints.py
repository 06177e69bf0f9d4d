"""Checkpoints of a run: written under a temporary name, hashed, synced, then renamed; only whole ones are ever loaded.

A checkpoint is Accelerate's saved state (model, optimiser, scheduler, random numbers), the moving average as
safetensors, and `manifest.json`, which is written last: the step, and size and SHA-256 of every other file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from safetensors.torch import load_file, save_file

from fada.engine.ema import MovingAverage

MANIFEST = "manifest.json"
logger = logging.getLogger(__name__)


class CheckpointError(OSError):
    """A checkpoint could not be written; the message says what is still there."""


class Checkpoints:
    """The checkpoints of one training phase, in `folder/step-00000500`.

    Args:
        keep_last: the newest so many are kept.
        keep_every: those of steps that are a multiple of it are kept for good; 0 keeps none.
    """

    def __init__(self, folder: Path, keep_last: int, keep_every: int = 0) -> None:
        self.folder = folder
        self.keep_last = keep_last
        self.keep_every = keep_every

    def save(self, accelerator: Accelerator, step: int, average: MovingAverage | None) -> Path:
        """Write the state after `step` steps; on return it is on disk under its final name.

        Raises:
            CheckpointError: it could not be written (a full disk); older checkpoints are as they were.
        """
        final = self.folder / f"step-{step:08d}"
        partial = self.folder / f".partial-{step:08d}"
        try:
            if accelerator.is_main_process:
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True)
            accelerator.wait_for_everyone()
            accelerator.save_state(str(partial), safe_serialization=True)
            if accelerator.is_main_process and average is not None:
                save_file(average.state_dict(), str(partial / "ema.safetensors"))
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                write_manifest(partial, step)
                _sync_folder(partial)
                shutil.rmtree(final, ignore_errors=True)
                os.replace(partial, final)
                self._forget_old()
        # safetensors and torch.save have errors of their own for a full disk.
        except Exception as error:
            shutil.rmtree(partial, ignore_errors=True)
            latest = self.latest()
            raise CheckpointError(
                f"{final}: the checkpoint could not be written ({error}); free space and repeat the command: it goes "
                f"on from {latest.name if latest else 'the start of this phase'}"
            ) from error
        accelerator.wait_for_everyone()
        return final

    def latest(self) -> Path | None:
        """The newest whole checkpoint; damaged and unfinished ones are named in a warning and left alone."""
        for partial in self.folder.glob(".partial-*"):
            logger.warning("%s: a checkpoint that was being written when the run ended, not loaded", partial)
        for folder in sorted(self.folder.glob("step-*"), reverse=True):
            fault = find_fault(folder)
            if fault is None:
                return folder
            logger.warning("%s: %s; this checkpoint is not loaded", folder, fault)
        return None

    def load(self, accelerator: Accelerator, average: MovingAverage | None) -> int:
        """Restore the newest whole checkpoint; the step to go on from, 0 when there is none."""
        folder = self.latest()
        if folder is None:
            return 0
        accelerator.load_state(str(folder))
        if average is not None:
            average.load_state_dict(load_file(str(folder / "ema.safetensors")))
        return int(_read_manifest(folder)["step"])

    def _forget_old(self) -> None:
        for folder in sorted(self.folder.glob("step-*"), reverse=True)[self.keep_last :]:
            if not self.keep_every or int(folder.name.removeprefix("step-")) % self.keep_every:
                shutil.rmtree(folder)
        for partial in self.folder.glob(".partial-*"):
            shutil.rmtree(partial)


def write_manifest(folder: Path, step: int) -> None:
    """Write `manifest.json` over the files that the folder holds now."""
    files = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": _hash(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    (folder / MANIFEST).write_text(json.dumps({"step": step, "files": files}, indent=1) + "\n")


def find_fault(folder: Path) -> str | None:
    """What is wrong with a checkpoint, against its manifest; None for a whole one."""
    try:
        files = _read_manifest(folder)["files"]
    except FileNotFoundError:
        return f"incomplete, it has no {MANIFEST}"
    except (json.JSONDecodeError, KeyError):
        return f"its {MANIFEST} cannot be read"
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != expected["bytes"]:
            return f"{name} has {path.stat().st_size} bytes, {expected['bytes']} were written"
        if _hash(path) != expected["sha256"]:
            return f"{name} is damaged (its SHA-256 differs from the one written)"
    return None


def _read_manifest(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return content


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make sure that the files are on disk before the folder gets its final name."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
