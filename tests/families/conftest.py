"""The toy family's one line, as long as its tests run: to all others it is unknown."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fada import family

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module", autouse=True)
def _toy() -> Iterator[None]:
    from toy.family import TOY

    family.register(TOY)
    yield
    del family._registered["toy"]
