"""A small folder of drawn clips with known flaws; faces are told by the drawn truth, as no face model comes with us."""

from __future__ import annotations

from pathlib import Path

import pytest

from fada.data.scores import ScoredFolder, score_folder
from fada.data.world import FLAW_KINDS, make_world


@pytest.fixture(scope="session")
def flawed_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 clips of 2.4 s at 96 pixels: 10 clean, and one of every flaw."""
    folder = tmp_path_factory.mktemp("scores") / "world"
    make_world(folder, clips=20, size=96, frames=60, flawed_share=0.5, kinds=FLAW_KINDS)
    return folder


@pytest.fixture(scope="session")
def scored(flawed_world: Path) -> ScoredFolder:
    return score_folder(flawed_world)
