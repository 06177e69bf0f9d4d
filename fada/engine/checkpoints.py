"""Checkpoints of a run: written under a temporary name, hashed, synced, then renamed; only whole ones are ever loaded.

What they hold is in checkpoint_state.py; beside it lies `manifest.json`: the step, facts about the run, and size and
SHA-256 of every other file. All processes share the writing. Nothing else needs to be kept, as all that a step draws
follows from its number.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object

from fada.engine.checkpoint_state import CheckpointMismatch, write_share
from fada.engine.parallel import agree
from fada.engine.trained_state import TrainedState
from fada.files.manifest import find_fault, read_manifest, write_manifest
from fada.files.whole import clear_leftovers, remove_listed, set_aside, whole_folder

_NAME = re.compile(r"step-(\d{8})")
logger = logging.getLogger(__name__)


class CheckpointError(OSError):
    """A checkpoint could not be written; the message says what is still there."""


class Checkpoints:
    """The checkpoints of one training phase, in `folder/step-00000500`.

    Args:
        keep_last: the newest so many whole ones are kept.
        keep_every: those of steps that are a multiple of it are kept for good; 0 keeps none.
        facts: written into the manifest; a checkpoint with other facts is refused.
    """

    def __init__(self, folder: Path, keep_last: int, keep_every: int = 0, facts: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.keep_last = keep_last
        self.keep_every = keep_every
        self.facts = facts or {}
        self._known_whole: set[int] = set()

    def save(self, accelerator: Accelerator, step: int, state: TrainedState) -> Path:
        """Write the state after `step` steps; on return it is on disk under its final name, in every process.

        Raises:
            CheckpointError: it could not be written (a full disk); older checkpoints are as they were.
        """
        final = self.folder / f"step-{step:08d}"
        fault = None
        try:
            with _partial(accelerator, final) as partial:
                shares = gather_object([write_share(accelerator, partial, state)])
                fault = next((fault for _, fault in shares if fault is not None), None)
                if fault is not None:
                    raise OSError(fault)
                if accelerator.is_main_process:
                    files = dict(pair for written, _ in shares for pair in written.items())
                    write_manifest(partial, files, step=step, facts=self.facts)
            if accelerator.is_main_process:
                self._known_whole.add(step)
                self._forget_old(step)
        except OSError as error:
            fault = str(error)
        if agree(accelerator, fault is not None):
            raise self._failure(final, fault)
        return final

    def latest(self) -> Path | None:
        """The newest whole checkpoint; nothing is changed. Others are named in a warning."""
        for step, folder in self._listed():
            fault = self._fault(step, folder)
            if fault is None:
                return folder
            logger.warning("%s: %s; this checkpoint is not loaded", folder, fault)
        return None

    def find(self, accelerator: Accelerator) -> Path | None:
        """The newest whole checkpoint, looked up (and hashed) by the main process for all.

        Damaged ones that are newer are set aside, and named in a warning; what was being written goes.

        Raises:
            CheckpointMismatch: it has other facts than this run.
        """
        found: list[Path | None] = [None]
        if accelerator.is_main_process:
            clear_leftovers(self.folder)
            found = [self._newest_whole()]
        broadcast_object_list(found)
        if found[0] is not None:
            self._refuse_mismatch(found[0])
        return found[0]

    def _newest_whole(self) -> Path | None:
        for step, folder in self._listed():
            if self._is_kept(step, folder):
                return folder
        return None

    def _listed(self) -> list[tuple[int, Path]]:
        """Steps and folders of all checkpoints here, whole or not, the newest first."""
        entries = self.folder.iterdir() if self.folder.is_dir() else ()
        named = [(match, entry) for entry in entries if (match := _NAME.fullmatch(entry.name))]
        folders = [(int(match[1]), entry) for match, entry in named if entry.is_dir() and not entry.is_symlink()]
        return sorted(folders, reverse=True)

    def _fault(self, step: int, folder: Path) -> str | None:
        """What is wrong with a checkpoint; each is read whole once."""
        if step in self._known_whole:
            return None
        fault = checkpoint_fault(folder)
        if fault is None:
            self._known_whole.add(step)
        return fault

    def _is_kept(self, step: int, folder: Path) -> bool:
        """Whether a checkpoint is whole; a damaged one is set aside."""
        fault = self._fault(step, folder)
        if fault is None:
            return True
        aside = set_aside(folder)
        logger.warning("%s: %s; this checkpoint is not loaded, it now lies in %s", folder, fault, aside)
        return False

    def _forget_old(self, newest: int) -> None:
        """Remove what is older than the last so many whole ones; only what a manifest of ours lists is removed."""
        kept = 0
        for step, folder in self._listed():
            if step > newest:
                continue
            if kept < self.keep_last:
                kept += self._is_kept(step, folder)
            elif (not self.keep_every or step % self.keep_every) and not remove_listed(folder):
                logger.warning("%s: holds more than its manifest lists, or less; it is not removed", folder)

    def _refuse_mismatch(self, folder: Path) -> None:
        before = read_manifest(folder)["facts"]
        different = [
            f"{name} was {before.get(name, 'not noted')}, is {value}"
            for name, value in self.facts.items()
            if before.get(name) != value
        ]
        if different:
            raise CheckpointMismatch(
                f"{folder}: was written by another kind of run ({'; '.join(different)}): it would not go on as it "
                "began. Give back what it had (data, frozen weights; processes x batch x accumulate makes the samples "
                "of a step), or start anew with output=..."
            )

    def _failure(self, final: Path, fault: str | None) -> CheckpointError:
        latest = self.latest()
        return CheckpointError(
            f"{final}: the checkpoint could not be written ({fault or 'another process failed'}); free space and "
            f"repeat the command: it goes on from {latest.name if latest else 'the start of this phase'}"
        )


def checkpoint_fault(folder: Path) -> str | None:
    """What is wrong with a checkpoint, against its manifest; None for a whole one. Reads every byte of it."""
    fault = find_fault(folder)
    if fault is not None:
        return fault
    said, name = read_manifest(folder), _NAME.fullmatch(folder.name)
    if name is None or said.get("step") != int(name[1]) or not isinstance(said.get("facts"), dict):
        return "its manifest.json is not that of this step"
    return None


def step_of(folder: Path) -> int:
    """The step after which a whole checkpoint was written."""
    return int(read_manifest(folder)["step"])


@contextmanager
def _partial(accelerator: Accelerator, final: Path) -> Iterator[Path]:
    """A folder for the shares of all processes; the main one makes it, and gives it its name in the end.

    Raises:
        OSError: in all processes, where the main one cannot make it.
    """
    if not accelerator.is_main_process:
        told: list[Any] = [None]
        broadcast_object_list(told)
        if told[0] is None:
            raise OSError("the main process cannot write there")
        yield told[0]
        return
    is_told = False
    try:
        with whole_folder(final, has_manifest=False) as partial:
            is_told = True
            broadcast_object_list([partial])
            yield partial
    finally:
        if not is_told:
            broadcast_object_list([None])
