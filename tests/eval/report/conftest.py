"""A written report, and a browser that opens its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fada.eval.bench.results import BenchResults
from fada.eval.report import write_report
from tests.chromium import PROGRAM, Chromium


@pytest.fixture(scope="session")
def written(results: BenchResults) -> dict[str, Path]:
    """A whole report of two clips."""
    return write_report(results, page_clips=2)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all tests; skips where there is none."""
    if PROGRAM is None:
        pytest.skip("no Chromium here: the page was read as HTML, and not run")
    opened = Chromium(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()
