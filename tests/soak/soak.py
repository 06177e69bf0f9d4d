"""Kill runs again and again, and compare their end with that of unbroken ones, every tensor bit for bit.

    python tests/soak/soak.py --kills 20 --out runs/soak

First a run of one process, from nothing: it is killed with SIGKILL once in every phase (drawing, VAE, encoding, each
stage, targets, each student, checkpoints and models while they are written). What is left of the kills goes to runs of
two processes with ZeRO-2, at random moments. Not a pytest: a quarter to half an hour.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from pathlib import Path

from first_run import PHASES, kill_in_every_phase
from two_processes import kill_at_random


def main() -> None:
    """Run the soak; exits with 1 where an end differs."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--kills", type=int, default=20, help=f"the first {len(PHASES)} in one process")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--out", type=Path, default=Path("runs/soak"))
    options = arguments.parse_args()
    choose = random.Random(options.seed)
    mark = options.out / ".soak"
    if options.out.exists() and not mark.is_file():
        sys.exit(f"{options.out}: is there, and no soak's folder; give another one with --out")
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    mark.touch()
    first = min(options.kills, len(PHASES))
    runs = kill_in_every_phase(options.out, PHASES[:first], choose)
    if options.kills > first:
        runs += kill_at_random(options.out, options.kills - first, choose)
    print(f"{options.kills} of {options.kills} kills survived, in {runs} runs")


if __name__ == "__main__":
    main()
