"""A run of one process, from nothing to its students, killed with SIGKILL once in every phase."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from weights import compare

CLIPS, STEPS = 12, 6
RUNS = 5
"""In which every phase must have been met: some last milliseconds only."""
LOOK_SECONDS = 0.002


def last(work: str) -> str:
    """The last checkpoint of a training."""
    return f"work/{work}/checkpoints/step-{STEPS:08d}"


@dataclass(frozen=True)
class Phase:
    """Lasts from when the first is there until the second is; both are patterns in the run's folder."""

    name: str
    begun: str
    over: str
    seconds: float = 0.02
    """It is killed within so many of its beginning."""

    def is_over(self, run: Path) -> bool:
        return any(run.glob(self.over))

    def is_now(self, run: Path) -> bool:
        return any(run.glob(self.begun)) and not self.is_over(run)


def training(work: str, result: str) -> list[Phase]:
    """A training's own phases: its steps, a checkpoint while it is written, and its result."""
    folder = f"work/{work}/checkpoints"
    return [
        Phase(f"{work}: steps", f"{folder}/step-00000001", f"{folder}/step-00000004"),
        Phase(f"{work}: a checkpoint", f"{folder}/.fada-*.partial/*", last(work)),
        Phase(f"{work}: saving its result", last(work), result),
    ]


LAST_CLIP = "data/clips/test-s0-000001.json"
PHASES = [
    Phase("drawing", "data/clips/train-*.json", LAST_CLIP, 0.3),
    Phase("training the VAE", LAST_CLIP, "vae/config.json", 1.0),
    Phase("encoding", "vae/config.json", "data/train/index.json", 0.1),
    *training("teacher-images", "stages/1-images.safetensors"),
    *training("teacher-clips", "teacher/model_index.json"),
    Phase("solving targets", "work/balanced/targets/index.json", "work/balanced/checkpoints/step-00000001", 0.5),
    *training("balanced", "students/balanced/model_index.json"),
    *training("fast", "students/fast/model_index.json"),
]


def kill_in_every_phase(out: Path, phases: Sequence[Phase], choose: random.Random) -> int:
    """Kill and compare until every phase was met; how many runs that took."""
    whole = out / "first-whole"
    started = time.monotonic()
    with (out / "first-whole.log").open("wb") as log:
        subprocess.run(_command(whole), check=True, stdout=log, stderr=subprocess.STDOUT)
    print(f"unbroken first run: {time.monotonic() - started:.0f} s", flush=True)
    left = list(phases)
    for number in range(RUNS):
        run = out / f"first-{number}"
        while _kill_once(run, left, choose):
            pass
        compare(run, whole)
        if not left:
            return number + 1
    sys.exit(f"phases that were over before they could be met, in {RUNS} runs: {', '.join(each.name for each in left)}")


def _kill_once(run: Path, left: list[Phase], choose: random.Random) -> bool:
    """Start the run and kill it in the next phase that is left, which is taken off; False where it came to its end."""
    with (run.parent / f"{run.name}.log").open("ab") as log:
        process = subprocess.Popen(_command(run), stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    while process.poll() is None:
        now = next((phase for phase in left if phase.is_now(run)), None)
        if now is not None and _has_opened(process, run):
            time.sleep(choose.uniform(0.0, now.seconds))
            if not now.is_now(run):
                continue
            # Those that draw the world, too.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            left.remove(now)
            print(f"kill in {run.name}: {now.name}", flush=True)
            return True
        time.sleep(LOOK_SECONDS)
    if process.returncode != 0:
        sys.exit(f"{run.name}: ended with {process.returncode}; see {run.parent / f'{run.name}.log'}")
    return False


def _has_opened(process: subprocess.Popen[bytes], run: Path) -> bool:
    """Whether this start holds the run's folder: until then the signs there are those of an earlier one."""
    try:
        return json.loads((run / ".fada.lock").read_bytes()).get("pid") == process.pid
    except (OSError, ValueError):
        return False


def _command(folder: Path) -> list[str]:
    overrides = [
        f"output={folder}",
        f"data.world.clips={CLIPS}",
        "vae.train.steps=12",
        *(f"teacher.stages.{name}.steps={STEPS}" for name in ("images", "clips")),
        *(f"distill.phases.{name}.steps={STEPS}" for name in ("balanced", "fast")),
        "distill.phases.balanced.targets=cached",
        "distill.phases.balanced.cached_samples=128",
        "engine.checkpoint_every=1",
        "engine.preview_every=3",
        "engine.threads=1",
        "bench.repeats=1",
    ]
    return [sys.executable, "-c", _WITHOUT_REPORT, *overrides]


_WITHOUT_REPORT = """
import sys
from rich.console import Console
from fada import jobs
from fada.recipe import load_recipe

if __name__ == "__main__":
    jobs.distill(load_recipe("tiny/smoke", sys.argv[1:]), Console())
"""
