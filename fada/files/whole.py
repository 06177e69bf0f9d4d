"""Writing whole: files and folders appear under their names complete and synced, or not at all.

Temporary names cannot be guessed and are opened without following links; the data is on disk before the rename, and the
rename before the call returns. What a power cut leaves behind is a leftover of a name of its own, never half a file.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fada.files.errors import FolderFault
from fada.files.manifest import list_files, read_manifest, write_manifest

_LEFTOVER = re.compile(r"\.fada-[0-9a-f]{16}\.partial(\..{1,20})?")
"""Names that only this module gives; nobody else's file is ever taken for a leftover."""


@contextmanager
def whole_file(path: str | os.PathLike[str], *, is_synced: bool = True) -> Iterator[Path]:
    """A temporary file beside `path`, with its extension, that takes its place when the block ends without an error.

    A link at `path` is replaced, not followed. Parent folders are made.

    Args:
        is_synced: whether a power cut leaves it whole too; False for what can be made again and is checked when read.
    """
    path = Path(path)
    temporary = path.parent / temporary_name(path.suffix)
    try:
        _make(temporary)
    except FileNotFoundError:
        # Only then: of a cache's many small files the folder is there but for the first.
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(temporary)
    try:
        yield temporary
        put_whole(temporary, path, is_synced=is_synced)
    finally:
        temporary.unlink(missing_ok=True)


def _make(temporary: Path) -> None:
    """Made here, and only here: a link that lies in wait under this name makes it fail."""
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))


def put_whole(file: Path, path: Path, *, is_synced: bool = True) -> None:
    """Give a finished file its name in the same file system; whatever has that name is replaced.

    Args:
        is_synced: its data is on disk before, the name before this returns.
    """
    if is_synced:
        sync(file)
    os.replace(file, path)
    if is_synced:
        sync(path.parent)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file, see `whole_file`."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.write(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a whole text file, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], content: Any, indent: int | None = 1) -> None:
    """Write a whole JSON file; NaN and infinity, which JSON does not know, are a ValueError."""
    write_text(path, json.dumps(content, indent=indent, allow_nan=False) + "\n")


@contextmanager
def whole_folder(path: str | os.PathLike[str], *, has_manifest: bool = True) -> Iterator[Path]:
    """A new folder beside `path` that takes its name when the block ends without an error.

    Whatever has that name by then, but an empty folder, is set aside under a name of its own, never removed.

    Args:
        has_manifest: list size and SHA-256 of every file in `manifest.json`, so that `find_fault` knows it whole.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / temporary_name("")
    os.mkdir(temporary)
    try:
        yield temporary
        if has_manifest:
            write_manifest(temporary)
        sync_tree(temporary)
        set_aside(path)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)


def name_unless_there(finished: Path, folder: Path) -> None:
    """Give a finished folder its name; one of that name, which another process finished first, stays."""
    try:
        os.rename(finished, folder)
    except OSError:
        if not folder.is_dir():
            raise


def link_or_copy(file: Path, to: Path) -> None:
    """A second name for a file, or its copy: on another disk, or on a file system without hard links."""
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)


def set_aside(path: Path) -> Path | None:
    """Give what has this name another one, `NAME.aside-1` and so on, and return it; None where nothing is there.

    An empty folder is removed instead: nothing is lost with it.
    """
    if not path.is_symlink() and path.is_dir() and not any(path.iterdir()):
        path.rmdir()
        return None
    if not path.is_symlink() and not path.exists():
        return None
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.aside-{number}")):
        number += 1
    os.rename(path, aside)
    sync(path.parent)
    return aside


def remove_listed(folder: Path) -> bool:
    """Remove a folder that its manifest lists whole; one that holds anything else stays as it is.

    It goes from its name first, so that nobody finds a part of it. Returns whether it went.
    """
    try:
        listed = set(read_manifest(folder)["files"])
    except (OSError, ValueError):
        return False
    has_links = any(entry.is_symlink() for entry in (folder, *folder.rglob("*")))
    if has_links or not set(list_files(folder)) <= listed:
        return False
    going = folder.with_name(temporary_name(""))
    os.rename(folder, going)
    shutil.rmtree(going)
    return True


def is_leftover(name: str) -> bool:
    """Whether a name is one that `whole_file` and `whole_folder` give until what they write is whole."""
    return _LEFTOVER.fullmatch(name) is not None


def clear_leftovers(folder: Path) -> None:
    """Remove what `whole_file` and `whole_folder` left in a folder when they were killed.

    Only for whoever holds the folder's lock: a writer that is still at work would lose its file.
    """
    for entry in folder.iterdir() if folder.is_dir() else ():
        if not is_leftover(entry.name):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def sync(path: Path) -> None:
    """Have what a file or folder holds on disk before this returns."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder, and say so.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """`sync` a folder and everything in it; links are a FolderFault, as nothing of ours is one."""
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if (Path(root) / name).is_symlink():
                raise FolderFault(f"{Path(root) / name}: is a link; files are written as they are, not as links")
        for name in files:
            sync(Path(root) / name)
        sync(Path(root))


def temporary_name(suffix: str) -> str:
    """A name that no one can guess and that `clear_leftovers` knows; with an extension where that is a short one."""
    # Short, whatever the final name: together with a long one it would pass the 255 bytes of a file name. Writers that
    # choose a format by extension need that to stay.
    kept = suffix if len(suffix.encode()) <= 20 else ""
    return f".fada-{secrets.token_hex(8)}.partial{kept}"
