"""What stands first on the page of the exact world: does distillation win, at which length, and could it.

Students against the best that can be had without training; the curve over training length; bounds of students without
any error; the sweeps over guidance scales.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fada.eval.statistics.intervals import Interval, t_interval
from fada.studies.exact.rows import PRIMARY
from fada.studies.exact.verdicts import compared
from fada.studies.markdown_cells import interval_text, row_text, signed_text

MEASURES = {"error": "error, quiet", "error_open": "error, both", "wrong_open": "share wrong, both"}
"""Shown in the summary; which of them decides a table is fixed in exact_rows.py."""
RIVALS = {
    "tokens@paper": (4, ("best undistilled 6 guided", "best undistilled 6 conditional")),
    "adaptive-0.25@paper": (3, ("best undistilled 18 guided",)),
    "perflow@paper": (2, ("best undistilled 18 guided",)),
}
"""Student → its table, and what has its cost without training."""
MATCHED_FAST = "tokens@matched"
CURVES = {**RIVALS, MATCHED_FAST: RIVALS["tokens@paper"]}
"""The same of students whose length of training is looked at."""
MOST_DOUBLINGS = 30
"""Of a step: a billion of them are in nobody's sight."""
SAME_COST = {"tokens@paper": "best undistilled 6", "adaptive-0.25@paper": "best undistilled 18"}
"""Swept student → what is swept beside it."""
NAMES = {
    "tokens@paper": "fast student, 6 evaluations",
    "adaptive-0.25@paper": "balanced student, 18 evaluations",
    "perflow@paper": "balanced student on A alone, 18 evaluations",
    MATCHED_FAST: "fast student, matched points, 6 evaluations",
}


def summary(results: Mapping[str, Any]) -> str:
    """Each student against the best undistilled sampler of its cost, and the headroom between that and the teacher."""
    lines = table_head(
        ["student, the paper's setting", "measure", "student", "best undistilled", "teacher", "error less", ""]
    )
    for student, (table, names) in RIVALS.items():
        for measure, label in MEASURES.items():
            columns = {name: _column(results["rows"], name, table, measure) for name in (student, *names)}
            if any(not column for column in columns.values()):
                continue
            rival = min(names, key=lambda name: float(np.mean(columns[name])))
            found = t_interval(compared(results, table, rival, student, measure))
            teacher = _column(results["rows"], "teacher on A", table, measure)
            above = t_interval(compared(results, table, rival, "teacher on A", measure))
            word = _word(found) if above is not None and above.low is not None and above.low > 0 else (
                "no headroom: this comparison shows nothing")  # fmt: skip
            decides = f"**{label}**" if measure == PRIMARY[table] else label
            lines.append(row_text([NAMES[student], decides, interval_text(t_interval(columns[student])),
                                   f"{interval_text(t_interval(columns[rival]))} ({rival.split(maxsplit=2)[2]})",
                                   interval_text(t_interval(teacher)), signed_text(found), word]))  # fmt: skip
    return "## Does it win?\n\nPaired over seeds; bold measures decide a table.\n\n" + "\n".join(lines)


def curve_text(results: Mapping[str, Any]) -> str:
    """Errors over training length beside the best undistilled sampler of equal cost, on seeds of their own."""
    if "curve" not in results:
        return ""
    entries = results["curve"]
    known = {each["row"]: each["tables"] for each in entries if not each["steps"]}
    if not known:
        return ""
    lines = table_head(
        ["student", "steps × clips", *MEASURES.values(), "error less than the best undistilled, quiet", "both"]
    )
    notes = []
    for student, (table, names) in CURVES.items():
        trained = [each for each in entries if each["row"] == student and each["steps"]]
        trained.sort(key=_clips)
        for each in trained:
            values = each["tables"][str(table)]
            gains = [_against(values, known, names, table, measure)[0] for measure in ("error", "error_open")]
            lines.append(row_text([NAMES[student], f"{each['steps']} × {each['batch']}",
                                   *(interval_text(t_interval(values[key])) for key in MEASURES),
                                   *map(signed_text, gains)]))  # fmt: skip
        for measure in ("error", "error_open"):
            if len(trained) > 1:
                notes.append(_extrapolated(student, trained, known, names, table, measure))
    seeds = len(next(iter(known.values()))["2"]["error"])
    return (
        f"## Length of training\n\n{seeds} seeds of their own, everything else as in the tables.\n\n"
        + "\n".join(lines) + "\n\n" + "\n".join(notes)
    )  # fmt: skip


def bounds_text(results: Mapping[str, Any]) -> str:
    """Perfect balanced students beside the teacher and the best undistilled ones, by scales, windows and spacing."""
    if "bounds" not in results:
        return ""
    counts = sorted({each["windows"] for each in results["bounds"] if each["windows"]})
    pairs = list(dict.fromkeys((each["reference"], each["audio"]) for each in results["bounds"]))
    parts = []
    for measure in ("error", "error_open"):
        head = ["reference, audio", "teacher, 75", "best undistilled 18", "best undistilled 6", "equal steps of"]
        lines = table_head([*head, *(f"{count}: {3 * count}" for count in counts)])
        for pair in pairs:
            at = [each for each in results["bounds"] if (each["reference"], each["audio"]) == pair]
            lines += _bound_lines(pair, at, counts, measure)
        parts.append(f"{MEASURES[measure].capitalize()}:\n\n" + "\n".join(lines))
    return f"""## What a perfect student could reach

A *perfect fast* student ends where its teacher does: its bound is the teacher's column, whatever the windows. A
*perfect balanced* one goes each branch's true way to the window's end and combines the ends, a step per window, so that
its bound depends on windows and scales. Columns: windows, and the evaluations of a step in each. **Bold**: better than
the best undistilled 18 evaluations (paired 95 % interval) with no more evaluations than these.

{parts[0]}

{parts[1]}"""


