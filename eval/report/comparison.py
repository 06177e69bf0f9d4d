"""A comparison of two runs as tables for the terminal and Markdown, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fada.eval.comparison.compare import Compared, Comparison
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.report.cells import distance_label, interval_cell, metric_head
from fada.eval.report.table import Cell, Table
from fada.eval.statistics.intervals import SIGNIFICANCE
from fada.files.whole import write_json, write_text

SCHEMA_VERSION = 1
WORDS = ("better", "worse", "no difference shown", "equal", "not judged")
TONES = {"better": "good", "worse": "bad", "not judged": "unknown"}


def comparison_tables(found: Comparison, labels: tuple[str, str], with_equal: bool = True) -> dict[str, Table]:
    """Verdicts, quality, latency and distributions by a short name; empty ones left out.

    Args:
        found: the comparison.
        labels: what the two runs are called.
        with_equal: whether to list figures that are the same in both runs (they are always counted).
    """
    quality, distributions = (
        [each for each in part if with_equal or each.word != "equal"] for part in (found.quality, found.distributions)
    )
    tables = {
        "verdicts": _verdicts(found, labels),
        "quality": _quality(quality),
        "latency": _latency(found.latency),
        "distributions": _distributions(distributions),
    }
    return {name: table for name, table in tables.items() if table.rows}


def comparison_markdown(found: Comparison, labels: tuple[str, str]) -> str:
    """The whole comparison as text."""
    before, after = labels
    parts = [f"# {after} against {before}", opening(found, labels)]
    parts += [f"## {table.title}\n\n{table.markdown()}" for table in comparison_tables(found, labels).values()]
    return "\n\n".join(parts) + "\n"


def opening(found: Comparison, labels: tuple[str, str]) -> str:
    """What was compared, and what a reader must know about it."""
    before, after = labels
    first = (
        f"A is {before} (protocol {found.protocols[0]}), B is {after} (protocol {found.protocols[1]}); "
        f"{len(found.clips)} clips in common, same clips and same noise. The verdict is on B."
    )
    scope = (
        "It is about these two models on clips like these: what training again with another seed would change is in "
        "no interval here."
    )
    return " ".join([first, *found.notes, scope])


def write_comparison(found: Comparison, labels: tuple[str, str], folder: Path) -> tuple[Path, Path]:
    """Writes ``comparison.md`` and ``comparison.json`` (with its schema version); returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    text, data = folder / "comparison.md", folder / "comparison.json"
    write_text(text, comparison_markdown(found, labels))
    content: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "before": labels[0], "after": labels[1]}
    write_json(data, content | asdict(found))
    return text, data


def _verdicts(found: Comparison, labels: tuple[str, str]) -> Table:
    """How often each verdict was given, per system."""
    counts: dict[str, Counter[str]] = {}
    for each in (*found.quality, *found.distributions, *found.latency):
        counts.setdefault(each.system, Counter())[each.word] += 1
    rows = [
        [Cell(system), *(Cell(str(count[word]), float(count[word])) for word in WORDS)]
        for system, count in counts.items()
    ]
    return Table(f"Verdicts on {labels[1]}", ("system", *WORDS), rows)


def _quality(found: Sequence[Compared]) -> Table:
    rows = []
    for each in found:
        digits = CATALOGUE[each.metric].digits
        rows.append(
            [
                Cell(each.system),
                Cell(metric_head(each.metric)),
                *(Cell(f"{value:.{digits}f}", value) for value in (each.before, each.after)),
                interval_cell(each.change, each.metric, signed=True),
                Cell("-") if each.change is None else Cell(str(each.change.count), each.change.count),
                Cell("-") if each.p_value is None else Cell(f"{each.p_value:.2g}", each.p_value),
                _verdict(each),
            ]
        )
    tests = sum(each.p_value is not None for each in found)
    notes = (
        "B - A: mean paired difference ± half its own 95 % t-interval, for metrics marked →0 or →1 of the distance "
        f"from there. The verdict is at {SIGNIFICANCE:.0%} after Holm's correction for {tests} tests: an interval may "
        "leave zero out and yet show no difference. Equal: every clip agrees to a thousandth of the figure.",
        *_reasons(found),
    )
    return Table("Quality", ("system", "metric", "A", "B", "B - A", "N", "p (Holm)", "verdict"), rows, notes)


def _latency(found: Sequence[Compared]) -> Table:
    rows = []
    for each in found:
        assert each.change is not None
        ends = "" if each.change.low is None else f" ({each.change.low:.3f} to {each.change.high:.3f})"
        rows.append(
            [
                Cell(each.system),
                Cell(each.metric),
                *(Cell(f"{value:.3f}", value) for value in (each.before, each.after)),
                Cell(f"{each.change.mean:.3f}{ends}", each.change.mean),
                Cell(str(each.change.count), each.change.count),
                _verdict(each),
            ]
        )
    notes = (
        "Median seconds per second of video; B / A with a bootstrap interval over rounds, widened for "
        f"{len(rows)} comparisons to {SIGNIFICANCE:.0%} in all. Rounds of one sitting do not show how a machine "
        "changes between two.",
        *_reasons(found),
    )
    return Table("Latency", ("system", "stage", "A, s/s", "B, s/s", "B / A", "rounds", "verdict"), rows, notes)


def _distributions(found: Sequence[Compared]) -> Table:
    rows = [
        [
            Cell(each.system),
            Cell(distance_label(each.metric)),
            Cell(f"{each.before:.4g}", each.before),
            Cell(f"{each.after:.4g}", each.after),
            _verdict(each),
        ]
        for each in found
    ]
    notes = ("Better or worse where the intervals of the two reports leave a gap.", *_reasons(found))
    return Table("Distances over all clips", ("system", "metric", "A", "B", "verdict"), rows, notes)


def _reasons(found: Sequence[Compared]) -> tuple[str, ...]:
    """A sentence for every reason why something was not judged."""
    counts = Counter(each.why for each in found if each.why)
    return tuple(f"Not judged ({count} of {len(found)}): {why}." for why, count in counts.items())


def _verdict(each: Compared) -> Cell:
    return Cell(each.word, tone=TONES.get(each.word, ""))
