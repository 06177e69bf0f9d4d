"""Tables of what needs no training: the headroom gate, students against their strongest rivals, the searched nodes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fada.eval.bench.headroom import NO_HEADROOM, Gate, gates_of, students
from fada.eval.bench.qualities import measured_qualities
from fada.eval.bench.results import BenchResults
from fada.eval.bench.rivals import Contest
from fada.eval.bench.undistilled import PLAIN, Search, Tried
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.report.cells import NULL, measure_head, signed_cell
from fada.eval.report.table import Cell, Table
from fada.eval.statistics.intervals import SIGNIFICANCE

HEADROOM_TITLE = "Headroom: what was never trained, against the teacher"
TONES = {"beats": "good", "loses": "bad", "undecided": "unknown"}


def headroom_table(results: BenchResults) -> Table:
    """A row per student and undistilled way at its cost: how much it is worse than the reference, and the verdict."""
    measures = measured_qualities(results)
    rows = [
        [Cell(student), *_gate_cells(each, measures)]
        for student in students(results)
        for each in gates_of(results, student)
    ]
    columns = ("student", "untrained, at its cost", "NFE-D", *(f"worse in {measure_head(name)}" for name in measures))
    return Table(HEADROOM_TITLE, (*columns, "verdict"), rows, (headroom_note(results.reference, len(measures)),))


def headroom_note(teacher: str, measures: int) -> str:
    """How the gate is read."""
    return (
        f"By how much it is worse than {teacher}, paired over clips, ± half the interval (widened, so that {measures} "
        f"measures together err in {SIGNIFICANCE:.0%}). Everything untrained must lose in one of them by more than the "
        f"interval, or {NO_HEADROOM.split(': ')[1]}. Nearness to the teacher is no quality."
    )


def _gate_cells(found: Gate, measures: Sequence[str]) -> list[Cell]:
    cells = [signed_cell(found.losses.get(name), name) for name in measures]
    tone = "good" if found.passes else "bad"
    return [Cell(found.untrained), Cell(str(found.evaluations), float(found.evaluations)), *cells,
            Cell(found.word, tone=tone)]  # fmt: skip


def rivals_table(found: Sequence[Contest]) -> Table:
    """Students against the best that needs no training, a row per quality measure."""
    has_runs = any(each.over_runs is not None for each in found)
    rows = []
    for each in found:
        runs = [signed_cell(each.over_runs, each.measure)] if has_runs else []
        rows.append(
            [
                Cell(each.student),
                Cell(measure_head(each.measure)),
                Cell(each.word, tone=TONES[each.word]),
                Cell(", ".join(each.rivals)),
                Cell(str(each.of), float(each.of)),
                signed_cell(each.over_clips, each.measure),
                *runs,
                Cell(str(each.over_clips.count), float(each.over_clips.count)),
            ]
        )
    over = ("advantage (over clips)", "advantage (over runs)") if has_runs else ("advantage",)
    note = (
        "Advantage of the student over the strongest undistilled way at its cost, chosen in each measure on these very "
        "clips, positive where the student is better; paired over clips, ± half the interval (together "
        f"{SIGNIFICANCE:.0%} for all measures of a student). Quality error: logarithm of the geometric mean of what "
        "the mouth lacks (1 - r) and the identity error, so that 0.1 is a tenth less; what is strongest in one of them "
        "alone may fail in the other. "
        + ("Every interval must lie on one side of zero." if has_runs else "One run: other training seeds may differ.")
    )
    columns = ("student", "measure", "verdict", "strongest rival", "of", *over, "clips")
    return Table("Students against the best without training", columns, rows, (note,))


def search_table(searches: Mapping[str, Search]) -> Table:
    """Every sampler that was tried on the spare clips, the winners named."""
    measures = list(dict.fromkeys(name for found in searches.values() for each in found.tried for name in each.values))
    rows = [_tried_cells(name, found, each, measures) for name, found in searches.items() for each in found.tried]
    clips = list(dict.fromkeys(clip for found in searches.values() for clip in found.clips))
    note = (
        f"On {len(clips)} spare held-out clips ({', '.join(clips)}), none of the report's, from the same noise. Error "
        "of quality: geometric mean of what the measures lack (1 - r of a correlation). What wins in it, or is nearest "
        "to the guided teacher of many steps, stands in the report."
    )
    if not searches:
        note = (
            "Not searched: there are no held-out clips beside those of the report, or bench.search_clips is 0. The "
            "undistilled baselines are plain DDIM at equal steps of time, and a better sampler may be nearer."
        )
    heads = [measure_head(name) for name in measures]
    columns = ("baseline", "solver", "equal steps of", "error of quality", "distance to teacher", *heads, "wins")
    return Table("Undistilled baselines: solver and time nodes", columns, rows, (note,))


def _tried_cells(name: str, found: Search, tried: Tried, measures: Sequence[str]) -> list[Cell]:
    error = found.error(tried)
    won = [word for word, winner in (("quality", found.best), ("nearness", found.nearest)) if winner == tried]
    means = [float(np.mean(values)) if (values := tried.values.get(each)) else None for each in measures]
    return [
        Cell(f"{name}: {found.cost}"),
        Cell(tried.solver + (" (plain)" if tried.sampler == PLAIN else "")),
        Cell(tried.spacing),
        Cell("-") if math.isinf(error) else Cell(f"{error:.4g}", error),
        Cell(f"{tried.distance:.4g}", tried.distance),
        *(_mean(measure, mean) for measure, mean in zip(measures, means, strict=True)),
        Cell(" and ".join(won), tone="good" if won else ""),
    ]


def _mean(measure: str, value: float | None) -> Cell:
    if value is None:
        return NULL
    return Cell(f"{value:.{CATALOGUE[measure].digits}f}" if measure in CATALOGUE else f"{value:.4g}", value)
