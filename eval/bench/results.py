"""The benchmark's outcome as one JSON-able value: protocol, environment, rows per clip, timing rounds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fada.files.whole import write_json

SCHEMA_VERSION = 1


class ResultsError(ValueError):
    """A results file that cannot be read."""


@dataclass(frozen=True)
class BenchResults:
    """Everything the report is made from.

    Args:
        protocol: seed, clips, sizes, what the caller added, and ``fingerprint``, a hash over all of it.
        environment: versions and machine.
        systems: name, description, flags, expected NFE and notes, in the report's order.
        rows: one per (system or control, clip): ``metrics``, ``reasons`` of nulls, NFE, frames.
        timing: one per (round, system): seconds of the whole clip and of each stage.
        set_metrics: metrics over all clips of a system (Fréchet, kernel): value or null with reason, N, d, floor.
        folder: where rows, videos and latents lie; not part of the JSON.
    """

    protocol: dict[str, Any]
    environment: dict[str, Any]
    systems: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    timing: list[dict[str, Any]]
    set_metrics: list[dict[str, Any]] = field(default_factory=list)
    schema_version: int = SCHEMA_VERSION
    folder: Path | None = None

    @property
    def reference(self) -> str:
        """The reference system's name."""
        return next(system["name"] for system in self.systems if system["is_reference"])

    def system(self, name: str) -> dict[str, Any]:
        """The description of one system."""
        return next(system for system in self.systems if system["name"] == name)

    def rows_of(self, name: str) -> list[dict[str, Any]]:
        """The rows of one system or control, in the order of the clips."""
        return [row for row in self.rows if row["system"] == name]

    def values(self, name: str, metric: str) -> dict[str, float | None]:
        """A metric of one system by clip; clips without it are None."""
        return {row["clip"]: row["metrics"].get(metric) for row in self.rows_of(name)}

    def save(self, path: Path) -> None:
        """Writes ``results.json``, whole or not at all."""
        content = asdict(self)
        content.pop("folder")
        write_json(path, content)

    @classmethod
    def load(cls, path: Path) -> BenchResults:
        """Reads ``results.json``; ``folder`` becomes the file's own.

        Raises:
            ResultsError: no such file, no JSON, or another schema version.
        """
        content = read_json(path)
        found = content.get("schema_version") if isinstance(content, dict) else None
        if found != SCHEMA_VERSION:
            raise ResultsError(f"{path}: schema_version must be {SCHEMA_VERSION}, got {found!r}; run the bench again")
        return cls(**content, folder=path.parent)


def fingerprint(content: Any) -> str:
    """Sixteen hex digits over a JSON-able value, independent of the order of keys."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_json(path: Path) -> Any:
    """The file's content.

    Raises:
        ResultsError: no such file, or not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ResultsError(f"{path}: no such file; run the bench first") from None
    except (ValueError, RecursionError) as problem:
        raise ResultsError(f"{path}: is not JSON ({problem}); delete it and run the bench again") from None


def kept_json(path: Path) -> dict[str, Any]:
    """What a file keeps of earlier work: nothing where it is missing, damaged, or no JSON object."""
    try:
        content = read_json(path)
    except (ResultsError, OSError):
        return {}
    return content if isinstance(content, dict) else {}
