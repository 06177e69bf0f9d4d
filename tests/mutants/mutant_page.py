"""The table of a mutation run, and whether it is good enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mutant_lists import Mutant
from mutant_trials import Outcome

from fada.files.markdown import markdown_cell

NEEDED = 0.95
"""Share of the mutants not accepted as survivors that must be killed."""
INTRODUCTION = """\
# Mutants

Faults put into the code one at a time, each a way in which a formula, a choice or a number of the method could be
wrong, and the first test that fails then. `make mutants` runs them in a copy of the tree (`tests/mutants/`, one list
per area) and writes this page. It is a list of our own, not mutmut or cosmic-ray: those change every operator of every
line, thousands of runs for a few faults that a user would notice, and know no draw that is left out, no neighbouring
variable, no order of guidance branches. Here each fault is one of the method, and all of them fit into minutes.
"""


def page(mutants: Sequence[Mutant], outcomes: Mapping[str, Outcome]) -> str:
    """Markdown with counts, then a table per area."""
    parts = [INTRODUCTION, counts(mutants, outcomes) + "\n"]
    for area in sorted({mutant.area for mutant in mutants}):
        rows = [_row(mutant, outcomes[mutant.name]) for mutant in mutants if mutant.area == area]
        parts.append(
            "\n".join([f"## {area}\n", "| mutant | file | result | why it matters |", "|" + " --- |" * 4, *rows, ""])
        )
    return "\n".join(parts)


def counts(mutants: Sequence[Mutant], outcomes: Mapping[str, Outcome]) -> str:
    """A sentence with how many were killed."""
    judged = [mutant for mutant in mutants if not mutant.survives]
    killed = sum(outcomes[mutant.name].result == "killed" for mutant in judged)
    share = killed / len(judged) if judged else 1.0
    accepted = len(mutants) - len(judged)
    return (
        f"{len(mutants)} mutants; of {len(judged)} that must be killed, {killed} are ({share:.1%}); {accepted} are "
        "accepted as survivors, with the reason."
    )


def complaints(mutants: Sequence[Mutant], outcomes: Mapping[str, Outcome]) -> list[str]:
    """What is not as it should be; empty where the run is good."""
    found = []
    for mutant in mutants:
        outcome = outcomes[mutant.name]
        if outcome.result == "broken":
            found.append(f"{mutant.name}: cannot be run, so it proves nothing: {outcome.by}: {outcome.detail}")
        elif mutant.survives and outcome.result == "killed":
            found.append(f"{mutant.name}: said to survive, but killed by {outcome.by}; take its `survives` away")
    judged = [mutant for mutant in mutants if not mutant.survives]
    alive = [mutant.name for mutant in judged if outcomes[mutant.name].result == "survived"]
    if judged and 1 - len(alive) / len(judged) < NEEDED:
        found.append(f"less than {NEEDED:.0%} killed; alive: {', '.join(alive)}")
    return found


def _row(mutant: Mutant, outcome: Outcome) -> str:
    result = f"killed by {_test(outcome.by)}" if outcome.result == "killed" else f"**{outcome.result}**"
    why = f"{mutant.why} Accepted: {mutant.survives}" if mutant.survives else mutant.why
    return "| " + " | ".join(markdown_cell(text) for text in (mutant.name, mutant.file, result, why)) + " |"


def _test(by: str) -> str:
    """A test's file and name, without folders and parameters."""
    return by.partition("[")[0].rpartition("/")[2]
