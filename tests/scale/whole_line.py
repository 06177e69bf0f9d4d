"""The whole line on real footage: raw videos to a student, with a worker killed in every stage.

    python tests/scale/whole_line.py --clips 1000 --executor processes --media DIR --face-landmarker TASK
    python tests/scale/whole_line.py --clips 1000 --executor ray --media DIR --face-landmarker TASK

Cuts so many videos out of the footage, each of other frames; then `fada data prepare`, `filter`, `shard`, `encode` and
`fada distill` make a student of them, twice: by one process that nobody kills (once for both executors), and by
workers of which one is killed with SIGKILL in every stage (in `distill` the one that reads ahead). With ray they are
actors of a cluster of three nodes of this machine, one of which gets no more than its actor killed. Both ends must be
equal: every file of every clip, every score, every shard, every weight; and every clip is there once.

Not a pytest: hours of a core for 1,000 clips. The same command again goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from safetensors.numpy import load_file

from fada.data.clips.clip import list_clips
from fada.data.scores.table import read_scores
from fada.data.shards.reading import read_shards
from fada.data.shards.shard_set import shard_folders
from fada.media.audio import read_audio
from fada.media.sample_rate import SAMPLE_RATE
from fada.media.video import read_video, write_video

FRAMES, FPS, LONGEST_SIDE = 27, 25.0, 512
VAE, AUDIO_ENCODER = "shipped:drawn/vae", "shipped:drawn/audio_encoder"
# So short pieces say little of their sound's offset: here it refuses none.
LENIENT = "source:\n  seconds: {min: 1}\nbackground:\n  background_change: {max: 4}\n"
STRICT = "source:\n  seconds: {min: 1}\nbackground:\n  background_change: {max: 1}\n"
HELD_OUT = "vr_face2"
PEOPLE = "people.txt"
"""Who is seen in each video."""
RAY_NODES = 3
STARTED_SECONDS = 12.0
"""Processor time after which a worker has loaded what it needs, where no finished task says so."""
LEAST_SECONDS = 2.0
"""Of a worker that is killed once one of them has finished a task."""
LOOK_SECONDS = 0.02


def cut_videos(media: Path, folder: Path, count: int) -> None:
    """So many videos of FRAMES frames, evenly over all places of the footage at which one can begin."""
    if (folder / PEOPLE).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    people = {}
    # Those that are made to be refused, and copies of others with moved sound, are left out.
    files = [file for file in sorted(media.iterdir()) if not file.name.startswith(("neg_", "syncnet_test"))]
    read = [(file, *_footage(file)) for file in files]
    places = [(number, start) for number, (_, frames, _) in enumerate(read) for start in range(len(frames) - FRAMES)]
    if count > len(places):
        sys.exit(f"{media}: {len(places)} different videos of {FRAMES} frames can be cut of it, not {count}")
    for at in np.linspace(0, len(places) - 1, count).astype(int):
        number, start = places[at]
        file, frames, sound = read[number]
        first, samples = round(start / FPS * SAMPLE_RATE), round(FRAMES / FPS * SAMPLE_RATE)
        piece = np.pad(sound[first : first + samples], (0, max(0, first + samples - len(sound))))
        name = f"{file.stem}-{start:04d}.mp4"
        write_video(folder / name, frames[start : start + FRAMES], FPS, piece, SAMPLE_RATE)
        people[name] = file.stem
    (folder / PEOPLE).write_text(json.dumps(people))


def _footage(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Frames, large ones thinned out, and sound."""
    frames = read_video(file, FPS)
    thin = -(-max(frames.shape[1:3]) // LONGEST_SIDE)
    return frames[:, ::thin, ::thin], read_audio(file, SAMPLE_RATE)


@dataclass(frozen=True)
class Stage:
    """One command of the line.

    done: pattern of what each finished task leaves in the line's folder, none where there are no workers.
    takes_workers: whether it takes `--workers` and `--cluster`.
    """

    name: str
    command: tuple[str, ...]
    done: str = ""
    takes_workers: bool = True


def stages(line: Path, videos: Path, options: argparse.Namespace) -> list[Stage]:
    """The line's commands, in their order; all of them end by themselves and can be given again."""
    clips, raw, encoded, run = (line / name for name in ("clips", "raw", "encoded", "run"))
    face = ("--face-landmarker", str(options.face_landmarker))
    sets = ("--strict", str(line / "strict.yaml"), "--lenient", str(line / "lenient.yaml"))
    encoders = ("--vae", VAE, "--audio-encoder", AUDIO_ENCODER)
    overrides = [
        f"output={run}", f"data.train_shards={encoded / 'train'}", f"data.test_shards={raw / 'test'}",
        f"vae.path={VAE}", "engine.data_workers=1", "engine.checkpoint_every=5", "engine.preview_every=0",
        f"teacher.stages.images.steps={options.steps}", f"teacher.stages.clips.steps={options.steps}",
        f"distill.phases.fast.steps={max(1, options.steps // 8)}", "distill.phases.fast.batch=2",
        "teacher.stages.images.batch=8", "teacher.stages.clips.batch=2",
        "teacher.stages.images.quality=all", "teacher.stages.clips.quality=all",
        "engine.precision=fp32", "bench.clips=1", "bench.seconds=1", "bench.repeats=1",
        "bench.teacher_steps=5",
    ]  # fmt: skip
    return [
        Stage("prepare", ("data", "prepare", str(videos), "--out", str(clips), "--size", "64", *face,
                          "--identities", str(videos / PEOPLE)),
              "clips/.prepare/*.json"),
        Stage("filter", ("data", "filter", str(clips), *sets), "clips/.scores/**/*.json"),
        Stage("split", ("data", "split", str(clips), "--test-identities", str(line / "held-out.txt"))),
        Stage("shard", ("data", "shard", str(clips), "--out", str(raw)), "raw/*/.shard/shard-*.json"),
        Stage("encode", ("data", "encode", str(raw), "--out", str(encoded), "--drop-frames", *encoders),
              "encoded/*/.encode/shard-*.json"),
        Stage("distill", ("distill", str(options.recipe), *overrides), "run/work/*/checkpoints/step-*", False),
    ]  # fmt: skip


Workers = Callable[[psutil.Process], list[psutil.Process]]
"""The workers of a command."""


def run_line(line: Path, videos: Path, options: argparse.Namespace, with_workers: list[str], find: Workers) -> None:
    """All stages; where `with_workers` are given, one of the workers is killed in each that is not done yet."""
    line.mkdir(parents=True, exist_ok=True)
    (line / "strict.yaml").write_text(STRICT)
    (line / "lenient.yaml").write_text(LENIENT)
    (line / "held-out.txt").write_text(HELD_OUT)
    for stage in stages(line, videos, options):
        mark = line / f"{stage.name}.done"
        if mark.exists():
            continue
        workers = (with_workers or ["--workers", "1"]) if stage.takes_workers and stage.done else []
        command = [sys.executable, "-m", "fada", *stage.command, *workers]
        began = time.monotonic()
        with (line / f"{stage.name}.log").open("ab") as log:
            process = psutil.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        killed = ""
        if with_workers and stage.done:
            # What reads ahead in `distill` is a process of this machine in either case.
            killed = _kill_one(process, line, stage, find if stage.takes_workers else processes_of)
        if process.wait() != 0:
            sys.exit(f"{line.name}: {stage.name} ended with {process.returncode}; see {line / stage.name}.log")
        print(f"{line.name}: {stage.name}: {time.monotonic() - began:.0f} s{killed}", flush=True)
        mark.touch()


def _kill_one(process: psutil.Process, line: Path, stage: Stage, find: Workers) -> str:
    """Kill the worker that has worked most, once a task is done, or it has worked for a while on its first."""
    before = len(list(line.glob(stage.done)))
    while process.poll() is None:
        done = len(list(line.glob(stage.done))) - before
        spent = {worker: _processor_seconds(worker) for worker in find(process)}
        busiest = max(spent, key=spent.__getitem__, default=None)
        if busiest is not None and spent[busiest] > (LEAST_SECONDS if done else STARTED_SECONDS):
            busiest.kill()
            return f", a worker killed after {done} tasks"
        time.sleep(LOOK_SECONDS)
    if process.returncode == 0:
        sys.exit(f"{line.name}: {stage.name} was over before a worker could be killed; give more clips or steps")
    return ""


def _processor_seconds(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:2])
    except psutil.NoSuchProcess:
        return 0.0


