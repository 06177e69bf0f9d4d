"""The page of a study of teachers: tables over seeds, and differences from its first row, paired by seed.

What a reader makes of it is written by hand under the heading `## Reading`, which a new page keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fada.eval.statistics.intervals import SIGNIFICANCE, Interval, holm, mean_p_value, paired_differences, t_interval
from fada.files.whole import write_json, write_text
from fada.studies.ablations.page import READING, check_page
from fada.studies.markdown_cells import row_text

Seeds = Mapping[str, Any]
"""By seed, what was measured of a row."""
Clips = Mapping[str, Mapping[str, float | None]]
"""By clip and name."""


@dataclass(frozen=True)
class Measure:
    """head: of its column; value: of what was measured of a row and seed, None where it says nothing; digits: shown."""

    head: str
    value: Callable[[Any], float | None]
    digits: int = 2

    def by_seed(self, seeds: Seeds) -> dict[str, float]:
        """Of every seed that has a value."""
        found = {seed: self.value(measured) for seed, measured in seeds.items()}
        return {seed: value for seed, value in found.items() if value is not None}


@dataclass(frozen=True)
class Comparison:
    """A row's difference from the first one in a measure: its interval, and p after Holm's correction."""

    difference: Interval | None
    p_value: float | None

    @property
    def is_open(self) -> bool:
        return self.p_value is None or self.p_value >= SIGNIFICANCE


def clip_mean(clips: Clips, name: str) -> float | None:
    """The mean over clips, of those that have a value; None where none has."""
    values = [value for each in clips.values() if (value := each[name]) is not None]
    return float(np.mean(values)) if values else None


def ratio_of_means(clips: Clips, name: str, over: str) -> float | None:
    """The ratio of two means over clips; None where the lower one is not positive."""
    above, below = clip_mean(clips, name), clip_mean(clips, over)
    return above / below if above is not None and below is not None and below > 0 else None


def write_study_page(results: Mapping[str, Any], page: Path, title: str, parts: Sequence[str]) -> Path:
    """Write the page of these parts, and all values beside it; a hand-written reading stays.

    Raises:
        FolderFault: one of these files is there, and no page that begins with the title.
    """
    check_page(page, title, frozenset(results))
    before = page.read_text(encoding="utf-8") if page.is_file() else ""
    reading = before[before.index(READING) :] if READING in before else f"{READING}\n\nNot written yet.\n"
    write_json(page.with_suffix(".json"), results)
    write_text(page, "\n\n".join([*parts, reading.rstrip()]) + "\n")
    return page


def seeds_words(rows: Mapping[str, Seeds]) -> str:
    """How many seeds a row has."""
    counts = sorted({len(found) for found in rows.values()})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} (not finished)"


def seeds_table(rows: Mapping[str, Seeds], measures: Sequence[Measure], head: str) -> str:
    """A line per row: how many seeds, and of each measure the mean ± half of the 95 % t-interval over them."""
    lines = [row_text([head, "seeds", *(each.head for each in measures)])]
    lines.append(row_text([":---", *["---:"] * (len(measures) + 1)]))
    for row, seeds in rows.items():
        cells = [cell(t_interval(list(each.by_seed(seeds).values())), each) for each in measures]
        lines.append(row_text([row, str(len(seeds)), *cells]))
    return "\n".join(lines)


Pair = tuple[str, Measure]
"""A row, and what it is compared in."""


def compared(rows: Mapping[str, Seeds], base: str, pairs: Sequence[Pair]) -> dict[Pair, Comparison]:
    """Differences from the row `base`, paired by seed; p of Student's t-test, corrected for all the pairs."""
    found = [paired_differences(measure.by_seed(rows[row]), measure.by_seed(rows[base])) for row, measure in pairs]
    corrected = holm([mean_p_value(each) for each in found])
    return {
        pair: Comparison(t_interval(each), p) for pair, each, p in zip(pairs, found, corrected, strict=True)
    }  # fmt: skip


def differences_table(
    rows: Mapping[str, Seeds],
    base: str,
    measures: Sequence[Measure],
    head: str,
    tested: Mapping[Pair, Comparison],
) -> str:
    """A line per row but the base; a word and a p where a pair is tested, else the difference alone."""
    lines = [row_text([head, *(each.head for each in measures)]), row_text([":---", *["---:"] * len(measures)])]
    for row in rows:
        if row != base:
            lines.append(row_text([row, *(_difference(rows, base, row, each, tested) for each in measures)]))
    return "\n".join(lines)


def _difference(
    rows: Mapping[str, Seeds], base: str, row: str, measure: Measure, tested: Mapping[Pair, Comparison]
) -> str:
    if (row, measure) in tested:
        return verdict(tested[row, measure], measure)
    return signed_cell(compared(rows, base, [(row, measure)])[row, measure].difference, measure)


def cell(found: Interval | None, measure: Measure) -> str:
    """A mean and half its interval."""
    if found is None:
        return "–"
    half = "" if found.half_width is None else f" ± {found.half_width:.{measure.digits}f}"
    return f"{found.mean:.{measure.digits}f}{half}"


def signed_cell(found: Interval | None, measure: Measure) -> str:
    """The same of a difference, with its sign."""
    return f"{'+' if found is not None and found.mean >= 0 else ''}{cell(found, measure)}"


def verdict(found: Comparison, measure: Measure) -> str:
    """A difference in words: more, less, or open."""
    difference = found.difference
    word = "open" if found.is_open else ("more" if difference and difference.mean > 0 else "less")
    p = "" if found.p_value is None else f", p {found.p_value:.3f}"
    return f"{signed_cell(difference, measure)}: {word}{p}"
