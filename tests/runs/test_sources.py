"""How a run's clips are drawn."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fada.run import sources


@pytest.mark.parametrize(
    ("clips", "processors", "workers"),
    # Clips of eight frames, and one that is held out: 48 frames, 960, 2000, and many.
    [(5, 8, 1), (119, 8, 1), (249, 8, 2), (10_000, 8, 4), (10_000, 3, 3)],
)
def test_processes_draw_a_world_where_each_has_more_to_draw_than_its_start_takes(
    smoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clips: int, processors: int, workers: int
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(sources, "make_world", lambda *_, **named: asked.append(named["workers"]))
    monkeypatch.setattr(sources, "usable_processors", lambda: processors)
    recipe = smoke(tmp_path, f"data.world.clips={clips}", "data.world.test_clips=1", "data.world.frames=8")
    sources.sources_of(recipe, tmp_path, Console(quiet=True))
    assert asked == [workers]
