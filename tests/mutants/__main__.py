"""Put faults into a copy of the code, one at a time, and see whether the tests notice: ``make mutants``.

    python tests/mutants                      all, resumable; writes docs/results/mutants.md
    python tests/mutants --only NAME NAME     these, anew
    python tests/mutants --area student       those of one list

Results are kept in runs/mutants; a mutant is tried again when it, its file or its tests have changed, all with --fresh.
Exit status 1: of the mutants that are not accepted as survivors less than 95 % are killed, or one of these is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import queue
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from mutant_lists import Mutant, MutantFault, read_mutants
from mutant_page import complaints, counts, page
from mutant_trials import Outcome, Tree, TreeFault

from fada.files.whole import write_json, write_text

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 600.0
"""Seconds that a set of tests may take without a mutant."""


class Results:
    """Outcomes by mutant, kept in a file together with what they follow from."""

    def __init__(self, path: Path, root: Path, *, is_fresh: bool = False) -> None:
        self.path, self.root = path, root
        self.kept: dict[str, dict] = {}
        self.hashes: dict[str, str] = {}
        """Of what was there when a mutant was looked up: the tree may change while its copies are run."""
        if path.is_file() and not is_fresh:
            self.kept = json.loads(path.read_text(encoding="utf-8"))

    def find(self, mutant: Mutant) -> Outcome | None:
        """What became of a mutant before, where nothing of it has changed since."""
        entry, now = self.kept.get(mutant.name), self._hash(mutant)
        self.hashes[mutant.name] = now
        return Outcome(**entry["outcome"]) if entry and entry["hash"] == now else None

    def keep(self, mutant: Mutant, outcome: Outcome) -> None:
        """Note an outcome, at once on disk."""
        self.kept[mutant.name] = {"hash": self.hashes[mutant.name], "outcome": asdict(outcome)}
        write_json(self.path, self.kept)

    def _hash(self, mutant: Mutant) -> str:
        named = [self.root / each for each in (mutant.file, *(test.partition("::")[0] for test in mutant.tests))]
        files = [file for path in named for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
        parts = [file.read_bytes() for file in files if file.is_file()]
        return hashlib.sha256(b"\0".join([repr(mutant).encode(), *parts])).hexdigest()


def run(root: Path, mutants: list[Mutant], results: Results, jobs: int) -> dict[str, Outcome]:
    """Try the mutants of which no result is kept, `jobs` at a time, each in a copy of the tree of its own.

    Raises:
        TreeFault: tests fail without a mutant.
    """
    outcomes = {mutant.name: found for mutant in mutants if (found := results.find(mutant))}
    waiting = [mutant for mutant in mutants if mutant.name not in outcomes]
    if not waiting:
        return outcomes
    with tempfile.TemporaryDirectory(prefix="fada-mutants-") as folder:
        trees: queue.SimpleQueue[Tree] = queue.SimpleQueue()
        with ExitStack() as open_trees, ThreadPoolExecutor(jobs) as pool:
            for number in range(min(jobs, len(waiting))):
                tree = Tree(root, Path(folder) / f"tree-{number}")
                open_trees.callback(tree.close)
                trees.put(tree)
            try:
                groups = _by_files(waiting)
                seconds = {}
                timed = pool.map(lambda tests: _lent(trees, _time, tests), groups.values())
                for number, (files, found) in enumerate(zip(groups, timed, strict=True), 1):
                    seconds[files] = found
                    print(f"{number} of {len(groups)} without mutants: {' '.join(files)}: {found:.0f} s", flush=True)
                tried = pool.map(lambda each: _lent(trees, _try, each, seconds[_files(each)]), waiting)
                for mutant, outcome in zip(waiting, tried, strict=True):
                    results.keep(mutant, outcome)
                    outcomes[mutant.name] = outcome
                    print(f"{outcome.result:9}{mutant.name}  {outcome.by}  {outcome.detail[:80]}", flush=True)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    return outcomes


def _files(mutant: Mutant) -> tuple[str, ...]:
    """The files that a mutant's tests are in."""
    return tuple(dict.fromkeys(test.partition("::")[0] for test in mutant.tests))


def _by_files(mutants: list[Mutant]) -> dict[tuple[str, ...], list[str]]:
    """All tests that mutants name, by the files that they are in: what must pass without a mutant, in few runs."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for mutant in mutants:
        known = groups.setdefault(_files(mutant), [])
        known += [test for test in mutant.tests if test not in known]
    return groups


def _lent(trees: queue.SimpleQueue[Tree], work, *arguments):  # type: ignore[no-untyped-def]
    tree = trees.get()
    try:
        return work(tree, *arguments)
    finally:
        trees.put(tree)


def _time(tree: Tree, tests: list[str]) -> float:
    return tree.seconds_of(tests, LONGEST)


def _try(tree: Tree, mutant: Mutant, seconds: float) -> Outcome:
    return tree.try_mutant(mutant, 4 * seconds + 30)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these mutants, whatever was found before")
    parser.add_argument("--area", help="those of one list")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (2)")
    parser.add_argument("--fresh", action="store_true", help="forget what was found before")
    parser.add_argument("--list", action="store_true", help="check the lists against the tree, and run nothing")
    parser.add_argument("--out", type=Path, default=root / "runs" / "mutants", help="where results are kept")
    parser.add_argument("--page", type=Path, help="write the table here, when all are run")
    options = parser.parse_args(arguments)
    try:
        everyone = read_mutants(root / "tests" / "mutants", root)
        mutants = _chosen(everyone, options.only, options.area)
        if options.list:
            print(f"{len(mutants)} mutants fit the tree")
            return 0
        results = Results(options.out / "results.json", root, is_fresh=options.fresh)
        for name in options.only or ():
            results.kept.pop(name, None)
        outcomes = run(root, mutants, results, max(1, options.jobs))
    except (MutantFault, TreeFault) as error:
        print(error, file=sys.stderr)
        return 1
    print(counts(mutants, outcomes))
    if options.page and len(mutants) == len(everyone):
        write_text(options.page, page(mutants, outcomes))
    found = complaints(mutants, outcomes)
    print("\n".join(found), file=sys.stderr)
    return 1 if found else 0


def _chosen(mutants: list[Mutant], names: list[str] | None, area: str | None) -> list[Mutant]:
    for what, asked, known in (
        ("mutant", names or [], {mutant.name for mutant in mutants}),
        ("area", [area] if area else [], {mutant.area for mutant in mutants}),
    ):
        unknown = sorted(set(asked) - known)
        if unknown:
            raise MutantFault(f"no {what} named {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return [
        mutant for mutant in mutants if (not names or mutant.name in names) and (area is None or mutant.area == area)
    ]


if __name__ == "__main__":
    sys.exit(main())
