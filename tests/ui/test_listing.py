"""What is found below the allowed folders."""

from __future__ import annotations

import json
from pathlib import Path

from fada.files.folders import MARK
from fada.ui.allowed_folders import AllowedFolders
from fada.ui.listing import listing_of


def put(file: Path, text: str = "{}") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_runs_models_clips_and_reports_are_told_apart(tmp_path: Path) -> None:
    run = tmp_path / "run"
    put(run / MARK, json.dumps({"kind": "run"}))
    put(run / "recipe.yaml", "distill: {phases: [{name: b}, {name: a}]}")
    for name in ("teacher", "students/a", "students/b", "students/a.aside-1"):
        put(run / name / "model_index.json")
    put(run / "report" / "index.html")
    put(run / "report" / "results.json")
    put(tmp_path / "exported" / "model_index.json")
    put(tmp_path / "exported" / "vae" / "model_index.json")
    put(tmp_path / "talks" / "scores.parquet")
    put(tmp_path / "site" / "index.html")
    found = listing_of(AllowedFolders([tmp_path]))
    root = tmp_path.resolve()
    assert found.runs == [root / "run"]
    models = [each.relative_to(root).as_posix() for each in found.models]
    assert models == ["exported", "run/teacher", "run/students/b", "run/students/a"]
    assert found.clips == [root / "talks"]
    assert found.reports == [root / "run" / "report"]


def test_files_that_are_links_make_nothing_of_a_folder(tmp_path: Path) -> None:
    put(tmp_path / "real" / "model_index.json")
    (tmp_path / "shown" / "a").mkdir(parents=True)
    (tmp_path / "shown" / "a" / "model_index.json").symlink_to(tmp_path / "real" / "model_index.json")
    (tmp_path / "shown" / "b").symlink_to(tmp_path / "real")
    assert listing_of(AllowedFolders([tmp_path / "shown"])).models == []
