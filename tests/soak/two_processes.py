"""Runs of two processes with ZeRO-2, broken off at random moments in random ways."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
from weights import compare

WAYS = ("one process", "all", "the launcher", "SIGTERM")
STEPS = 24


def kill_at_random(out: Path, kills: int, choose: random.Random) -> int:
    """Break runs off until the kills are used up, and compare each one's end; how many runs that took."""
    base, whole = out / "first-whole", out / "two-whole"
    started = time.monotonic()
    with (out / "two-whole.log").open("wb") as log:
        subprocess.run(_command(whole, base), check=True, stdout=log, stderr=subprocess.STDOUT)
    length = time.monotonic() - started
    print(f"unbroken run of two processes: {length:.0f} s", flush=True)
    done = runs = 0
    while done < kills:
        run = out / f"two-{runs}"
        runs += 1
        while True:
            with (out / "last.log").open("wb") as log:
                process = subprocess.Popen(_command(run, base), stdout=log, stderr=subprocess.STDOUT)
            patience = choose.uniform(0.2, 0.95) * length if done < kills else 10 * length
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=patience)
            if process.poll() is not None:
                break
            way = WAYS[choose.randrange(len(WAYS))]
            _break_off(process, way, choose)
            done += 1
            newest = sorted((run / "work").glob("*/checkpoints/step-*"), key=lambda path: path.stat().st_mtime)
            at = newest[-1].relative_to(run / "work") if newest else "nothing yet"
            print(f"kill {done} of two processes: {way} after {patience:.0f} s, newest checkpoint {at}", flush=True)
        if process.returncode != 0:
            sys.exit(f"{run.name}: ended with {process.returncode}; see {out / 'last.log'}")
        compare(run, whole)
    return runs


def _break_off(process: subprocess.Popen[bytes], way: str, choose: random.Random) -> None:
    """Kill what `way` says, and wait until nothing of the run is left."""
    parent = psutil.Process(process.pid)
    below = parent.children(recursive=True)
    if way == "SIGTERM":
        process.terminate()
    elif way == "one process" and below:
        with contextlib.suppress(psutil.NoSuchProcess):
            choose.choice(below).kill()
    elif way == "the launcher":
        process.kill()
    else:
        for each in [parent, *below]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
    process.wait(timeout=300)
    # Processes whose launcher was killed find that out by themselves, or hold the folder that the next start wants.
    _, alive = psutil.wait_procs(below, timeout=60)
    for each in alive:
        each.kill()
    psutil.wait_procs(alive, timeout=60)


def _command(folder: Path, base: Path) -> list[str]:
    overrides = [
        f"output={folder}",
        f"teacher.path={base / 'teacher'}",
        f"vae.path={base / 'vae'}",
        "engine.processes=2",
        "engine.strategy=zero2",
        "engine.checkpoint_every=2",
        "engine.preview_every=0",
        "distill.phases.balanced.batch=1",
        "distill.phases.fast.batch=1",
        f"distill.phases.fast.steps={STEPS}",
    ]
    return [sys.executable, "-m", "fada", "distill", "tiny/smoke", *overrides]
