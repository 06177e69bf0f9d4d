"""A short fuzz of what fada reads beside media; ``make fuzz`` runs a long one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fuzz_files
import pytest
from faulty_readers import crash, fail, hang, intrude, run_code, swell
from reading_process import table


def test_damaged_files_are_read_or_refused_clearly_and_nothing_is_written_elsewhere() -> None:
    # A seed in which damage of every kind is now read, now refused.
    outcomes = list(fuzz_files.fuzz(24 * len(fuzz_files.KINDS), seed=7, seconds=60))
    assert [outcome for outcome in outcomes if outcome.is_fault] == []
    for kind in fuzz_files.KINDS:
        assert {outcome.result for outcome in outcomes if outcome.mutation == kind} == {"read", "refused"}, kind
    assert table(outcomes, fuzz_files.KINDS).splitlines()[-1].startswith("all")


@pytest.mark.parametrize(
    ("reading", "result", "detail"),
    [
        (crash, "crash", "exit code -6"),
        (hang, "hang", "over 1 s"),
        (swell, "memory", " MB"),
        (fail, "error", "IndexError: nobody foresaw this"),
        (intrude, "wrote", "canary/new"),
        (run_code, "wrote", "canary/precious"),
    ],
)
def test_faults_of_a_reader_are_seen(reading: Callable, result: str, detail: str) -> None:
    # A reader that is to be seen doing something else has time to do it.
    seconds = 1 if reading is hang else 4
    (outcome,) = fuzz_files.fuzz(1, seconds=seconds, megabytes=400, kinds=["model"], first=NUMBER, reading=reading)
    assert outcome.result == result, outcome
    assert detail in outcome.detail
    assert outcome.is_fault


NUMBER = 3
"""Of a case whose model brings code."""


def test_the_same_seed_damages_in_the_same_way(tmp_path: Path) -> None:
    import random

    from file_mutations import damage_bytes, damage_tree

    for number in range(20):
        damaged = []
        for _ in range(2):
            tree = {"a": [1, 2.5, {"b": "c"}], "d": None}
            choose = random.Random(f"0:{number}")
            damaged.append(
                (damage_tree(tree, choose, "canary"), repr(tree), damage_bytes(b"abc" * 9, choose, "canary"))
            )
        assert damaged[0] == damaged[1]
