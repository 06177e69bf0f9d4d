"""Size and SHA-256 of every file of a folder, written last: what is whole can be told from what is not."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


def write_manifest(folder: Path, files: dict[str, dict[str, Any]] | None = None, **facts: Any) -> None:
    """List everything in a folder, with facts beside `files` (JSON values); links are not listed.

    For folders that are being made: nobody reads them yet, so the file is written in place.

    Args:
        files: what `describe` said of each when it was written, where that is known already.
    """
    files = {name: describe(folder / name) for name in list_files(folder)} if files is None else files
    content = json.dumps({**facts, "files": files}, indent=1, allow_nan=False)
    (folder / MANIFEST).write_text(content + "\n", encoding="utf-8")


def describe(file: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file."""
    return {"bytes": file.stat().st_size, "sha256": hash_file(file)}


def read_manifest(folder: Path) -> dict[str, Any]:
    """A folder's manifest.

    Raises:
        FileNotFoundError: it has none.
        ValueError: it is no manifest: not JSON, not UTF-8, or without `files` that have sizes and hashes.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read as JSON ({error})") from error
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict) or not all(_is_entry(entry) for entry in files.values()):
        raise ValueError(f"{path}: is no manifest; it needs `files` with `bytes` and `sha256` of each")
    return dict(content)


def find_fault(folder: Path) -> str | None:
    """What is wrong with a folder, against its manifest; None for a whole one. Reads every byte of it."""
    try:
        files = read_manifest(folder)["files"]
    except FileNotFoundError:
        return f"incomplete, it has no {MANIFEST}"
    except (OSError, ValueError) as error:
        return f"its {MANIFEST} cannot be read ({error})"
    for name, expected in files.items():
        path = folder / name
        if _leads_out(name):
            return f"its {MANIFEST} names {name!r}, which is not in the folder"
        if path.is_symlink() or not path.is_file():
            return f"{name} is missing"
        size = path.stat().st_size
        if size != expected["bytes"]:
            return f"{name} has {size} bytes, {expected['bytes']} were written"
        if hash_file(path) != expected["sha256"]:
            return f"{name} is damaged (its SHA-256 differs from the one written)"
    return None


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_files(folder: Path) -> list[str]:
    """Paths in a folder, without its manifest and without links, sorted."""
    found = []
    for root, _, files in os.walk(folder):
        for name in files:
            path = Path(root) / name
            if not path.is_symlink() and path != folder / MANIFEST:
                found.append(path.relative_to(folder).as_posix())
    return sorted(found)


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("bytes"), int) and isinstance(entry.get("sha256"), str)


def _leads_out(name: str) -> bool:
    return not name or "\0" in name or name.startswith("/") or ".." in name.split("/")
