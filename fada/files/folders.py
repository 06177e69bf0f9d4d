"""Folders that fada may write into: new, empty, or marked as its own; and the way inside them, past no link."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fada.files.errors import FolderFault
from fada.files.locks import LOCK
from fada.files.whole import is_leftover, write_json

MARK = ".fada.json"
"""Lies in every folder that fada fills over several calls; says what kind of folder it is."""


def take_folder(folder: Path, kind: str) -> None:
    """Make `folder` ours: it is created, or known to be empty or marked with the same kind; then it is marked.

    Args:
        kind: one word: run, clips, shards, report, …

    Raises:
        FolderFault: it is not a folder, holds what fada did not make, or is ours for something else.
    """
    check_folder(folder, kind)
    folder.mkdir(parents=True, exist_ok=True)
    if kind_of(folder) != kind:
        write_json(folder / MARK, {"kind": kind})


def check_folder(folder: Path, kind: str) -> None:
    """Raises FolderFault as `take_folder`, and changes nothing."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise FolderFault(f"{folder}: is not a folder; give another one")
    found = kind_of(folder)
    if found == kind:
        return
    if found is not None:
        raise FolderFault(f"{folder}: holds {found} of an earlier command, not {kind}; give another folder")
    # Whoever locks a folder before marking it, and is killed between, leaves it ours to take.
    entries = sorted(entry.name for entry in folder.iterdir() if entry.name != LOCK and not is_leftover(entry.name))
    if entries:
        shown = ", ".join(entries[:3]) + (", ..." if len(entries) > 3 else "")
        raise FolderFault(f"{folder}: holds files that fada did not make ({shown}); give a folder that is new or empty")


def kind_of(folder: Path) -> str | None:
    """What kind of folder fada marked this as; None where it did not, or the mark cannot be read."""
    mark = folder / MARK
    if mark.is_symlink() or not mark.is_file():
        return None
    try:
        content = json.loads(mark.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    kind = content.get("kind") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) else None


def inside(folder: Path, *names: str) -> Path:
    """`folder/NAME/NAME`, known to lie in `folder`: no name leads out, and nothing on the way is a link.

    Raises:
        FolderFault: naming the link, or the name.
    """
    path = folder
    for name in names:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise FolderFault(f"{path}: {name!r} is no name of a file or folder in it")
        path = path / name
        if path.is_symlink():
            raise FolderFault(f"{path}: is a link, it may lead anywhere; replace it by what it should be, or remove it")
    return path


def check_no_links(folder: Path) -> None:
    """Raises FolderFault where anything in a folder is a link: for folders that came from others."""
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if (Path(root) / name).is_symlink():
                raise FolderFault(
                    f"{Path(root) / name}: is a link, it may lead anywhere; "
                    "replace it by what it should be, or remove it"
                )
