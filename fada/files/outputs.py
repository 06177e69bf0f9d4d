"""Folders that a command fills: apart from what it reads, ours, and held while it works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fada.files.errors import FolderFault
from fada.files.folders import MARK, check_folder, kind_of, take_folder
from fada.files.locks import locked
from fada.files.output_file import check_output
from fada.files.whole import clear_leftovers, write_json

DATA = frozenset([".mp4", ".wav", ".json", ".safetensors", ".tar", ".parquet"])
"""Extensions of what folders of clips and shards hold."""


@contextmanager
def output_folder(
    folder: Path,
    kind: str,
    doing: str,
    *,
    inputs: Iterable[Path] = (),
    was_ours: Callable[[Path], bool] = lambda folder: False,
) -> Iterator[None]:
    """Hold a folder that is filled while the block runs; it is made, or known as ours, and marked.

    Args:
        kind: of the folder, one word for its mark.
        doing: what others are told that it is held for.
        inputs: files and folders that the command reads.
        was_ours: whether an unmarked folder is one that an earlier version of fada filled, by files of its own in it.

    Raises:
        FolderFault: it holds an input or lies in one, is no folder, or holds what fada did not make.
        FolderBusy: another command works in it.
    """
    check_output_folder(folder, kind, inputs=inputs, was_ours=was_ours)
    if kind_of(folder) is None and folder.is_dir() and was_ours(folder):
        write_json(folder / MARK, {"kind": kind})
    take_folder(folder, kind)
    with locked(folder, doing):
        clear_leftovers(folder)
        yield


def check_output_folder(
    folder: Path,
    kind: str,
    *,
    inputs: Iterable[Path] = (),
    was_ours: Callable[[Path], bool] = lambda folder: False,
) -> None:
    """Raises FolderFault as `output_folder`, and changes nothing."""
    check_apart(folder, inputs)
    if not (folder.is_dir() and kind_of(folder) is None and was_ours(folder)):
        check_folder(folder, kind)


def check_apart(folder: Path, inputs: Iterable[Path]) -> None:
    """Know that an output folder and what is read have nothing in common, by whatever names.

    Raises:
        FolderFault: naming the input.
    """
    out = folder.resolve()
    for given in inputs:
        read = given.resolve()
        if read == out:
            raise FolderFault(f"{folder}: is the input {given}; give a folder of its own")
        if out in read.parents:
            raise FolderFault(f"{folder}: holds the input {given}; give a folder beside it, not around it")
        if read in out.parents:
            raise FolderFault(f"{folder}: lies in the input {given}, all of which is read; give a folder beside it")


def check_report(out: Path, read: Path, *, overwrite: bool = False) -> None:
    """Know that a file about a folder of data may be written: it replaces none of the data.

    Raises:
        FolderFault: it is there and a file of the data, or is there at all and may not be replaced.
    """
    check_output(out, read, overwrite=overwrite)
    if out.is_file() and out.suffix.lower() in DATA and read.resolve() in out.resolve().parents:
        raise FolderFault(f"{out}: is a file of the input {read}; give another name, an input is never overwritten")
