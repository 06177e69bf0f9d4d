"""Sets A and B: strict thresholds make A, what the teacher learns from; lenient ones make B, which contains A."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fada.data.clip import read_record, write_record
from fada.data.scores.catalogue import SCORES
from fada.data.scores.folder import ScoredFolder
from fada.data.scores.measure import Scores
from fada.data.scores.table import write_scores
from fada.data.scores.thresholds import Thresholds, check_nested

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Decision:
    """What thresholds make of one clip."""

    set: str | None
    """"A" also belongs to B; None belongs to neither."""
    failed_strict: list[str]
    failed_lenient: list[str]

    def to_json(self) -> dict[str, Any]:
        """As it stands in a clip's record, under `filter`."""
        return {"set": self.set, "failed_strict": self.failed_strict, "failed_lenient": self.failed_lenient}


def decide(scores: Scores, strict: Thresholds, lenient: Thresholds) -> Decision:
    """The set of one clip."""
    failed_strict, failed_lenient = strict.failed(scores), lenient.failed(scores)
    return Decision(None if failed_lenient else "B" if failed_strict else "A", failed_strict, failed_lenient)


def filter_folder(folder: Path, scored: ScoredFolder, strict: Thresholds, lenient: Thresholds) -> dict[str, Decision]:
    """Decide about every scored clip; each decision goes into the clip's record, and all into the table.

    Raises:
        RecipeError: the lenient thresholds refuse what the strict ones take.
    """
    check_nested(strict, lenient)
    decisions, rows = {}, []
    for key, scores in scored.scores.items():
        decision = decide(scores, strict, lenient)
        file = folder / f"{key}.json"
        record = read_record(file)
        meta = record["meta"]
        if meta.get("filter") != decision.to_json():
            meta["filter"] = decision.to_json()
            write_record(file, record)
        known = {name: str(meta.get(name, "")) for name in ("identity", "split", "source")}
        reasons = [f"{name}: {why}" for name, why in scored.unmeasured.get(key, {}).items()]
        rows.append({"key": key, **known, **decision.to_json(), "unmeasured": reasons, **scores})
        decisions[key] = decision
    write_scores(folder, rows)
    return decisions


def tables(
    scored: ScoredFolder, decisions: Mapping[str, Decision], strict: Thresholds, lenient: Thresholds
) -> list[Table]:
    """For the terminal: the sets, then what each threshold removed."""
    from rich.table import Table

    sets = Table(title="sets", title_justify="left")
    for column in ("set", "clips", "minutes"):
        sets.add_column(column, justify="left" if column == "set" else "right")
    members = {"A (strict)": ("A",), "B (lenient, with A)": ("A", "B"), "neither": (None,)}
    for name, within in members.items():
        keys = [key for key, decision in decisions.items() if decision.set in within]
        minutes = sum(scored.scores[key]["seconds"] or 0.0 for key in keys) / 60
        sets.add_row(name, str(len(keys)), f"{minutes:.1f}")
    if scored.damaged:
        sets.add_row("unreadable", str(len(scored.damaged)), "")
    removed = Table(title="clips that each threshold refuses (alone)", title_justify="left")
    for column in ("score", "strict", "refused", "lenient", "refused", "not measured"):
        removed.add_column(column, justify="left" if column in ("score", "strict", "lenient") else "right")
    for name, score in SCORES.items():
        if name not in strict.by_score and name not in lenient.by_score:
            continue
        cells = []
        for thresholds, failed in (
            (strict, [decision.failed_strict for decision in decisions.values()]),
            (lenient, [decision.failed_lenient for decision in decisions.values()]),
        ):
            own = [names for names in failed if name in names]
            alone = sum(len(names) == 1 for names in own)
            cells += [_range(thresholds, name), f"{len(own)} ({alone})" if name in thresholds.by_score else ""]
        unmeasured = sum(scores.get(name) is None for scores in scored.scores.values())
        removed.add_row(f"{score.axis}.{name}", *cells, str(unmeasured) if unmeasured else "")
    return [sets, removed]


def _range(thresholds: Thresholds, name: str) -> str:
    low, high = thresholds.limits.get(name, (None, None))
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return "" if low is None and high is None else f"at least {low:g}" if high is None else f"at most {high:g}"
