"""Where ``fada data prepare`` works, as its options say."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"workers": 2, "cluster": None, "timeout_minutes": 240.0}),
        (["--workers", "5", "--timeout-minutes", "9"], {"workers": 5, "cluster": None, "timeout_minutes": 9.0}),
        (["--cluster", "ray"], {"workers": None, "cluster": "ray", "timeout_minutes": 240.0}),
        (["--cluster", "ray=head:6379", "--workers", "3"], {"workers": 3, "cluster": "ray=head:6379"}),
    ],
)
def test_workers_limit_and_cluster_are_handed_on(cli, monkeypatch, arguments, expected) -> None:
    from fada.data import prepare

    seen: dict[str, Any] = {}

    def prepare_videos(videos: list[Path], out: Path, **options: Any) -> SimpleNamespace:
        seen.update(options)
        return SimpleNamespace(tables=lambda: [])

    monkeypatch.setattr(prepare, "prepare_videos", prepare_videos)
    outcome = cli("data", "prepare", "a.mp4", "--out", "clips", "--face-landmarker", "f.task", *arguments)
    assert outcome.code == 0
    assert expected.items() <= seen.items()


def test_another_kind_of_cluster_is_refused_in_one_line(cli, tmp_path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "f.task").touch()
    where = (str(tmp_path / "a.mp4"), "--out", str(tmp_path / "clips"), "--face-landmarker", str(tmp_path / "f.task"))
    outcome = cli("data", "prepare", *where, "--cluster", "slurm")
    assert outcome.code == 2
    assert "no cluster of kind 'slurm'; give ray" in outcome.err
