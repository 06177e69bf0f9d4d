"""Samples per second and core: fada's reading beside webdataset's own pipeline and mosaicml-streaming, same bytes.

    python -m venv peers && peers/bin/pip install -e '.[cluster]' 'moto[server]' mosaicml-streaming
    peers/bin/python tests/scale/peers.py --clips 120 --rounds 3

Writes clips of 50 frames of 512x512 (latents, and twelve layers of wav2vec2-base) as fada's shards, which webdataset
reads too, and the same members as mosaicml's; puts both into an S3 server of this machine (moto). Every reader then
goes through one shuffled epoch, in a fresh process each, without workers, and makes of every clip a sample of twelve
frames with its audio windows; then through a second. Before the first the files' pages are dropped, and the local cache
is empty; opening a set is not counted. fada looks at every byte's checksum in the first epoch, the others do not.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from fada.data.sampling.dataset import BatchShape, ClipSampler, audio_windows
from fada.data.shards.parts_cache import PartsCache
from fada.data.shards.reading import Sample, read_index, write_shards
from fada.data.shards.shard_set import ShardSet
from fada.data.shards.stored_clips import StoredClips

FRAMES, WINDOW, CONTEXT, PER_SHARD = 50, 12, 2, 20
READERS = ("fada", "webdataset", "mosaicml-streaming")
PLACES = ("disk", "S3")
TOUCHED = 2**30
"""Bytes of memory that are touched before every epoch."""
EPOCHS = ("first epoch, nothing cached", "second epoch")
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


def make_sets(folder: Path, clips: int) -> None:
    """The same clips as shards in `shards` and as mosaicml's in `mds`."""
    from streaming import MDSWriter

    torch.manual_seed(0)
    samples = (
        Sample(
            f"clip-{number:06d}",
            {"quality": "A", "split": "train"},
            latents=torch.randn(FRAMES, 4, 64, 64).half(),
            audio_states=torch.randn(FRAMES, 12, 768).bfloat16(),
        )
        for number in range(clips)
    )
    write_shards(samples, folder / "shards", PER_SHARD)
    found = ShardSet(folder / "shards")
    columns = {"key": "str", "latents": "bytes", "states": "bytes"}
    with MDSWriter(out=str(folder / "mds"), columns=columns) as writer:
        for number in range(clips):
            shard = found.index.shards[int(found.table.shard[number])].name
            members = found._files.read_parts(shard, found.table.members_of(number))
            writer.write(
                {
                    "key": found.table.key_of(number),
                    "latents": members["latents.safetensors"],
                    "states": members["states.safetensors"],
                }
            )


def cut(latents: bytes, states: bytes) -> tuple[Tensor, Tensor]:
    """What a training step needs of a clip's members: twelve frames, and the windows of their sound."""
    frames = safetensors.torch.load(latents)["latents"]
    heard = safetensors.torch.load(states)["audio_states"]
    start = int(torch.randint(len(frames) - WINDOW + 1, (1,)))
    return frames[start : start + WINDOW].float(), audio_windows(heard.float(), start, WINDOW, CONTEXT)


Epoch = Callable[[int], Iterator[int]]
"""Frames of each sample of an epoch, by its number."""


def open_fada(place: str, folder: Path, cache: Path | None) -> Epoch:
    """As a training draws them."""
    kept = None if cache is None else PartsCache(cache, 2**36)
    clips = StoredClips([ShardSet(place, kept)], by_shard=cache is not None)
    sampler = ClipSampler(clips, WINDOW, 0, CONTEXT, seed=0)
    count = len(sampler.clips)
    return lambda epoch: (
        sampler.batch(step, BatchShape(1)).latents.shape[1] for step in range(epoch * count, (epoch + 1) * count)
    )


def open_webdataset(place: str, folder: Path, cache: Path | None) -> Epoch:
    """webdataset's usual pipeline: shards shuffled, then a buffer of samples; with a cache shards are kept."""
    import webdataset

    names = [shard.name for shard in read_index(folder / "shards").shards]
    urls = [f"{place}/{name}" for name in names]
    made = webdataset.WebDataset(
        urls, shardshuffle=len(urls), cache_dir=None if cache is None else str(cache), empty_check=False
    ).shuffle(40)
    return lambda _: (len(cut(each["latents.safetensors"], each["states.safetensors"])[0]) for each in made)


def open_mosaicml(place: str, folder: Path, cache: Path | None) -> Epoch:
    """mosaicml-streaming's data set with its own shuffle."""
    from streaming import StreamingDataset

    where: dict[str, Any] = {"local": place} if cache is None else {"remote": place, "local": str(cache)}
    made = StreamingDataset(**where, shuffle=True, batch_size=1)
    return lambda _: (len(cut(each["latents"], each["states"])[0]) for each in made)


