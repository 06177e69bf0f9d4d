"""What a set of many clips costs a training process: opening it, drawing from it, and the memory that it takes.

    python tests/scale/many_clips.py --clips 1000 100000 1000000
    python tests/scale/many_clips.py --clips 100 10000 --train 40
    python tests/scale/many_clips.py --clips 1000 --train 2000 --processes 2

Makes, for each number, a set whose index and table are those of so many clips and whose tars are a few real ones, each
under many names; opens it in a fresh process, draws samples, and goes through a whole epoch as 64 ranks would. With
--train a small teacher is trained on it, by one process or several, and the memory is the first one's by its log.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from rich.console import Console

from fada.data.sampling.dataset import BatchShape, ClipSampler
from fada.data.shards.index import ShardIndex
from fada.data.shards.reading import INDEX_FILE, Sample, read_index, write_shards
from fada.data.shards.shard_set import ShardSet
from fada.data.shards.stored_clips import StoredClips
from fada.data.shards.table import SampleTable, table_name, write_table
from fada.engine.loop import LoopSettings, fit
from fada.engine.parallel import ParallelSettings, new_accelerator
from fada.engine.run_log import RunLog
from fada.recipe import load_recipe
from fada.teacher.dual_unet.networks import new
from fada.teacher.pretrain import DropRates, PretrainObjective

PER_SHARD, REAL = 100, 4
FRAMES, SIDE, LAYERS, STATES = 50, 16, 2, 64
RANKS, BATCH = 64, 4
SEED = 0


def make_set(folder: Path, clips: int) -> None:
    """An index and a table of so many clips, over the tars of REAL x PER_SHARD real ones."""
    torch.manual_seed(0)
    real = min(REAL * PER_SHARD, clips)
    samples = (
        Sample(
            f"clip-{number:06d}",
            {"quality": "AB"[number % 2], "split": "train"},
            latents=torch.randn(FRAMES, 4, SIDE, SIDE).half(),
            audio_states=torch.randn(FRAMES, LAYERS, STATES).bfloat16(),
        )
        for number in range(real)
    )
    made = write_shards(samples, folder, PER_SHARD)
    if clips == real:
        return
    shards = []
    for number in range(clips // PER_SHARD):
        there = made.shards[number % len(made.shards)]
        name = f"shard-{number:06d}-{there.sha256[:12]}.tar"
        if not (folder / name).exists():
            os.link(folder / there.name, folder / name)
        shards.append(replace(there, name=name))
    index = ShardIndex(shards, clips, {"train": clips}, {"latents": clips, "audio_states": clips})
    table = ShardSet(folder).table
    times = -(-clips // real)
    columns = {
        name: np.concatenate([np.asarray(getattr(table, name))] * times)[:clips]
        for name in ("parts", "quality", "split", "frames", "sides", "members", "sums", "record", "key")
    }
    columns["shard"] = np.arange(clips, dtype="<u4") // PER_SHARD
    many = SampleTable(**columns, qualities=table.qualities, splits=table.splits)  # type: ignore[arg-type]
    write_table(many, index, folder / table_name(index))
    (folder / INDEX_FILE).write_text(json.dumps(asdict(index)))


def measure(folder: Path, draws: int) -> dict[str, Any]:
    """In this process: what opening takes and adds, what a draw costs, and what is held after `draws` of them."""
    process = psutil.Process()
    _ = ClipSampler, torch.zeros(1)
    before, started, cpu = process.memory_info().rss, time.perf_counter(), time.process_time()
    sampler = ClipSampler(StoredClips([ShardSet(folder)]), 12, 2, 2, "all", SEED)
    opened = {
        "clips": len(sampler.clips),
        "open_seconds": round(time.perf_counter() - started, 3),
        "open_cpu_seconds": round(time.process_time() - cpu, 3),
    }
    sampler.number(0)
    opened["added_mib"] = round((process.memory_info().rss - before) / 2**20, 1)
    costs = []
    for step in range(draws):
        cpu = time.process_time()
        sampler.sample(step, 0, BATCH * RANKS)
        costs.append(time.process_time() - cpu)
        if step == draws // 10:
            early = process.memory_info().rss
    late = process.memory_info().rss
    opened |= {
        "draw_cpu_ms": round(1000 * float(np.median(costs)), 3),
        "rss_mib_after_a_tenth": round(early / 2**20, 1),
        "rss_mib_after_all": round(late / 2**20, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, 1),
    }
    return {**opened, "epoch_of_64_ranks": check_epoch(sampler), "by_shard": check_lanes(folder)}


def train(folder: Path, steps: int) -> dict[str, Any]:
    """Resident memory of a process that trains the smoke recipe's teacher on the set, early and at the end."""
    recipe = load_recipe("tiny/smoke")
    sampler = ClipSampler(StoredClips([ShardSet(folder)]), 3, 1, 2, "all", SEED)
    torch.manual_seed(0)
    module = new(recipe.teacher.network, recipe.noise.model_dump(), (5, LAYERS, STATES), (4,))
    parts = recipe.teacher.stages[-1].trains
    work, accelerator = folder / "work", new_accelerator(ParallelSettings(precision="fp32"), 2)
    shape = BatchShape(2, accelerator.process_index, accelerator.num_processes)
    objective = PretrainObjective(module, sampler, shape, parts, DropRates({"reference": 0.1, "audio": 0.1}, 0.1), SEED)
    settings = LoopSettings(steps, 1e-4, checkpoint_every=10**6, preview_every=0, log_every=max(1, steps // 20))
    log = RunLog(work, "memory", Console(quiet=True))
    fit(objective, settings, accelerator, work, log)
    log.close()
    if not accelerator.is_main_process:
        return {}
    lines = [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]
    held = [line["memory_gib"] * 1024 for line in lines]
    return {
        "clips": len(sampler.clips),
        "processes": accelerator.num_processes,
        "steps": steps,
        "mib_after_a_tenth": round(held[1], 1),
        "mib_half_way": round(held[len(held) // 2], 1),
        "mib_at_the_end": round(held[-1], 1),
        "seconds_data_share": round(sum(line["seconds_data"] for line in lines) / sum(map(_step_seconds, lines)), 4),
    }


def _step_seconds(line: dict[str, Any]) -> float:
    """What a step took, all its parts."""
    return sum(value for name, value in line.items() if name.startswith("seconds_") and name != "seconds_per_step")


def check_epoch(sampler: ClipSampler) -> str:
    """Whether 64 ranks, each with its own samples of every step, draw every clip once in an epoch."""
    count = len(sampler.clips)
    seen = np.zeros(count, np.int32)
    steps = np.arange(-(-count // (BATCH * RANKS)))
    (group,) = sampler._groups
    for rank in range(RANKS):
        shape = BatchShape(BATCH, rank, RANKS)
        mine = (steps[:, None] * shape.per_step + np.array(shape.samples(0))).reshape(-1)
        np.add.at(seen, group.orders.among(0, mine[mine < count]), 1)
    return "every clip once" if (seen == 1).all() else f"{(seen == 0).sum()} missing, {(seen > 1).sum()} repeated"


def check_lanes(folder: Path) -> str:
    """The same of the order by shard; and what share of the clips eight machines would read that they had not read in
    the epoch before."""
    sampler = ClipSampler(StoredClips([ShardSet(folder)], by_shard=True), 12, 2, 2, "all", SEED)
    count, per_step = len(sampler.clips), BATCH * RANKS
    owners = np.full(count, -1, np.int8)
    began = time.process_time()
    moved = 0
    for epoch in range(2):
        seen = np.zeros(count, np.int32)
        for position in range(epoch * count, (epoch + 1) * count):
            clip = sampler.number(position, per_step)
            seen[clip] += 1
            machine = position % per_step // BATCH % RANKS * 8 // RANKS
            moved += epoch and owners[clip] != machine
            owners[clip] = machine
        if not (seen == 1).all():
            return f"{(seen == 0).sum()} missing, {(seen > 1).sum()} repeated"
    spent = (time.process_time() - began) / 2 / count
    return f"every clip once, {moved / count:.2%} move to another machine, {1e6 * spent:.0f} us a place"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[1000, 1_000_000])
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--train", type=int, default=0, help="steps of a training instead of draws")
    parser.add_argument("--processes", type=int, default=1, help="of the training")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.measure is not None:
        told = train(options.measure, options.train) if options.train else measure(options.measure, options.draws)
        print(json.dumps(told))
        return
    for clips in options.clips:
        with tempfile.TemporaryDirectory() as folder:
            make_set(Path(folder), clips)
            assert len(read_index(folder).shards) == max(1, clips // PER_SHARD)
            several = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={options.processes}"]
            told = subprocess.run(
                [sys.executable, *(several if options.processes > 1 else []), __file__, "--measure", folder,
                 "--draws", str(options.draws), "--train", str(options.train)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            print(*(line for line in told.stdout.splitlines() if len(line) > 2), sep="\n", flush=True)


if __name__ == "__main__":
    main()
