"""Whether an output file can be written, found before hours of work go into it, and never at the cost of an input."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import typer


def check_output(out: Path, inputs: Iterable[Path], overwrite: bool, is_written_through: bool = False) -> None:
    """Know that a file can be made at a path.

    Args:
        inputs: of the same command; none of them is ever overwritten, whatever links lead to it.
        overwrite: whether a file that is there may be replaced.
        is_written_through: whether it is written in place as it grows, so that pipes and devices are fine.

    Raises:
        typer.BadParameter: it is an input, a folder, there already, or cannot be made.
    """
    try:
        found = os.lstat(out)
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise typer.BadParameter(f"--out {_shown(out)}: {_reason(error)}") from error
    for source in inputs:
        if _is_same(out, source):
            raise typer.BadParameter(f"--out {out}: is an input of this command ({source}); name another file")
    if out.is_dir():
        raise typer.BadParameter(f"--out {out}: is a folder; name a file in it")
    if found is not None and not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        if not is_written_through:
            raise typer.BadParameter(f"--out {out}: is no ordinary file; pipes and devices need --stream")
        return
    if found is not None and not overwrite:
        raise typer.BadParameter(f"--out {out}: is there already; add --overwrite to replace it, or name another file")
    _check_folder(out)


def _check_folder(out: Path) -> None:
    """The folder is there and can be written into, or can be made."""
    folder = out.absolute().parent
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise typer.BadParameter(f"--out {out}: {folder} is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise typer.BadParameter(f"--out {out}: no permission to write into {folder}")
    for part in out.parts:
        if len(os.fsencode(part)) > _longest_name(folder):
            raise typer.BadParameter(
                f"--out {_shown(out)}: a name in it is too long (over {_longest_name(folder)} bytes)"
            )


def _longest_name(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):
        return 255


def _is_same(first: Path, second: Path) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        # One of them is not there: then only their names can be one.
        return os.path.realpath(first) == os.path.realpath(second)


def _reason(error: OSError) -> str:
    if error.errno == errno.ENAMETOOLONG:
        return "a name in it is too long (over 255 bytes)"
    return error.strerror or str(error)


def _shown(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 80 else f"{text[:60]}…{text[-10:]}"
