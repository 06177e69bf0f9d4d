"""Checkpoints of a run: written under a temporary name, hashed, synced, then renamed; only whole ones are ever loaded.

A checkpoint holds every trained parameter's weight, both moments of Adam and the moving average, whole and in float32,
by name, as safetensors; and `manifest.json`, written last: the step, facts about the run, and size and SHA-256 of every
other file. It knows nothing of processes and shards: a run that was divided in one way goes on divided in another, and
consolidation is reading. All processes share the writing. Nothing else needs to be kept, as all that a step draws
follows from its number.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from fada.engine.parallel import agree
from fada.engine.trained_state import TrainedState

MANIFEST = "manifest.json"
BYTES_PER_FILE = 256 * 2**20
"""Of float32 state; bounds what a process holds while it writes."""
logger = logging.getLogger(__name__)


class CheckpointError(OSError):
    """A checkpoint could not be written; the message says what is still there."""


class CheckpointMismatch(ValueError):
    """A checkpoint belongs to another run; the message says what differs."""


class Checkpoints:
    """The checkpoints of one training phase, in `folder/step-00000500`.

    Args:
        keep_last: the newest so many are kept.
        keep_every: those of steps that are a multiple of it are kept for good; 0 keeps none.
        facts: written into the manifest; a checkpoint with other facts is refused.
    """

    def __init__(self, folder: Path, keep_last: int, keep_every: int = 0, facts: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.keep_last = keep_last
        self.keep_every = keep_every
        self.facts = facts or {}

    def save(self, accelerator: Accelerator, step: int, state: TrainedState) -> Path:
        """Write the state after `step` steps; on return it is on disk under its final name, in every process.

        Raises:
            CheckpointError: it could not be written (a full disk); older checkpoints are as they were.
        """
        final = self.folder / f"step-{step:08d}"
        partial = self.folder / f".partial-{step:08d}"
        if accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        accelerator.wait_for_everyone()
        shares = gather_object([_write_share(accelerator, partial, state)])
        fault = next((fault for _, fault in shares if fault is not None), None)
        if fault is None and accelerator.is_main_process:
            files = dict(pair for written, _ in shares for pair in written.items())
            fault = self._finish(step, files, partial, final)
        if agree(accelerator, fault is not None):
            if accelerator.is_main_process:
                shutil.rmtree(partial, ignore_errors=True)
            raise self._failure(final, fault)
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

    def find(self, accelerator: Accelerator) -> Path | None:
        """The newest whole checkpoint, looked up (and hashed) by the main process for all.

        Raises:
            CheckpointMismatch: it has other facts than this run.
        """
        found = [self.latest() if accelerator.is_main_process else None]
        broadcast_object_list(found)
        if found[0] is not None:
            self._refuse_mismatch(found[0])
        return found[0]

    def _refuse_mismatch(self, folder: Path) -> None:
        before = read_manifest(folder).get("facts", {})
        different = [
            f"{name} was {before.get(name)}, is {value}"
            for name, value in self.facts.items()
            if before.get(name) != value
        ]
        if different:
            raise CheckpointMismatch(
                f"{folder}: was written by another kind of run ({'; '.join(different)}): it would not go on as it "
                "began. Give back the old settings (processes x batch x accumulate makes the samples of a step), or "
                "start anew with output=..."
            )

    def _finish(self, step: int, files: dict[str, Any], partial: Path, final: Path) -> str | None:
        try:
            (partial / MANIFEST).write_text(
                json.dumps({"step": step, "facts": self.facts, "files": files}, indent=1) + "\n"
            )
            _sync(partial / MANIFEST)
            _sync(partial)
            shutil.rmtree(final, ignore_errors=True)
            os.replace(partial, final)
            _sync(self.folder)
            self._forget_old()
        except OSError as error:
            return str(error)
        return None

    def _failure(self, final: Path, fault: str | None) -> CheckpointError:
        latest = self.latest()
        return CheckpointError(
            f"{final}: the checkpoint could not be written ({fault or 'another process failed'}); free space and "
            f"repeat the command: it goes on from {latest.name if latest else 'the start of this phase'}"
        )

    def _forget_old(self) -> None:
        for folder in sorted(self.folder.glob("step-*"), reverse=True)[self.keep_last :]:
            if not self.keep_every or int(folder.name.removeprefix("step-")) % self.keep_every:
                shutil.rmtree(folder)
        for partial in self.folder.glob(".partial-*"):
            shutil.rmtree(partial)


def load_state(folder: Path, state: TrainedState, keys: tuple[str, ...]) -> None:
    """Put what a checkpoint holds into its places.

    Raises:
        CheckpointMismatch: its parameters are not those that are trained.
    """
    names = set()
    for name, key, value in read_checkpoint(folder):
        if name not in state.parameters:
            raise CheckpointMismatch(f"{folder}: holds {name}, which this phase does not train")
        names.add(name)
        if key in keys:
            state.write(name, key, value)
    missing = sorted(set(state.parameters) - names)
    if missing:
        raise CheckpointMismatch(f"{folder}: lacks {', '.join(missing[:5])}, which this phase trains")


def read_checkpoint(folder: Path) -> Iterator[tuple[str, str, Tensor]]:
    """(parameter, what, value) of everything in a checkpoint; what is weight, exp_avg, exp_avg_sq or average."""
    for path in sorted(folder.glob("state-*.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            for entry in file.keys():  # noqa: SIM118 (no mapping, it has only this method)
                key, name = entry.split(":", 1)
                yield name, key, file.get_tensor(entry)


def find_fault(folder: Path) -> str | None:
    """What is wrong with a checkpoint, against its manifest; None for a whole one."""
    try:
        files = read_manifest(folder)["files"]
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


def read_manifest(folder: Path) -> dict[str, Any]:
    """A checkpoint's manifest: step, facts, files."""
    content: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return content


def _write_share(
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
            partial.mkdir(parents=True, exist_ok=True)
            save_file(held, str(path))
            _sync(path)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": _hash(path)}
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


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
