"""Who is seen in a source, as far as its name tells: a list that the user gives, or else where the file lies.

Data sets keep a folder per person and number the files in it, so a file's bare name says nothing. Persons that appear
in several places are told by their faces (`fada data split --face-embedder`, fada/data/clips/face_identities.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple


class Identity(NamedTuple):
    """A person's name, and what says so."""

    name: str
    origin: Literal["list", "path", "embedding"]


def relative_names(files: Iterable[Path], folders: Iterable[Path]) -> dict[Path, str]:
    """A name for each file without its extension: its path below the given folder, the bare name of one given outright.

    Where that is the same for files of different places, as many of the folders above as it takes are put before it.
    Files that differ in the extension only share a name.
    """
    folders = list(folders)
    names: dict[Path, str] = {}
    depths: dict[Path, int] = {}
    for file in files:
        root = next((folder for folder in folders if file.is_relative_to(folder)), file.parent)
        depths[file] = len(file.relative_to(root).parts)
        names[file] = _last_parts(file, depths[file])
    while True:
        places: dict[str, set[Path]] = {}
        for file, name in names.items():
            places.setdefault(name, set()).add(file.absolute().with_suffix(""))
        shared = [file for file, name in names.items() if len(places[name]) > 1]
        if not shared:
            return names
        for file in shared:
            depths[file] += 1
            names[file] = _last_parts(file, depths[file])


def _last_parts(file: Path, depth: int) -> str:
    return "/".join(file.absolute().with_suffix("").parts[-depth:])


class KnownIdentities:
    """Which names the sources of a folder of clips have, from call to call: a name stays with its source.

    A second source of the same relative name, in a later call with another folder, gets a longer one.

    Args:
        listed: persons by path below the given folder, or by file name.
        names: see :func:`relative_names`.
        earlier: what earlier calls made: name, place and SHA-256 of each source that is named by its path.
    """

    def __init__(
        self,
        listed: Mapping[str, str] | None,
        names: Mapping[Path, str],
        earlier: Iterable[tuple[str, Path, str]] = (),
    ) -> None:
        self._listed, self._names = listed or {}, names
        self._owners: dict[str, list[tuple[Path, str]]] = {}
        for name, place, sha256 in earlier:
            self._owners.setdefault(name, []).append(_owner(place, sha256))

    def of(self, file: Path, sha256: str) -> Identity:
        """Who is seen in a source."""
        name = self._names[file]
        listed = self._listed.get(f"{name}{file.suffix}", self._listed.get(file.name))
        if listed is not None:
            return Identity(listed, "list")
        own = _owner(file, sha256)
        depth = len(name.split("/"))
        while not self._is_free(name, own) and depth < len(own[0].parts):
            depth += 1
            name = _last_parts(file, depth)
        self._owners.setdefault(name, []).append(own)
        return Identity(name, "path")

    def _is_free(self, name: str, own: tuple[Path, str]) -> bool:
        # Moved or encoded anew it is still the same source.
        return all(place == own[0] or sha256 == own[1] for place, sha256 in self._owners.get(name, ()))


def _owner(file: Path, sha256: str) -> tuple[Path, str]:
    return file.absolute().with_suffix(""), sha256
