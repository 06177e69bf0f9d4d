"""``fada bench --processes``: who measures, who waits, who writes the report."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from fada.cli.bench_processes import measure_run
from fada.engine.loop import Interrupted

RECIPE = SimpleNamespace(engine=SimpleNamespace(timeout_minutes=1.0))


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch, calls: list) -> list:
    """What was done, in order; processes are only noted, and nothing is measured."""
    for name in ("RANK", "WORLD_SIZE", "FADA_STARTED_HERE"):
        monkeypatch.delenv(name, raising=False)
    noted: list = []
    build = sys.modules["fada.jobs"]
    monkeypatch.setattr(build, "bench", lambda *_: noted.append("report"), raising=False)
    monkeypatch.setattr(build, "bench_scales", lambda *_: noted.append("scales"), raising=False)
    monkeypatch.setattr(build, "bench_share", lambda *given: noted.append(("share", *given[2:])), raising=False)
    monkeypatch.setattr("fada.engine.launch.start_processes", lambda *given: noted.append(("start", *given)))
    monkeypatch.setattr("fada.engine.parallel.join", lambda timeout: noted.append("join"))
    return noted


def test_one_process_does_everything(done: list) -> None:
    measure_run(RECIPE, None, 1, ["bench", "run", "r.yaml"])
    assert done == ["report"]


def test_several_are_started_once_the_scales_are_known(done: list) -> None:
    measure_run(RECIPE, None, 3, ["bench", "run", "r.yaml"])
    assert done == ["scales", ("start", 3, ["bench", "run", "r.yaml"]), "report"]


def test_a_wish_to_stop_says_that_nothing_is_lost(done: list, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise Interrupted("stopped after a checkpoint")

    monkeypatch.setattr("fada.engine.launch.start_processes", stop)
    with pytest.raises(Interrupted, match="what was measured is kept, and the same command goes on"):
        measure_run(RECIPE, None, 2, [])
    assert done == ["scales"]


def test_a_started_process_only_measures_its_share(done: list, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "3"), ("FADA_STARTED_HERE", "1")):
        monkeypatch.setenv(name, value)
    measure_run(RECIPE, None, 1, [])
    assert done == ["join", ("share", 0, 3)]


def test_under_a_launcher_the_first_process_goes_on_to_the_report(done: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    measure_run(RECIPE, None, 4, [])
    assert done == ["join", "scales", ("share", 0, 2), "report"]
    done.clear()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("fada.engine.parallel.is_main", lambda: False)
    measure_run(RECIPE, None, 4, [])
    assert done == ["join", ("share", 1, 2)]


def test_the_verb_passes_recipe_and_overrides_on(cli, done: list) -> None:
    assert cli("bench", "recipes/tiny/demo.yaml", "bench.clips=1", "--processes", "2").code == 0
    assert done[1] == ("start", 2, ["bench", "run", "recipes/tiny/demo.yaml", "bench.clips=1"])
