"""Six scored clips, one of them with a video, and the page that shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fada.data.inspection import write_page
from fada.data.scores import SCORES, decide
from fada.data.scores.thresholds import Limit, Thresholds
from fada.media.video import write_video

STRICT = Thresholds(
    "strict",
    {
        "blur": Limit(max=0.4),
        "offset": Limit(min=-1, max=1, unmeasured="fail"),
        "yaw": Limit(max=30),
    },
)
LENIENT = Thresholds("lenient", {"blur": Limit(max=0.6)})
VALUES: dict[str, dict[str, float | None]] = {
    "clean": {"blur": 0.1, "offset": 0.0, "yaw": 5.0},
    "near": {"blur": 0.39, "offset": 0.0, "yaw": 10.0},
    "soft": {"blur": 0.5, "offset": 1.0, "yaw": 40.0},
    "shapeless": {"blur": 0.88, "offset": 0.0, "yaw": 12.0},
    "silent": {"blur": 0.2, "offset": None, "yaw": 20.0},
    "turned": {"blur": 0.15, "offset": -1.0, "yaw": 55.0},
}
EXPECTED = {"clean": "A", "near": "A", "soft": "B", "shapeless": "out", "silent": "B", "turned": "B"}
NASTY = '</script><img src=x onerror=alert(1)> & "it\'s" <!-- \u2028'


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    """As ``fada data filter`` writes them."""
    made = []
    for index, (key, values) in enumerate(VALUES.items()):
        scores = dict.fromkeys(SCORES) | values
        facts = {"key": key, "identity": f"person {index % 2}", "split": "train" if index else "test", "source": NASTY}
        made.append({**facts, **decide(scores, STRICT, LENIENT).to_json(), **scores})
    return made


@pytest.fixture(scope="session")
def page(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, in a folder beside that of the clips; only "clean" has a video."""
    top = tmp_path_factory.mktemp("inspection")
    frames = np.full((10, 64, 64, 3), 200, np.uint8)
    write_video(top / "my clips" / "clean.mp4", frames, 25.0, np.zeros(6400, np.float32))
    (top / "my clips" / "near.mp4").write_bytes(b"damaged")
    (top / "pages").mkdir()
    limits = {"strict": STRICT.limits, "lenient": LENIENT.limits}
    return write_page(top / "my clips", rows, limits, top / "pages" / "inspect.html", {"strict": ["offset"]})
