"""The lists of faults: one YAML file per area, read and checked against the tree before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fada.files.plain_yaml import YAMLFault, parse_yaml

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class MutantFault(ValueError):
    """A list, or entries of it, that cannot be run; the message names them all."""


@dataclass(frozen=True)
class Mutant:
    """One fault that the tests must see."""

    area: str
    """The list it is from."""
    name: str
    file: str
    """Path from the root; `old` occurs in it exactly once."""
    old: str
    new: str
    tests: tuple[str, ...]
    """Paths or node ids of the tests that should kill it."""
    why: str
    """What a user would lose, in a line."""
    survives: str = ""
    """Why it may live, where it is accepted that it does."""

    def applied(self, text: str) -> str:
        """The file's text with the fault in it."""
        return text.replace(self.old, self.new)


def read_mutants(folder: Path, root: Path) -> list[Mutant]:
    """All mutants of a folder's lists, known to fit the tree at `root`.

    Raises:
        MutantFault: an entry is not as the lists' format says, its `old` is not there once, or its tests are not there.
    """
    faults: list[str] = []
    mutants: list[Mutant] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            entries = parse_yaml(path.read_text(encoding="utf-8"))
        except YAMLFault as error:
            raise MutantFault(f"{path.name}: {error}") from None
        if not isinstance(entries, list):
            raise MutantFault(f"{path.name}: must be a list of mutants, got {type(entries).__name__}")
        for number, entry in enumerate(entries, 1):
            try:
                mutants.append(_mutant(path.stem, entry))
            except MutantFault as error:
                faults.append(f"{path.name}: entry {number}: {error}")
    faults += _faults(mutants, root)
    if faults:
        raise MutantFault("\n".join(faults))
    return mutants


def _mutant(area: str, entry: Any) -> Mutant:
    known = [field.name for field in fields(Mutant) if field.name != "area"]
    if not isinstance(entry, dict) or not set(entry) <= set(known) or not set(known) - {"survives"} <= set(entry):
        got = sorted(map(str, entry)) if isinstance(entry, dict) else type(entry).__name__
        raise MutantFault(f"must have {', '.join(known[:-1])} and may have survives, got {got}")
    tests = entry["tests"]
    texts = [entry[name] for name in known if name != "tests" and name in entry]
    if not all(isinstance(text, str) for text in texts):
        raise MutantFault("all but tests must be texts; put numbers into quotes")
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
        raise MutantFault(f"{entry['name']}: tests must be a list of paths or node ids, got {tests!r}")
    if not NAME.fullmatch(entry["name"]):
        raise MutantFault(f"name must be small letters and digits with hyphens between, got {entry['name']!r}")
    if not entry["why"] or ("survives" in entry and not entry["survives"]):
        raise MutantFault(f"{entry['name']}: why and survives must say something")
    return Mutant(**{**entry, "area": area, "tests": tuple(tests)})


def _faults(mutants: Iterable[Mutant], root: Path) -> list[str]:
    """What of well-formed mutants does not fit the tree, or each other."""
    faults: list[str] = []
    seen: set[str] = set()
    for mutant in mutants:
        where = f"{mutant.area}.yaml: {mutant.name}"
        if mutant.name in seen:
            faults.append(f"{where}: another mutant has this name")
        seen.add(mutant.name)
        if mutant.old == mutant.new or not mutant.old:
            faults.append(f"{where}: old must be some text, and new another")
        path = (root / mutant.file).resolve()
        if not path.is_relative_to(root.resolve()) or not path.is_file():
            faults.append(f"{where}: no file {mutant.file} in the tree")
            continue
        count = path.read_text(encoding="utf-8").count(mutant.old)
        if count != 1:
            faults.append(f"{where}: old must occur once in {mutant.file}, occurs {count} times: {mutant.old!r}")
        absent = [test for test in mutant.tests if not (root / test.partition("::")[0]).exists()]
        if absent:
            faults.append(f"{where}: no such tests: {', '.join(absent)}")
    return faults
