"""Logs: a JSON value per line, added one by one; what a crash leaves half is no line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fada.files.whole import write_text


def append_line(path: Path, content: dict[str, Any]) -> None:
    """Add a line, on disk when this returns; a link is not followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
    with os.fdopen(descriptor, "ab") as file:
        file.write(json.dumps(content).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log that are whole; nothing where there is no such file."""
    return _whole_lines(path.read_bytes()) if path.is_file() else []


def read_tail(path: Path, most: int) -> list[dict[str, Any]]:
    """The whole lines among so many bytes at the end of a log; nothing where there is no such file."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - most))
        return _whole_lines(file.read())


def _whole_lines(data: bytes) -> list[dict[str, Any]]:
    found = []
    for line in data.split(b"\n"):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict):
            found.append(content)
    return found


def keep_steps(path: Path, last: int) -> None:
    """Write a log again with the lines whose `step` is at most `last`; those that are not whole, or have none, go."""
    if not path.is_file():
        return
    kept = [line for line in read_lines(path) if isinstance(line.get("step"), int) and line["step"] <= last]
    write_text(path, "".join(f"{json.dumps(line)}\n" for line in kept))
