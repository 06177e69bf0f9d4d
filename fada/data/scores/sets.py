"""Sets A and B: strict thresholds make A, what the teacher learns from; lenient ones make B, which contains A.

What was decided stands in the folder's table of scores and nowhere else: other thresholds rewrite one file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fada.data.clips.clip import read_record
from fada.data.clips.clip_files import clip_file
from fada.data.scores.catalogue import SCORES
from fada.data.scores.decisions import hash_clip
from fada.data.scores.folder import ScoredFolder
from fada.data.scores.measure import Scores
from fada.data.scores.table import ScoresError, count_scores, has_columns, iterate_scores, write_scores
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
        """As it stands in the table, and in a shard's records under `filter`."""
        return {"set": self.set, "failed_strict": self.failed_strict, "failed_lenient": self.failed_lenient}


def decide(scores: Scores, strict: Thresholds, lenient: Thresholds) -> Decision:
    """The set of one clip."""
    failed_strict, failed_lenient = strict.failed(scores), lenient.failed(scores)
    return Decision(None if failed_lenient else "B" if failed_strict else "A", failed_strict, failed_lenient)


def filter_folder(folder: Path, scored: ScoredFolder, strict: Thresholds, lenient: Thresholds) -> dict[str, Decision]:
    """Decide about every scored clip, and write the folder's table; the clips' records stay as they are.

    Raises:
        RecipeError: the lenient thresholds refuse what the strict ones take.
    """
    check_nested(strict, lenient)
    decisions = {key: decide(scores, strict, lenient) for key, scores in scored.scores.items()}

    def rows() -> Iterator[dict[str, Any]]:
        for key, decision in decisions.items():
            record = read_record(clip_file(folder, key, ".json"))
            known = {name: str(record["meta"].get(name, "")) for name in ("identity", "split", "source")}
            known["clip"] = hash_clip(folder, record)
            reasons = [f"{name}: {why}" for name, why in scored.unmeasured.get(key, {}).items()]
            yield {"key": key, **known, **decision.to_json(), "unmeasured": reasons, **scored.scores[key]}

    write_scores(folder, rows())
    return decisions


def filter_table(
    folder: Path, strict: Thresholds, lenient: Thresholds, on_progress: Callable[[int, int], None] = lambda *_: None
) -> Tally:
    """Decide about every clip of the folder's table by its scores there; no clip is looked at.

    Raises:
        RecipeError: the lenient thresholds refuse what the strict ones take.
        ScoresError: there is no table, or one of an earlier version.
    """
    check_nested(strict, lenient)
    total, tally = count_scores(folder), Tally(strict, lenient)
    if not has_columns(folder, ("key", "clip", *SCORES)):
        raise ScoresError(
            f"{folder}: its table of scores is an earlier version's; make it once with fada data filter {folder}, "
            "without --thresholds-only (scores that are there are kept)"
        )

    def rows() -> Iterator[dict[str, Any]]:
        for number, row in enumerate(iterate_scores(folder), 1):
            scores = {name: row[name] for name in SCORES}
            decision = decide(scores, strict, lenient)
            tally.add(scores, decision)
            if number % 1000 == 0 or number == total:
                on_progress(number, total)
            yield {**row, **decision.to_json()}

    write_scores(folder, rows())
    return tally


@dataclass
class Tally:
    """Counts what thresholds make of clips, one after the other."""

    strict: Thresholds
    lenient: Thresholds
    clips: Counter[str | None] = field(default_factory=Counter)
    """By set."""
    seconds: Counter[str | None] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By thresholds ("strict", "lenient") and score; `alone`: those that nothing else refuses."""
    alone: Counter[tuple[str, str]] = field(default_factory=Counter)
    unmeasured: Counter[str] = field(default_factory=Counter)

    def add(self, scores: Mapping[str, float | None], decision: Decision) -> None:
        """One clip more."""
        self.clips[decision.set] += 1
        self.seconds[decision.set] += scores.get("seconds") or 0.0  # type: ignore[assignment]
        for name, failed in (("strict", decision.failed_strict), ("lenient", decision.failed_lenient)):
            self.refused.update((name, score) for score in failed)
            self.alone.update((name, score) for score in failed if len(failed) == 1)
        self.unmeasured.update(name for name in SCORES if scores.get(name) is None)

    def tables(self, damaged: int = 0) -> list[Table]:
        """For the terminal: the sets, then what each threshold removed.

        Args:
            damaged: clips that could not be read.
        """
        from rich.table import Table

        sets = Table(title="sets", title_justify="left")
        for column in ("set", "clips", "minutes"):
            sets.add_column(column, justify="left" if column == "set" else "right")
        members = {"A (strict)": ("A",), "B (lenient, with A)": ("A", "B"), "neither": (None,)}
        for name, within in members.items():
            minutes = sum(self.seconds[each] for each in within) / 60
            sets.add_row(name, str(sum(self.clips[each] for each in within)), f"{minutes:.1f}")
        if damaged:
            sets.add_row("unreadable", str(damaged), "")
        removed = Table(title="clips that each threshold refuses (alone)", title_justify="left")
        for column in ("score", "strict", "refused", "lenient", "refused", "not measured"):
            removed.add_column(column, justify="left" if column in ("score", "strict", "lenient") else "right")
        for name, score in SCORES.items():
            if name not in self.strict.by_score and name not in self.lenient.by_score:
                continue
            cells = []
            for title, thresholds in (("strict", self.strict), ("lenient", self.lenient)):
                counts = f"{self.refused[title, name]} ({self.alone[title, name]})"
                cells += [_range(thresholds, name), counts if name in thresholds.by_score else ""]
            removed.add_row(f"{score.axis}.{name}", *cells, str(self.unmeasured[name] or ""))
        return [sets, removed]


def tables(
    scored: ScoredFolder, decisions: Mapping[str, Decision], strict: Thresholds, lenient: Thresholds
) -> list[Table]:
    """For the terminal: the sets, then what each threshold removed."""
    tally = Tally(strict, lenient)
    for key, decision in decisions.items():
        tally.add(scored.scores[key], decision)
    return tally.tables(len(scored.damaged))


def _range(thresholds: Thresholds, name: str) -> str:
    low, high = thresholds.limits.get(name, (None, None))
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return "" if low is None and high is None else f"at least {low:g}" if high is None else f"at most {high:g}"
