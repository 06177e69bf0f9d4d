"""What lies in the allowed folders: runs, models, scored clips, reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fada.data.scores.table import TABLE_FILE
from fada.export.run_models import INDEX, models_of
from fada.files.folders import kind_of
from fada.recipe.earlier import RUN
from fada.ui.allowed_folders import AllowedFolders

REPORT = "index.html"
_RESULTS = "results.json"
"""Lies beside the page of every report."""


@dataclass(frozen=True)
class Listing:
    """Folders of each kind, in the order of their names."""

    runs: list[Path] = field(default_factory=list)
    models: list[Path] = field(default_factory=list)
    clips: list[Path] = field(default_factory=list)
    reports: list[Path] = field(default_factory=list)


def listing_of(allowed: AllowedFolders) -> Listing:
    """What is there now."""
    found = Listing()
    for folder in allowed.walk():
        if kind_of(folder) == RUN:
            found.runs.append(folder)
            found.models.extend(models_of(folder).values())
        elif _holds(folder, INDEX) and folder not in found.models and not _is_inside(folder, found.models):
            found.models.append(folder)
        if _holds(folder, TABLE_FILE):
            found.clips.append(folder)
        if _holds(folder, REPORT) and _holds(folder, _RESULTS):
            found.reports.append(folder)
    return found


def _holds(folder: Path, name: str) -> bool:
    file = folder / name
    return file.is_file() and not file.is_symlink()


def _is_inside(folder: Path, models: list[Path]) -> bool:
    # What was set aside in a run has names that no model of it has.
    return ".aside-" in folder.name or any(model in folder.parents for model in models)