def _bound_lines(
    pair: tuple[float, float], at: Sequence[Mapping[str, Any]], counts: Sequence[int], measure: str
) -> list[str]:
    by_name = {each["name"]: each["measures"][measure] for each in at if each["name"] != "perfect balanced"}
    rival = by_name[f"undistilled guided 18, best in {measure}"]
    six = min(
        (by_name[f"undistilled {kind}, best in {measure}"] for kind in ("guided 6", "conditional 6")), key=np.mean
    )
    perfect = {(each["windows"], each["spacing"]): each for each in at if each["name"] == "perfect balanced"}
    lines = []
    for spacing in dict.fromkeys(spacing for _, spacing in perfect):
        cells = []
        for count in counts:
            each = perfect.get((count, spacing)) or perfect[(count, "time")]
            values = each["measures"][measure]
            gain = t_interval([a - b for a, b in zip(rival, values, strict=True)])
            wins = gain is not None and gain.low is not None and gain.low > 0 and each["cost"] <= 18
            cells.append(f"**{np.mean(values):.3f}**" if wins else f"{np.mean(values):.3f}")
        shown = [f"{pair[0]:g}, {pair[1]:g}", *(f"{np.mean(each):.3f}" for each in (by_name["teacher"], rival, six))]
        lines.append(row_text([*(shown if spacing == "time" else [""] * 4), str(spacing).replace("_", " "), *cells]))
    return lines


def sweeps_text(results: Mapping[str, Any], picture: str) -> str:
    """The paper's Figures 3 and 4: teacher, students, and the best that can be had without training at their costs."""
    sweeps = results.get("sweeps", {})
    if not sweeps:
        return ""
    parts = [f"## Guidance scales: the paper's Figures 3 and 4\n\n![error over audio and reference scale]({picture})"]
    for axis in next(iter(sweeps.values())):
        for measure in ("error", "error_open"):
            lines = table_head(["reference, audio", *(NAMES.get(name, name) for name in sweeps)])
            for place, first in enumerate(sweeps["teacher"][axis]):
                columns = {name: swept[axis][place]["measures"][measure] for name, swept in sweeps.items()}
                cells = [_beside_rival(columns, name) for name in columns]
                lines.append(row_text(["{:g}, {:g}".format(*first["scales"]), *cells]))
            parts.append(f"Over the {axis} scale, {MEASURES[measure]}:\n\n" + "\n".join(lines))
    note = "The first block of seeds. **Bold**: a student ahead of the best undistilled sampler of its cost at the same"
    return "\n\n".join([*parts, f"{note} scales (solver, nodes and network searched there; paired 95 % interval)."])


def _beside_rival(columns: Mapping[str, list[float]], name: str) -> str:
    """A cell of a sweep, bold where a student is ahead of what has its cost."""
    text = interval_text(t_interval(columns[name]))
    rival = columns.get(
        {"tokens@paper": "best undistilled 6", "adaptive-0.25@paper": "best undistilled 18"}.get(name, "")
    )
    if rival is None:
        return text
    gain = t_interval([a - b for a, b in zip(rival, columns[name], strict=True)])
    return f"**{text}**" if gain is not None and gain.low is not None and gain.low > 0 else text


def table_head(cells: Sequence[str]) -> list[str]:
    """Two lines: names, and a rule; numbers to the right."""
    return [row_text(cells), row_text(["---", *["---:"] * (len(cells) - 1)])]


def _column(rows: Mapping[str, Any], name: str, table: int, measure: str) -> list[float]:
    return list(rows.get(name, {}).get(str(table), {}).get(measure, []))


def _against(
    values: Mapping[str, Any], known: Mapping[str, Any], names: Sequence[str], table: int, measure: str
) -> tuple[Interval | None, float]:
    """How much less the error is than the best undistilled sampler's, and that one's error."""
    rival = min((known[name][str(table)][measure] for name in names), key=lambda column: float(np.mean(column)))
    return t_interval([a - b for a, b in zip(rival, values[measure], strict=True)]), float(np.mean(rival))


def _extrapolated(
    student: str,
    trained: Sequence[Mapping[str, Any]],
    known: Mapping[str, Any],
    names: Sequence[str],
    table: int,
    measure: str,
) -> str:
    """A line through the last three lengths, in doublings of the clips that were seen."""
    last = trained[-3:]
    lengths = [math.log2(_clips(each)) for each in last]
    means = [float(np.mean(each["tables"][str(table)][measure])) for each in last]
    slope, start = (float(value) for value in np.polyfit(lengths, means, 1))
    rival = _against(last[-1]["tables"][str(table)], known, names, table, measure)[1]
    said = f"- {NAMES[student]}, {MEASURES[measure]}: {slope:+.4f} per doubling at the end; "
    if means[-1] < rival:
        return said + "ahead of the best undistilled."
    doublings = (rival - start) / slope if slope < 0 else math.inf
    if doublings > MOST_DOUBLINGS:
        return said + f"at that rate no length in sight reaches the best undistilled ({rival:.3f})."
    needed = 2**doublings
    return said + f"if that went on, the best undistilled ({rival:.3f}) would be reached after {needed:,.0f} clips."


def _clips(trained: Mapping[str, Any]) -> int:
    """How many clips a training has seen."""
    return int(trained["steps"]) * int(trained["batch"])


def _word(found: Interval | None) -> str:
    if found is None or found.low is None or found.high is None:
        return ""
    return "**wins**" if found.low > 0 else "**loses**" if found.high < 0 else "undecided"
