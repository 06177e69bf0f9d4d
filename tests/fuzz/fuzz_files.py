"""Damage everything but media that fada reads of others, and read it: recipes, lists, shards, clips, models.

    python tests/fuzz/fuzz_files.py --count 10000 --seed 0 --kinds recipe,members

Each case is read by a worker process, in a folder of its own. Allowed are a normal result and an error that a user is
told in a line; not allowed are others, crashes, hangs, much memory, and any change outside `out`: a folder `canary` and
everything else beside the case is compared before and after. Exits with 1 where there is a fault; ``--keep`` keeps such
cases. The same seed and number damage in the same way.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path

from file_cases import BUILD, OUT, make_seeds, read_case
from reading_process import Outcome, Reader, Reading, table

KINDS = tuple(BUILD)
Listing = dict[str, tuple[int, int]]
"""Size and time of change, by path."""


def fuzz(
    count: int,
    seed: int = 0,
    kinds: Sequence[str] = KINDS,
    seconds: float = 20.0,
    megabytes: float = 3072.0,
    keep: Path | None = None,
    first: int = 0,
    reading: Reading = read_case,
) -> Generator[Outcome, None, None]:
    """Damage and read ``count`` times, the kinds in turn; a kind's ``n``-th case depends on the seed alone."""
    reader = Reader(seconds, megabytes, reading)
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        for name in ("canary", "home", "seeds"):
            (base / name).mkdir()
        make_seeds(base / "seeds")
        (base / "canary" / "precious").write_text("mine")
        here = os.getcwd()
        home = os.environ.get("HOME")
        try:
            # Relative names lead here, and what a worker imports must not come from here.
            os.chdir(base / "home")
            os.environ["HOME"] = str(base / "home")
            for number in range(first, first + count):
                turn, kind = divmod(number, len(kinds))
                yield _try(base, turn, seed, kinds[kind], reader, keep)
        finally:
            os.chdir(here)
            os.environ.pop("HOME") if home is None else os.environ.__setitem__("HOME", home)
            reader.close()


def _try(base: Path, number: int, seed: int, kind: str, reader: Reader, keep: Path | None) -> Outcome:
    choose = random.Random(f"{seed}:{kind}:{number}")
    case = base / f"{number}-{kind}"
    case.mkdir()
    (base / OUT).mkdir()
    way = BUILD[kind](base / "seeds", case, choose, str(base / "canary" / "precious"))
    kept = None
    if keep is not None:
        # Reading may change the case.
        kept = base / f"kept-{number}-{kind}"
        shutil.copytree(case, kept, symlinks=True)
    before = _listing(base, case)
    outcome = reader.read(case, kind, False)
    changed = _changes(before, _listing(base, case))
    if changed:
        outcome.result, outcome.detail = "wrote", f"{', '.join(changed[:5])} {outcome.detail}"
    outcome.detail = f"{number} of {kind} {way}: {outcome.detail}"
    if kept is not None:
        if outcome.is_fault and keep is not None:
            shutil.copytree(kept, keep / case.name, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(kept)
    shutil.rmtree(case, ignore_errors=True)
    shutil.rmtree(base / OUT, ignore_errors=True)
    return outcome


def _listing(base: Path, case: Path) -> Listing:
    """Everything that no reading may change: all but the case itself and the folder for outputs."""
    found: Listing = {}
    for root, folders, files in os.walk(base):
        if Path(root) == base:
            folders[:] = [name for name in folders if name not in (case.name, OUT, "seeds")]
        elif Path(root) == base / "home":
            # What libraries keep for themselves.
            folders[:] = [name for name in folders if name not in (".cache", ".config")]
        for name in (*folders, *files):
            stat = os.lstat(os.path.join(root, name))
            size = 0 if name in folders else stat.st_size
            found[os.path.relpath(os.path.join(root, name), base)] = (size, 0 if name in folders else stat.st_mtime_ns)
    return found


def _changes(before: Listing, after: Listing) -> list[str]:
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def main() -> None:
    """Run from the command line; exits with 1 where there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case, to repeat one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--seconds", type=float, default=20.0, help="of processor time; longer is a hang")
    parser.add_argument("--megabytes", type=float, default=3072.0, help="more is too much memory")
    parser.add_argument("--keep", type=Path, help="folder for cases that show a fault")
    options = parser.parse_args()
    outcomes = []
    keep = None if options.keep is None else options.keep.absolute()
    running = fuzz(
        options.count, options.seed, options.kinds.split(","), options.seconds, options.megabytes, keep, options.first
    )
    try:
        for outcome in running:
            outcomes.append(outcome)
            if outcome.is_fault:
                print(f"{outcome.result} of {outcome.mutation} {outcome.detail}", flush=True)
    except KeyboardInterrupt:
        # What is done counts.
        running.close()
    print(table(outcomes, options.kinds.split(",")))
    sys.exit(any(outcome.is_fault for outcome in outcomes))


if __name__ == "__main__":
    main()
