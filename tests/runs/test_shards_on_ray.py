"""Shards made on a Ray cluster of this machine: the bytes of one process, whoever dies; and a GPU for each worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from fada.data.audio.features import LogMelEncoder
from fada.data.shards.reading import ShardError
from fada.data.workers.ray_crew import ClusterError, RayCrew
from fada.packing import shards
from fada.packing.encode import encode_shards
from fada.packing.shards import shard_clips
from fada.packing.tools import load_tools
from fada.teacher.vae import new_vae
from tests.ray_cluster import cluster_here
from tests.runs.mortal_encoders import load_mortal
from tests.runs.test_shard_clips import files, put_clip, put_landmarks
from tests.seen_gpus import start_seeing

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:ray", "ignore::ResourceWarning")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of two processors and, by its own account, two GPUs."""
    with cluster_here(ROOT, gpus=2):
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips, as shards of two by one process: `plain`, and with features in one go, `direct`."""
    folder = tmp_path_factory.mktemp("ray")
    for number in range(5):
        put_clip(folder / "clips", f"k{number}", split="train")
        put_landmarks(folder / "clips", f"k{number}")
    torch.manual_seed(0)
    new_vae((8, 16), 4).save_pretrained(str(folder / "vae"))
    LogMelEncoder(8).save_pretrained(folder / "audio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SAMPLES_PER_SHARD", 2)
        shard_clips(folder / "clips", folder / "plain")
        shard_clips(
            folder / "clips", folder / "direct", load=partial(load_tools, folder / "vae", folder / "audio", None)
        )
    return folder


def test_encoding_survives_a_killed_worker_and_writes_the_same_bytes(
    cluster, made: Path, tmp_path: Path, caplog
) -> None:
    mortal = partial(load_mortal, made / "vae", tmp_path / "died", os.getpid())
    encode_shards(str(made / "plain"), str(tmp_path / "out"), mortal, workers=1, cluster="ray")
    assert (tmp_path / "died").exists()
    assert len([said for said in caplog.messages if "its worker died" in said]) == 1
    assert files(tmp_path / "out", ".encode") == files(made / "direct")


@pytest.mark.slow
def test_packing_survives_a_killed_worker_and_writes_the_same_bytes(
    cluster, made: Path, tmp_path: Path, caplog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SAMPLES_PER_SHARD", 2)
    mortal = partial(load_mortal, made / "vae", tmp_path / "died", os.getpid())
    shard_clips(made / "clips", tmp_path / "out", load=mortal, workers=2, cluster="ray")
    assert (tmp_path / "died").exists()
    assert len([said for said in caplog.messages if "its worker died" in said]) == 1
    assert files(tmp_path / "out") == files(made / "direct")


def test_every_worker_has_a_gpu_of_its_own(cluster, tmp_path: Path) -> None:
    with RayCrew(None, None, start_seeing, tmp_path, source_of=lambda _: None, gone=str, gpus=1) as crew:
        assert crew.size == 2
        workers = [crew.hire(), crew.hire()]
        seen = [said(crew, worker) for worker in workers]
        for worker in workers:
            worker.kill()
    assert sorted(seen) == ["0", "1"]


def said(crew: RayCrew, worker: object) -> str:
    """What a worker answers to the task "gpu"."""
    answers: list[str] = []
    steps: list[Callable[[], None]] = [lambda: None, lambda: worker.give("gpu")]  # type: ignore[attr-defined]
    for step in steps:
        step()
        assert crew.wait([worker], 60) == [worker]  # type: ignore[list-item]
        answers.append(worker.take())  # type: ignore[attr-defined]
    return answers[-1]


def test_more_gpus_than_the_cluster_has_are_not_waited_for(cluster, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"has 2 GPUs, and each worker wants 3; .*--device cpu"):
        RayCrew(None, None, start_seeing, tmp_path, source_of=lambda _: None, gone=str, gpus=3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the GPU that the cluster says it has")
def test_a_machine_without_a_gpu_is_named(cluster, made: Path, tmp_path: Path) -> None:
    load = partial(load_tools, made / "vae", made / "audio")
    with pytest.raises(
        ShardError, match=r"cannot encode on 'cuda' \(.*\); give --device cpu, or work where there is one"
    ):
        encode_shards(str(made / "plain"), str(tmp_path / "out"), load, workers=1, cluster="ray", device="cuda")
    with pytest.raises(ShardError, match="cannot encode on 'cuda'"):
        encode_shards(str(made / "plain"), str(tmp_path / "here"), load, device="cuda")
