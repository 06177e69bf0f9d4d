"""A folder of files on this machine, or in an object store by its URL (s3://bucket/folder, and whatever fsspec knows).

Knows how files get in and out whole: here they appear by renaming, in a store an object appears by itself. What is in
them is for others to know.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fada.files.whole import put_whole, temporary_name
from fada.terminal import printable

# A URL that went through a Path, as an argument of a command line does, has lost a slash.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.+)")
_HERE = ("file", "local")
LARGEST_READ = 64 * 2**20
"""Bytes of a file that is read at once, as an index is."""


class LocationError(ValueError):
    """A folder that cannot be reached; the message names it and says what to do."""


class UnexpectedSize(ValueError):
    """A file in a store of another size than it should have."""


class Location:
    """One folder. A missing file is a FileNotFoundError, wherever the folder is.

    Args:
        place: a path, or a URL.

    Raises:
        LocationError: no fsspec package for the URL's protocol.
    """

    def __init__(self, place: str | Path | Location) -> None:
        url = _URL.fullmatch(str(place))
        self.folder: Path | None = None
        self._store: Any = None
        if url is None or url[1] in _HERE:
            self.folder = Path(str(place) if url is None else "/" + url[2])
            self._name = str(self.folder)
        else:
            self._name = f"{url[1]}://{url[2].rstrip('/')}"
            self._store, self._root = _store_of(self._name)

    def __str__(self) -> str:
        return self._name

    def __truediv__(self, name: str) -> Location:
        check_file_name(name)
        return Location(f"{self}/{name}")

    @property
    def is_here(self) -> bool:
        """Whether it is a folder of this machine."""
        return self.folder is not None

    def read(self, name: str) -> bytes:
        """What a small file holds.

        Raises:
            LocationError: it has more than `LARGEST_READ` bytes, or is no ordinary file.
        """
        check_file_name(name)
        if self.folder is not None:
            path = self.folder / name
            if path.exists() and not path.is_file():
                raise LocationError(f"{path}: is no ordinary file")
            with path.open("rb") as opened:
                data = opened.read(LARGEST_READ + 1)
        else:
            with self._reaching(name):
                # From the end of what is asked for on, nothing comes.
                data = bytes(self._store.cat_file(f"{self._root}/{name}", start=0, end=LARGEST_READ + 1))
        if len(data) > LARGEST_READ:
            raise LocationError(f"{self}/{name}: has more than {LARGEST_READ} bytes; it is not what it should be")
        return data

    def read_range(self, name: str, first: int, last: int) -> bytes:
        """Bytes `first` to `last` - 1 of a file; fewer where it ends before."""
        check_file_name(name)
        if self.folder is not None:
            with (self.folder / name).open("rb") as opened:
                opened.seek(first)
                return opened.read(last - first)
        with self._reaching(name):
            return bytes(self._store.cat_file(f"{self._root}/{name}", start=first, end=last))

    @contextmanager
    def fetched(self, name: str, size: int | None = None) -> Iterator[Path]:
        """The file on this machine: itself, or a copy that goes with the block.

        Args:
            size: bytes that it should have; of a store nothing else is copied.

        Raises:
            UnexpectedSize: what lies in the store has another size.
        """
        check_file_name(name)
        if self.folder is not None:
            if not (self.folder / name).is_file():
                raise FileNotFoundError(f"{self}/{name}")
            yield self.folder / name
            return
        with tempfile.TemporaryDirectory(prefix="fada-") as scratch:
            file = Path(scratch) / name
            with self._reaching(name):
                found = None if size is None else self._store.info(f"{self._root}/{name}").get("size")
            if size is not None and found is not None and int(found) != size:
                raise UnexpectedSize(f"has {found} bytes, the index says {size}")
            with self._reaching(name):
                self._store.get_file(f"{self._root}/{name}", str(file))
            yield file

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A place on this machine to write files that `put` then takes; it goes with the block.

        What a killed process leaves is a leftover of whole.py, for whoever holds the folder to clear.
        """
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            scratch = self.folder / temporary_name("")
            os.mkdir(scratch)
            try:
                yield scratch
            finally:
                shutil.rmtree(scratch)
            return
        with tempfile.TemporaryDirectory(prefix="fada-") as made:
            yield Path(made)

    def put(self, file: Path, name: str) -> None:
        """Move a file of `scratch` into the folder, where it is seen whole or not at all.

        Raises:
            LocationError: the store does not take it.
        """
        check_file_name(name)
        if self.folder is not None:
            put_whole(file, self.folder / name)
            return
        with self._reaching(name, is_written=True):
            self._store.put_file(str(file), f"{self._root}/{name}")
        file.unlink()

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        check_file_name(name)
        if self.folder is not None:
            (self.folder / name).unlink(missing_ok=True)
            return
        try:
            with self._reaching(name):
                self._store.rm(f"{self._root}/{name}")
        except FileNotFoundError:
            pass

    def files(self) -> list[str]:
        """Names of the files in the folder, sorted; none where there is no such folder."""
        return self._names("file")

    def folders(self) -> list[str]:
        """Names of the folders in the folder, sorted."""
        return self._names("directory")

    def _names(self, kind: str) -> list[str]:
        if self.folder is not None:
            entries = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
            names = [entry.name for entry in entries if entry.is_dir() == (kind == "directory")]
            return [name for name in names if _is_file_name(name)]
        # Stores remember listings; another process may have written since.
        self._store.invalidate_cache()
        try:
            with self._reaching():
                found = self._store.ls(self._root, detail=True)
        except FileNotFoundError:
            return []
        names = [entry["name"].rstrip("/").rpartition("/")[2] for entry in found if entry["type"] == kind]
        # A store may hold names that no file system would: nothing here is called so.
        return sorted(name for name in names if _is_file_name(name))

    @contextmanager
    def _reaching(self, name: str = "", is_written: bool = False) -> Iterator[None]:
        """Whatever a store raises becomes one error; a missing file stays one where it is read."""
        try:
            yield
        except Exception as error:
            if isinstance(error, FileNotFoundError) and not is_written:
                raise
            raise LocationError(
                f"{self}{'/' if name else ''}{name}: cannot be {'written' if is_written else 'read'} "
                f"({type(error).__name__}: {error}); check the address, the credentials and the network"
            ) from error


def check_file_name(name: str) -> None:
    """Raises LocationError where a name is none of a file in its folder: it leads out, or has what no name has."""
    if not _is_file_name(name):
        raise LocationError(f"{printable(name, 80)!r}: is no name of a file; names have no / and no \\, and are not ..")


def _is_file_name(name: str) -> bool:
    return name not in ("", ".", "..") and name.isprintable() and not {"/", "\\"} & set(name) and len(name) <= 255


def _store_of(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it."""
    # Comes with torch; what it needs for a store comes with an extra.
    from fsspec.core import url_to_fs

    try:
        store, root = url_to_fs(url)
    except ImportError as error:
        raise LocationError(
            f"{url}: {error}; s3:// comes with: pip install 'fada[cluster]', other stores with the package named here"
        ) from error
    except ValueError as error:
        raise LocationError(f"{url}: {error}; give a path, or a URL such as s3://bucket/folder") from error
    return store, root
