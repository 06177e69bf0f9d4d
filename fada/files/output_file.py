"""Whether an output file can be written, found before hours of work go into it, and never at the cost of an input."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from fada.files.errors import FolderFault


def check_output(
    out: Path, *inputs: Path | None, overwrite: bool = False, is_written_through: bool | None = None
) -> None:
    """Know that a file can be made at a path.

    Args:
        inputs: of the same command; none of them is ever overwritten, whatever links lead to it.
        overwrite: whether a file that is there may be replaced.
        is_written_through: whether it is written in place as it grows (`--stream`), so that pipes and devices are fine;
            None of what never is.

    Raises:
        FolderFault: it is an input, a folder, there already, or cannot be made.
    """
    try:
        found = os.lstat(out)
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise FolderFault(f"{_shown(out)}: {_reason(error)}") from error
    for given in inputs:
        if given is not None and _is_same(out, given):
            raise FolderFault(f"{out}: is the input {given}; give another name, an input is never overwritten")
    if out.is_dir():
        raise FolderFault(f"{out}: is a folder; give the name of a file")
    if found is not None and not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        if is_written_through:
            return
        what_to_do = "give the name of a file" if is_written_through is None else "pipes and devices need --stream"
        raise FolderFault(f"{out}: is no ordinary file; {what_to_do}")
    if found is not None and not overwrite:
        raise FolderFault(f"{out}: exists; give another name, or --overwrite to replace it")
    _check_folder(out)


def _check_folder(out: Path) -> None:
    """The folder is there and can be written into, or can be made."""
    folder = out.absolute().parent
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise FolderFault(f"{out}: {folder} is no folder; give another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FolderFault(f"{out}: no permission to write into {folder}; give another place")
    longest = _longest_name(folder)
    if any(len(os.fsencode(part)) > longest for part in out.parts):
        raise FolderFault(f"{_shown(out)}: a name in it is too long (over {longest} bytes); give a shorter one")


def _longest_name(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):
        return 255


def _is_same(first: Path, second: Path) -> bool:
    """Whether two names mean one file: by its place, or, where it has several names, by itself."""
    try:
        return os.path.samefile(first, second)
    except OSError:
        # One of them is not there: then only their names can be one.
        return os.path.realpath(first) == os.path.realpath(second)


def _reason(error: OSError) -> str:
    if error.errno == errno.ENAMETOOLONG:
        return "a name in it is too long (over 255 bytes); give a shorter one"
    return error.strerror or str(error)


def _shown(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 80 else f"{text[:60]}…{text[-10:]}"