def processes_of(command: psutil.Process) -> list[psutil.Process]:
    """Worker processes of a command of this machine."""
    return _below(command, "spawn_main")


def _below(parent: psutil.Process, word: str) -> list[psutil.Process]:
    """Processes below one whose command line has a word."""
    found = []
    try:
        for each in parent.children(recursive=True):
            if word in " ".join(each.cmdline()):
                found.append(each)
    except psutil.NoSuchProcess:
        pass
    return found


@contextmanager
def ray_cluster(folder: Path) -> Iterator[tuple[str, Workers]]:
    """A cluster of RAY_NODES nodes with a processor each, all of them on this machine: its address, and its actors."""
    import ray

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Ray lets its workers yield to everything else: on a busy machine they would never come to work.
    environment = {
        **os.environ,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_worker_niceness": "0",
    }
    os.environ["RAY_AUTH_MODE"] = "disabled"
    ray_start = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus", "1",
                 "--object-store-memory", str(100 * 2**20)]  # fmt: skip
    address = f"127.0.0.1:{port}"
    nodes: list[psutil.Popen] = []
    with (folder / "ray.log").open("wb") as log:

        def start(*more: str) -> None:
            nodes.append(psutil.Popen([*ray_start, *more], stdout=log, stderr=subprocess.STDOUT, env=environment))

        try:
            start("--head", f"--port={port}", "--include-dashboard=false", "--node-ip-address=127.0.0.1")
            _wait_for(port)
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
            # Ray gives each node 30 seconds to start, which it misses on a busy machine.
            while (there := ray.cluster_resources().get("CPU", 0)) < RAY_NODES:
                if there == sum(node.poll() is None for node in nodes):
                    start("--address", address)
                time.sleep(0.5)
            ray.shutdown()
            yield (
                address,
                lambda _: [each for node in nodes if node.poll() is None for each in _below(node, "ray::_Actor")],
            )
        finally:
            for node in reversed([each for each in nodes if each.poll() is None]):
                below = node.children(recursive=True)
                node.terminate()
                _, alive = psutil.wait_procs([node, *below], timeout=20)
                for each in alive:
                    each.kill()


