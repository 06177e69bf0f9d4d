"""Which files the studio may show: those below the folders that it was started with, reached by no link.

The page names places as NUMBER/FOLDER/FILE: the number of a folder that is allowed, and the way inside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from fada.files.errors import FolderFault
from fada.files.folders import inside

DEEPEST = 8
"""Folders below an allowed one that are looked into."""
MOST = 20_000
"""Folders that are looked into at all."""
LONGEST = 4096
"""Letters of a place."""
_UNSEEN = {"work", "rows", "checkpoints", "node_modules"}
"""Names of folders that hold much and nothing that a list shows."""


class NotAllowed(ValueError):
    """A place that is not below the allowed folders, or not there."""


class AllowedFolders:
    """The folders that were named when the studio was started, by their real paths.

    Raises:
        NotAllowed: one of them is no folder, or none was named.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        for folder in folders:
            if not folder.is_dir():
                raise NotAllowed(f"{folder}: no such folder; name folders with runs, models, clips or reports")
        if not folders:
            raise NotAllowed("no folder is named; name those with runs, models, clips or reports")
        self.roots = tuple(dict.fromkeys(Path(os.path.realpath(folder)) for folder in folders))

    def find(self, place: object) -> Path:
        """The path of a place.

        Raises:
            NotAllowed: it is no place in an allowed folder, leads over a link, or nothing is there.
        """
        if not isinstance(place, str) or len(place) > LONGEST:
            raise NotAllowed("not a place in an allowed folder")
        number, *names = place.rstrip("/").split("/")
        if not (number.isascii() and number.isdecimal()) or int(number) >= len(self.roots):
            raise NotAllowed(f"{place[:80]!r}: is in none of the allowed folders")
        try:
            path = inside(self.roots[int(number)], *names)
        except FolderFault as error:
            raise NotAllowed(str(error)) from None
        if not path.exists():
            raise NotAllowed(f"{self.shown(path)}: is not there; it may have been moved, reload the page")
        return path

    def place(self, path: Path) -> str:
        """How the page names a path below an allowed folder; of several that hold it, the first."""
        for number, root in enumerate(self.roots):
            if path.is_relative_to(root):
                return "/".join([str(number), *path.relative_to(root).parts])
        raise NotAllowed(f"{path}: is in none of the allowed folders")

    def shown(self, path: Path) -> str:
        """A path for people: with the name of the allowed folder in front, where there are several."""
        for root in self.roots:
            if path.is_relative_to(root):
                relative = path.relative_to(root)
                return str(Path(root.name) / relative) if len(self.roots) > 1 or path == root else str(relative)
        return path.name

    def named(self, path: Path) -> dict[str, str]:
        """Place and label of a path, for a list of the page."""
        return {"place": self.place(path), "label": self.shown(path)}

    def walk(self) -> Iterator[Path]:
        """The allowed folders and those in them, each once, by name; no link is followed and nothing hidden is seen."""
        seen: set[Path] = set()
        for root in self.roots:
            below = [(root, 0)]
            while below and len(seen) < MOST:
                folder, depth = below.pop()
                if folder in seen:
                    continue
                seen.add(folder)
                yield folder
                if depth < DEEPEST:
                    below += [(inner, depth + 1) for inner in reversed(_folders_in(folder))]


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [each.name for each in entries if each.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if not name.startswith(".") and name not in _UNSEEN]
