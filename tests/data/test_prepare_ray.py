"""Preparing on a Ray cluster of this machine: the same clips as in processes, whatever dies."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path

import pytest
from drawn_talker import BLUE, ColourFinder, TrapFinder, talk, trap

import fada.data.prepare.videos as videos
from fada.data.prepare import ClusterError, PrepareProgress, PrepareReport, Reason, prepare_videos
from fada.data.prepare.executors import gone, load_attempt
from fada.data.workers.ray_crew import RayCrew
from tests.ray_cluster import cluster_here

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:ray", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of two processors, for this machine only."""
    with cluster_here(Path(__file__).parent):
        yield


def crew_of(out: Path) -> RayCrew:
    return RayCrew(None, 1, partial(load_attempt, ColourFinder), out, source_of=attrgetter("path"), gone=gone)


def prepare(folder: Path, out: Path, finder: type = TrapFinder, **options) -> PrepareReport:
    (folder / "model.task").write_bytes(b"model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(videos, "FaceFinder", finder)
        return prepare_videos([folder / "in"], out, face_landmarker_path=folder / "model.task", size=64, **options)


def test_a_killed_worker_and_a_hanging_source_cost_no_other_source(cluster, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(5):
        talk(tmp_path / "in" / f"v{number}.mp4", 1.2 + 0.2 * number)
    alone = prepare(tmp_path, tmp_path / "alone", ColourFinder)
    trap(tmp_path / "in" / "hangs.mp4", BLUE)
    killed: list[int] = []

    def kill_workers(told: PrepareProgress) -> None:
        """After the first source: both, the one at work and the one that waits for the next."""
        for file in tmp_path.glob("worker-*"):
            if not killed or told.done == 1:
                killed.append(int(file.name.removeprefix("worker-")))
                os.kill(killed[-1], signal.SIGKILL)

    report = prepare(tmp_path, tmp_path / "ray", cluster="ray", timeout_minutes=15 / 60, on_progress=kill_workers)
    assert killed
    hanging, *others = (replace(record, seconds_taken=0.0) for record in report.records)
    assert [rejection.reason for rejection in hanging.rejections] == [Reason.UNDECODABLE]
    assert "given up" in hanging.rejections[0].detail
    assert others == [replace(record, seconds_taken=0.0) for record in alone.records]
    names, of_ray = (
        {str(file.relative_to(tmp_path / out)) for file in (tmp_path / out).glob("??/*-*")} for out in ("alone", "ray")
    )
    assert names
    assert of_ray == names
    for name in names:
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert prepare(tmp_path, tmp_path / "ray", cluster="ray", timeout_minutes=15 / 60).resumed == 6


def test_a_machine_that_does_not_see_the_folder_is_named(cluster, tmp_path) -> None:
    with crew_of(tmp_path / "nowhere") as crew:
        worker = crew.hire()
        crew.wait([worker], 60)
        with pytest.raises(ClusterError, match=r"does not see .*nowhere: .* a disk that all machines see"):
            worker.take()
        worker.kill()


def test_ray_that_is_not_installed_names_the_extra(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "in").mkdir()
    talk(tmp_path / "in" / "a.mp4", 1.2)
    with pytest.raises(ClusterError, match=r"needs ray: .*pip install 'fada\[cluster\]'"):
        prepare(tmp_path, tmp_path / "out", cluster="ray")


def test_a_cluster_that_does_not_start_says_how_to_start_one(tmp_path, monkeypatch) -> None:
    ray = pytest.importorskip("ray")

    def init(address: str, **_: object) -> None:
        raise ConnectionError("none runs") if address == "auto" else Exception("the node timed out")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ClusterError, match=r"could not be started .*the node timed out\); .* ray start --head"):
        crew_of(tmp_path)


@pytest.mark.parametrize(
    ("cluster_name", "message"),
    [
        ("slurm", "no cluster of kind 'slurm'; give ray, or ray=ADDRESS"),
        ("ray=there", "HOST:PORT or ray://HOST:PORT, got 'there'"),
        ("ray=127.0.0.1:9", r"no Ray cluster at 127.0.0.1:9 .*start one there: ray start --head"),
    ],
)
def test_clusters_that_cannot_be_used_are_refused(tmp_path, monkeypatch, cluster_name, message) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    (tmp_path / "in").mkdir()
    talk(tmp_path / "in" / "a.mp4", 1.2)
    with pytest.raises(ClusterError, match=message):
        prepare(tmp_path, tmp_path / "out", cluster=cluster_name)