def _wait_for(port: int) -> None:
    """Wait until somebody answers there."""
    for _ in range(600):
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    sys.exit(f"no Ray at port {port}")


def account(line: Path, count: int) -> None:
    """Say what became of every video, and end where one is lost or twice."""
    report = json.loads((line / "clips/report.json").read_bytes())
    keys = list_clips(line / "clips")
    sources = Counter(source["sha256"] for source in report["sources"])
    told = sorted(clip["key"] for source in report["sources"] for clip in source["clips"])
    if len(sources) != count or set(sources.values()) != {1} or told != keys:
        sys.exit(f"{line.name}: {count} videos, {len(sources)} reported, {len(told)} clips reported, {len(keys)} there")
    rows = read_scores(line / "clips")
    chosen = sorted(row["key"] for row in rows if row["set"] is not None)
    for name in ("raw", "encoded"):
        there = sorted(sample.key for folder in shard_folders(line / name) for sample in read_shards(folder, parts=()))
        if sorted(row["key"] for row in rows) != keys or there != chosen:
            sys.exit(f"{line.name}: {name}: {len(chosen)} clips chosen of {len(rows)} scored, {len(there)} in shards")
    died = [
        event for file in line.glob("run/work/*/events-*.jsonl") for event in file.read_text().splitlines()
        if "data worker" in event
    ]  # fmt: skip
    print(
        f"{line.name}: {count} videos, {len(keys)} clips ({report['rejected']} rejected), {len(chosen)} chosen and in "
        f"shards, each once; {len(died)} data workers that died are noted", flush=True,
    )  # fmt: skip


def content(line: Path) -> dict[str, str]:
    """A hash of everything that the line has made, by name."""
    found = {
        f"clips/{file.name}": _sha256(file.read_bytes())
        for key in list_clips(line / "clips")
        for file in sorted((line / "clips").rglob(f"{key}.*"))
        if ".scores" not in file.parts
    }
    found["scores"] = _sha256(json.dumps(read_scores(line / "clips"), sort_keys=True).encode())
    for name in ("raw", "encoded"):
        for pattern in ("*/*.tar", "*/index.json", "*/samples-*.safetensors"):
            for file in sorted((line / name).glob(pattern)):
                found[str(file.relative_to(line))] = _sha256(file.read_bytes())
    for part in ("stages", "teacher", "students"):
        for file in sorted((line / "run" / part).rglob("*.safetensors")):
            for tensor, value in load_file(file).items():
                found[f"{file.relative_to(line)}: {tensor}"] = _sha256(np.ascontiguousarray(value).tobytes())
    return found


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def compare(line: Path, whole: Path) -> None:
    """Say that a line's end equals that of the one that nobody killed; ends the program where it does not."""
    found, expected = content(line), content(whole)
    differing = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if differing:
        sys.exit(f"{line.name}: differs in {len(differing)} of {len(expected)} from {whole.name}: {differing[:5]}")
    kinds = Counter(name.split("/")[0] for name in expected)
    print(f"{line.name}: all {len(expected)} equal {whole.name}'s: {dict(kinds)}", flush=True)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--executor", choices=("processes", "ray"), default="processes")
    parser.add_argument("--workers", type=int, default=2, help="processes; a cluster has three actors")
    parser.add_argument("--steps", type=int, default=40, help="of each stage of the teacher; of the student an eighth")
    parser.add_argument("--media", type=Path, required=True, help="folder of talking videos with sound")
    parser.add_argument("--face-landmarker", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/real/small.yaml"))
    parser.add_argument("--out", type=Path, default=Path("runs/whole-line"))
    options = parser.parse_args()
    # With another number of threads latents differ in their last digits.
    os.environ["OMP_NUM_THREADS"] = "1"
    out = options.out.absolute() / str(options.clips)
    videos, whole, line = out / "videos", out / "whole", out / options.executor
    cut_videos(options.media, videos, options.clips)
    run = partial(run_line, videos=videos, options=options)
    run(whole, with_workers=[], find=processes_of)
    account(whole, options.clips)
    if options.executor == "processes":
        run(line, with_workers=["--workers", str(options.workers)], find=processes_of)
    else:
        with ray_cluster(out) as (address, actors):
            run(line, with_workers=["--cluster", f"ray={address}"], find=actors)
    account(line, options.clips)
    compare(line, whole)


if __name__ == "__main__":
    main()
