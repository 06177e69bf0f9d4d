"""Shards in an object store: a real S3 server on this machine, reached through fsspec as any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from fada.cli.app import run
from fada.data.audio.features import LogMelEncoder
from fada.data.clips.clip import Clip, write_clip
from fada.data.shards.location import Location, LocationError
from fada.data.shards.reading import DamagedShardWarning, Sample, ShardError, read_index, read_shards, write_shards
from fada.media.image import read_image
from fada.packing.encode import encode_shards
from fada.packing.tools import Tools
from fada.run.data import prepare_data
from fada.teacher.vae import new_vae


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a fresh bucket, found as on any machine: by the environment."""
    import boto3
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    # Clients remember the environment in which they were made.
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    yield "s3://bucket"
    for entry in client.list_objects_v2(Bucket="bucket").get("Contents", []):
        client.delete_object(Bucket="bucket", Key=entry["Key"])
    client.delete_bucket(Bucket="bucket")
    client.close()
    s3fs.S3FileSystem.clear_instance_cache()


def sample(number: int) -> Sample:
    return Sample(f"clip-{number}", {"split": "train"}, latents=torch.full((2, 1, 2, 2), float(number)))


def keys(url: str) -> list[str]:
    return [each.key for each in read_shards(url)]


def test_shards_are_encoded_from_a_store_into_it_as_on_disk_and_once(bucket: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = [
        Sample(
            f"k{number}", {"split": "train"}, rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8), np.zeros(1920, "f4")
        )
        for number in range(3)
    ]
    write_shards(samples, f"{bucket}/raw/train", 2)
    write_shards(samples, tmp_path / "raw/train", 2)
    torch.manual_seed(0)
    encoders = (new_vae((8, 16), 4).eval(), LogMelEncoder(8))
    encode_shards(str(tmp_path / "raw"), str(tmp_path / "out"), lambda: Tools(*encoders))
    encode_shards(f"{bucket}/raw", f"{bucket}/out", lambda: Tools(*encoders))
    here, there = Location(tmp_path / "out/train"), Location(f"{bucket}/out/train")
    names = [name for name in here.files() if not name.startswith(".")]
    assert names == there.files()
    assert [here.read(name) for name in names] == [there.read(name) for name in names]
    there.remove(read_index(there).shards[1].name)
    assert encode_shards(f"{bucket}/raw", f"{bucket}/out", lambda: Tools(*encoders)).resumed == {str(there): 1}
    assert [here.read(name) for name in names] == [there.read(name) for name in names]
    with pytest.raises(ShardError, match=r"is the input .*, or one holds the other"):
        encode_shards(f"{bucket}/raw", f"{bucket}/raw/train", lambda: Tools(*encoders))


def test_samples_come_back_and_another_writing_replaces_them(bucket: str) -> None:
    index = write_shards((sample(number) for number in range(5)), f"{bucket}/shards", 2, {"vae": "abc"})
    assert read_index(f"{bucket}/shards") == index
    assert keys(f"{bucket}/shards") == [f"clip-{number}" for number in range(5)]
    (one,) = (each for each in read_shards(f"{bucket}/shards", shuffle_seed=1) if each.key == "clip-3")
    assert torch.equal(one.latents, torch.full((2, 1, 2, 2), 3.0))  # type: ignore[arg-type]
    write_shards([sample(7)], f"{bucket}/shards", 2, overwrite=True)
    assert keys(f"{bucket}/shards") == ["clip-7"]
    assert len(Location(f"{bucket}/shards").files()) == 3


def test_an_interrupted_writing_leaves_the_earlier_shards(bucket: str) -> None:
    write_shards([sample(0), sample(1)], bucket, 1)
    before = Location(bucket).files()

    def interrupted() -> Iterator[Sample]:
        yield sample(2)
        yield sample(3)
        assert len(Location(bucket).files()) == 6
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(interrupted(), bucket, 1, overwrite=True)
    assert Location(bucket).files() == before
    assert keys(bucket) == ["clip-0", "clip-1"]


def test_a_killed_writing_leaves_the_earlier_index_valid_and_the_next_one_clears(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards([sample(0)], bucket, 1)
    with monkeypatch.context() as killed:
        killed.setattr(Location, "remove", lambda *_: None)
        with pytest.raises(ZeroDivisionError):
            write_shards((sample(1 // (1 - number)) for number in range(2)), bucket, 1, overwrite=True)
    assert len(Location(bucket).files()) == 4
    assert keys(bucket) == ["clip-0"]
    write_shards([sample(4)], bucket, 1, overwrite=True)
    assert keys(bucket) == ["clip-4"]
    assert len(Location(bucket).files()) == 3


def test_a_missing_shard_is_named_as_damage(bucket: str) -> None:
    index = write_shards([sample(0), sample(1)], bucket, 1)
    Location(bucket).remove(index.shards[0].name)
    with pytest.warns(
        DamagedShardWarning, match=rf"s3://bucket: 1 damaged .*{index.shards[0].name}/\*: the shard is mis"
    ):
        assert keys(bucket) == ["clip-1"]


def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    with pytest.raises(
        LocationError, match=r"s3://no-bucket/x/shard-\S* cannot be written \(FileNotFoundError: .*bucket"
    ):
        write_shards([sample(0)], "s3://no-bucket/x", 1)


def test_clips_are_packed_looked_at_and_trained_from_a_url(bucket: str, tmp_path: Path, smoke, capfd) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        frames = rng.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
        sound = np.zeros(8 * 640, np.float32)
        write_clip(tmp_path / "clips", Clip(f"{split}-clip", frames, sound, meta={"split": split, "quality": "A"}))
    assert run(["data", "shard", str(tmp_path / "clips"), "--out", f"{bucket}/shards"]) == 0
    assert capfd.readouterr().out.splitlines() == [
        f"{bucket}/shards/{split}: 1 clips in 1 shards" for split in ("test", "train")
    ]
    assert run(["data", "inspect", f"{bucket}/shards", "--sheet", str(tmp_path / "sheet.png")]) == 0
    out = capfd.readouterr().out
    assert f"{bucket}/shards/train" in out
    assert "1 readable of 1" in out
    assert read_image(tmp_path / "sheet.png").shape[0] > 2 * 32
    shards = [f"data.{split}_shards={bucket}/shards/{split}" for split in ("train", "test")]
    data = prepare_data(smoke(tmp_path / "run", "data.world=null", *shards), tmp_path / "run", Console(quiet=True))
    assert [clip.key for clip in data.train] == ["train-clip"]
    assert [clip.key for clip in data.test] == ["test-clip"]
