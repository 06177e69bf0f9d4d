"""Kill a run at random moments, again and again, and compare its end with that of an unbroken run.

    python tests/soak/soak.py --kills 20 --out runs/soak

Two processes with ZeRO-2 distil the smoke recipe; each start is broken off after a random time: one process, all of
them, or the launcher alone is killed with SIGKILL, or the command gets SIGTERM. When a run gets to its end its student
must equal the unbroken run's bit for bit, and the next run begins, until the kills are used up. Not a pytest: minutes
to half an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import torch
from safetensors.torch import load_file

WAYS = ("one process", "all", "the launcher", "SIGTERM")
STEPS = 24


def command(folder: Path, teacher: Path | None) -> list[str]:
    """The run that is broken; from a teacher of its own where none is given."""
    overrides = [
        f"output={folder}",
        "engine.processes=2",
        "engine.strategy=zero2",
        "engine.checkpoint_every=2",
        "engine.preview_every=0",
        "distill.phases.balanced.batch=1",
        "distill.phases.fast.batch=1",
        f"distill.phases.fast.steps={STEPS}",
    ]
    if teacher is not None:
        overrides += [f"teacher.path={teacher / 'teacher'}", f"vae.path={teacher / 'vae'}"]
    return [sys.executable, "-m", "fada", "distill", "tiny/smoke", *overrides]


def student(folder: Path) -> dict[str, torch.Tensor]:
    """Weights of the finished fast student."""
    return load_file(str(folder / "students" / "fast" / "denoising_unet" / "diffusion_pytorch_model.safetensors"))


def break_off(process: subprocess.Popen[bytes], way: str, choose: random.Random) -> None:
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
    # Processes whose launcher was killed find that out by themselves, or are in the next start's way.
    _, alive = psutil.wait_procs(below, timeout=60)
    for each in alive:
        each.kill()


def main() -> None:
    """Run the soak; exits with 1 where an end differs."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--kills", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--out", type=Path, default=Path("runs/soak"))
    options = arguments.parse_args()
    choose = random.Random(options.seed)
    shutil.rmtree(options.out, ignore_errors=True)
    base, whole = options.out / "teacher", options.out / "whole"
    subprocess.run(command(base, None), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started = time.monotonic()
    subprocess.run(command(whole, base), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    length = time.monotonic() - started
    print(f"unbroken run: {length:.0f} s", flush=True)
    expected = student(whole)

    kills, runs = 0, 0
    while kills < options.kills:
        folder = options.out / f"run-{runs}"
        runs += 1
        while True:
            log = (options.out / "last.log").open("wb")
            process = subprocess.Popen(command(folder, base), stdout=log, stderr=subprocess.STDOUT)
            patience = choose.uniform(0.2, 0.95) * length if kills < options.kills else 10 * length
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=patience)
            if process.poll() is not None:
                break
            way = WAYS[choose.randrange(len(WAYS))]
            break_off(process, way, choose)
            kills += 1
            newest = sorted((folder / "work").glob("*/checkpoints/step-*"), key=lambda path: path.stat().st_mtime)
            at = newest[-1].relative_to(folder / "work") if newest else "nothing yet"
            print(f"kill {kills}: {way} after {patience:.0f} s, newest checkpoint {at}", flush=True)
        if process.returncode != 0:
            sys.exit(f"run {runs - 1}: ended with {process.returncode}; see {options.out / 'last.log'}")
        found = student(folder)
        differing = [name for name, value in expected.items() if not torch.equal(found[name], value)]
        if differing:
            sys.exit(f"run {runs - 1}: its student differs from the unbroken run's in {len(differing)} tensors")
        print(f"run {runs - 1}: its student equals the unbroken run's, bit for bit", flush=True)
    print(f"{kills} of {options.kills} kills survived, in {runs} runs")


if __name__ == "__main__":
    main()