def measure(reader: str, place: str, folder: Path, cache: Path | None) -> list[dict[str, float]]:
    """In this process, of two epochs: samples a second, and a second of processor time (with programs started)."""
    opened = {"fada": open_fada, "webdataset": open_webdataset, "mosaicml-streaming": open_mosaicml}[reader]
    torch.manual_seed(0)
    # What loading libraries takes says nothing of reading.
    for name in ("boto3", "s3fs", "streaming", "webdataset"):
        importlib.import_module(name)
    if cache is not None:
        cache.mkdir(exist_ok=True)
    told, epochs = [], opened(place, folder, cache)
    for epoch in range(2):
        _touch_memory()
        began, cpu = time.perf_counter(), _processor_seconds()
        count = sum(1 for frames in epochs(epoch) if frames == WINDOW)
        wall, spent = time.perf_counter() - began, _processor_seconds() - cpu
        told.append({"samples": count, "per_second": count / wall, "per_core_second": count / spent})
    return told


def _touch_memory() -> None:
    """Let the machine have its memory: of a virtual one, what nobody used for a while costs ten times as much at first,
    and whom that meets is chance."""
    _ = b"x" * TOUCHED


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def drop_pages(folder: Path) -> None:
    """Let the system forget what it holds of a folder's files."""
    os.sync()
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def serve(port: int) -> None:
    """An S3 server, until it is killed."""
    from moto.server import ThreadedMotoServer

    ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False).start()
    time.sleep(10**6)


def upload(folder: Path, address: str) -> None:
    """Put both sets into a bucket that anybody may read."""
    import boto3

    client = boto3.client("s3", endpoint_url=address)
    client.create_bucket(Bucket="bucket", ACL="public-read")
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            client.upload_file(str(file), "bucket", str(file.relative_to(folder)), ExtraArgs={"ACL": "public-read"})


def place_of(reader: str, where: str, folder: Path, address: str) -> str:
    """Path or URL of a reader's set."""
    name = "mds" if reader == "mosaicml-streaming" else "shards"
    if where == "disk":
        return str(folder / name)
    return f"{address}/bucket/{name}" if reader == "webdataset" else f"s3://bucket/{name}"


Found = dict[tuple[str, str], dict[str, list[dict[str, float]]]]
"""Rounds, by place and epoch, and by reader."""


def compare(clips: int, rounds: int) -> Found:
    """All readers in turns, from a disk and from a server."""
    found: Found = {(place, epoch): {each: [] for each in READERS} for place in PLACES for epoch in EPOCHS}
    with tempfile.TemporaryDirectory() as made:
        folder, port = Path(made), _free_port()
        address = f"http://127.0.0.1:{port}"
        os.environ |= {**KEYS, "AWS_ENDPOINT_URL": address, "S3_ENDPOINT_URL": address, "OMP_NUM_THREADS": "1"}
        make_sets(folder / "sets", clips)
        server = subprocess.Popen([sys.executable, __file__, "--serve", str(port)], stderr=subprocess.DEVNULL)
        try:
            _wait_for(port)
            upload(folder / "sets", address)
            for _ in range(rounds):
                for reader in READERS:
                    for where in PLACES:
                        for epoch, one in zip(EPOCHS, _measured(reader, where, folder, address), strict=True):
                            assert one["samples"] == clips, (reader, where, one)
                            print(reader, where, epoch, one, file=sys.stderr, flush=True)
                            found[where, epoch][reader].append(one)
        finally:
            server.kill()
            server.wait()
    return found


def _measured(reader: str, where: str, folder: Path, address: str) -> list[dict[str, float]]:
    """What a fresh process of a reader says of both epochs."""
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    drop_pages(folder / "sets")
    place = place_of(reader, where, folder / "sets", address)
    kept = ["--cache", str(cache)] if where == "S3" else []
    told = subprocess.run(
        [sys.executable, __file__, "--one", reader, place, str(folder / "sets"), *kept],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return json.loads(told.stdout.splitlines()[-1])


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(300):
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("the S3 server does not answer")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.serve is not None:
        serve(options.serve)
    elif options.one is not None:
        reader, place, folder = options.one
        print(json.dumps(measure(reader, place, Path(folder), options.cache)))
    else:
        found = compare(options.clips, options.rounds)
        print(f"| samples a second (a processor second) | {' | '.join(READERS)} |\n| --- |{' ---: |' * len(READERS)}")
        for (where, epoch), by_reader in found.items():
            cells = ["{} ({})".format(*_medians(told)) for told in by_reader.values()]
            print(f"| {where}, {epoch} | {' | '.join(cells)} |")


def _medians(told: list[dict[str, float]]) -> list[str]:
    return [f"{statistics.median(each[name] for each in told):.0f}" for name in ("per_second", "per_core_second")]


if __name__ == "__main__":
    main()
