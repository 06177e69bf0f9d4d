"""The page of the ablations in the drawn world: headroom, tables in the paper's layout, orders, controls; all computed.

What a reader makes of it is written by hand under the heading `## Reading`, which a new page keeps.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fada.eval.bench.headroom import NO_HEADROOM
from fada.eval.bench.results import kept_json
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.report.canvas import COLOURS, new_figure, save_figure
from fada.eval.report.sweeps import plot_sweep, sweep_table
from fada.eval.report.undistilled import headroom_note
from fada.eval.statistics.intervals import Interval, t_interval
from fada.files.errors import FolderFault
from fada.files.whole import write_json, write_text
from fada.media.frame_count import frames_in
from fada.recipe.earlier import translated
from fada.studies.ablations.headroom import baselines_of_table, gates_of_table
from fada.studies.ablations.order_verdicts import decided
from fada.studies.ablations.orders_section import controls_section, orders_section, rivals_section, signed
from fada.studies.ablations.rows import (
    DECIDED_ON,
    ORDERS,
    PAPER_COLUMNS,
    PAPER_TEACHER,
    TABLES,
    TEACHER_B,
    Half,
    rows,
)
from fada.studies.ablations.sweeps import AXES, as_sweeps
from fada.studies.ablations.verdicts import clips_of, drawn_orders, error_of, identity_mean, lines_compared, mouth_mean

READING = "## Reading"
TITLE = "# Ablations"
"""How the page begins: only such a file is replaced."""
VALUES = frozenset(["rows", "baselines"])
"""Some of what the values beside it have."""
HALVES: tuple[Half, ...] = ("narrow", "beyond")
HALF_NAMES = {"narrow": "as A", "beyond": "beyond A"}
HEADS = {
    "mouth_correlation_synth": "mouth-audio r",
    "identity_error_synth": "identity error",
    "fd_latent_synth": "fd_latent",
}
COLUMNS = {
    "error narrow": "quality error, as A ↓",
    "error beyond": "quality error, beyond A ↓",
    "error": "quality error, both ↓",
    "mouth": "r: as A / beyond ↑",
    "identity": "identity error: as A / beyond ↓",
    "fd_latent_synth": "fd_latent ↓",
    "latent_mse_reference": "distance to teacher ↓",
}


def write_page(results: dict[str, Any], page: Path) -> Path:
    """Write the page, the plots and all values beside it; the page's path. A hand-written reading stays.

    Raises:
        FolderFault: one of these files is there, and no page of ablations.
    """
    check_page(page)
    write_json(page.with_suffix(".json"), results)
    before = page.read_text(encoding="utf-8") if page.is_file() else ""
    # A reading of other numbers is none of these.
    is_same = before.startswith(f"{TITLE}: ") and READING in before and DRAWN_TIER in before
    reading = before[before.index(READING) :] if is_same else f"{READING}\n\nNot written yet.\n"
    parts = [_opening(results, page), _headroom(results), *(_table(number, results) for number in TABLES)]
    parts += [orders_section(results), controls_section(results), rivals_section(results), _sweeps(results, page)]
    parts += [_training(results), f"![every seed and the mean of every row]({_plot(results, page).name})", reading]
    write_text(page, "\n\n".join(part for part in parts if part))
    return page


DRAWN_TIER = "**Tier: drawn world with headroom.**"


def check_page(page: Path, title: str = TITLE, values: frozenset[str] = VALUES) -> None:
    """Nothing, where a page may be written: none of its files is there, or an earlier page of ablations is.

    Args:
        title: how such a page begins.
        values: keys of the values beside it.

    Raises:
        FolderFault: naming the file that would be overwritten.
    """
    before = page.read_bytes() if page.is_file() else None
    if before is not None and before.startswith(title.encode()):
        return
    named = [page, page.with_suffix(".json")]
    pictures = [page.stem, *(f"{page.stem}-{axis}-scale" for axis in AXES)]
    named += [page.with_name(f"{name}{ending}") for name in pictures for ending in (".png", ".svg")]
    there = [file for file in named if os.path.lexists(file) and not _is_ours(file, values)]
    if there:
        raise FolderFault(f"{there[0]}: is there, and no page of ablations; give another name with --page")


def _is_ours(file: Path, values: frozenset[str]) -> bool:
    """Whether values of ablations lie here: beside the runs they do so before there is a page."""
    return file.suffix == ".json" and values <= kept_json(file).keys()


def over_seeds(results: Mapping[str, Any], measured: Mapping[str, Any], column: str) -> Interval | None:
    """Mean over seeds with the 95 % t-interval over seeds; None where no seed has a value."""
    values = (value_of(results, found, column) for found in measured.values())
    return t_interval([value for value in values if value is not None])


def value_of(results: Mapping[str, Any], found: Mapping[str, Any], column: str) -> float | None:
    """One line's value in a column of COLUMNS, or in `mouth narrow`, `identity beyond` and so on."""
    name, _, half = column.partition(" ")
    clips = clips_of(results, found, HALVES if not half else (half,))  # type: ignore[arg-type]
    if name in ("error", "mouth", "identity"):
        return {"error": error_of, "mouth": mouth_mean, "identity": identity_mean}[name](found, clips)
    if name == "fd_latent_synth":
        return found[name]
    values = [value for clip in clips if (value := found["clips"][clip][name]) is not None]
    return sum(values) / len(values) if values else None


def _opening(results: dict[str, Any], page: Path) -> str:
    # Results that are kept may be an earlier version's.
    recipe, clips = translated(results["recipe"]), results["clips"]
    phases, bench = recipe["distill"]["phases"], recipe["bench"]
    frames, seeds = math.floor(frames_in(bench["seconds"], recipe["clip"]["fps"])), results["seeds"]
    missing = [name for name in rows() if name != TEACHER_B and len(results["rows"].get(name, {})) < len(seeds)]
    missing += [] if results["teacher-b"] else [TEACHER_B]
    words = [order.word for order in drawn_orders(results)]
    if len(words) == len(ORDERS) and decided(words) == len(words):
        # The run ends there: no row has to get the seeds that were asked for at most.
        missing = []
    unfinished = f"\n\n**Not finished: {', '.join(missing)}.** The command goes on there." if missing else ""
    command = "make ablations" if not results["overrides"] else f"fada ablate {' '.join(results['overrides'])}"
    beyond = sum(half == "beyond" for half in clips.values())
    done = max((len(found) for found in results["rows"].values()), default=0)
    counted = "1 seed" if done == 1 else f"{done} seeds"
    world, size = recipe["data"]["world"] or {}, recipe["clip"]["size"]
    before = sum(phase["steps"] for phase in phases[:-1])
    return f"""{TITLE}: the paper's Tables 2, 3 and 4 in the drawn world

```sh
{command}     # resumes; every row alone: fada distill recipes/ablations/NAME.yaml
```

{DRAWN_TIER} Drawn faces of {size} pixels whose head, gaze, brows and expression the sound leaves undecided, and a small
teacher trained on A. A leaves out loud speech, far postures and some looks. Of all training clips
{world.get("beyond_share", 0):.0%} show these, and {world.get("flawed_share", 0):.0%} have flaws: together they are B.
Every row has the paper's setting where its method has one: four windows of equal time, learned anywhere in them, called
with 2-2-1-1 steps at audio scale {bench["scales"]["audio"]:g} and reference scale {bench["scales"]["reference"]:g}.

**{counted}** per row, each a distillation of **{phases[-1]["steps"]} steps of {phases[-1]["batch"]} clips** that
starts from a student without ground truth ({before} steps on A, {results["bases"]} trainings per kind, which seeds take
in turn). Rows of a seed learn from the same draws. Every seed is measured on {bench["clips"]} held-out clips of its
own, {frames} frames each; there are {len(clips)} of them, {beyond} beyond A, then they come round again. So an interval
over seeds is one over trainings and clips. Values are means over seeds ± half the 95 % t-interval; all of them are in
[{page.stem}.json]({page.stem}.json). Columns marked "paper" are quoted (real faces, other networks, other measures):
they stand beside ours for the order of the rows only.{unfinished}

- **quality error** (decides; written before any run): geometric mean of 1 − r and the identity error. Table 2 is
  decided on clips as A, Tables 3 and 4 on both halves together
- mouth-audio r: the mouth's opening against the sound's own, 0 for a mouth that stands still; identity error: how far
  the head is from the person at the place where it is, in levels of 255
- fd_latent: Fréchet distance of pooled latents over all clips (of a line in italics over more of them, so only rows may
  be set beside rows); distance to teacher: latent MSE to its {3 * bench["teacher_steps"]} evaluations, same noise"""


def _headroom(results: dict[str, Any]) -> str:
    """By how much every untrained line is worse than the teacher in each measure of quality, and what follows."""
    gates = [(number, each) for number in TABLES for each in gates_of_table(results, number)]
    measures = list(dict.fromkeys(name for _, each in gates for name in each.losses))
    head = [
        "table",
        "untrained",
        "NFE-D",
        "quality error more by",
        *(f"worse in {HEADS[name]}" for name in measures),
        "",
    ]
    lines = [_line(head), _line(["---", "---", "---:", *["---:"] * (1 + len(measures)), "---"])]
    for number, each in gates:
        lost = t_interval(lines_compared(results, each.untrained, "teacher", DECIDED_ON[number]))
        cells = [_signed(each.losses[name], name) if name in each.losses else "–" for name in measures]
        word = each.word if each.passes else f"**{each.word}**"
        lines.append(_line([str(number), each.untrained, str(each.evaluations), signed(lost), *cells, word]))
    spare = results["baselines"].get("teacher", {}).get("spare_clips", [])
    searched = (
        f"Solver and nodes of the teacher's own ways were searched on {len(spare)} other held-out clips."
        if spare
        else "Solver and nodes of the teacher's own ways were not searched: they are plain DDIM at equal steps of time."
    )
    note = f"{headroom_note('the guided teacher', max(1, len(measures)))} {searched}"
    return f"## Headroom\n\n{chr(10).join(lines)}\n\n{note}"


def _table(number: int, results: dict[str, Any]) -> str:
    title, listed = TABLES[number]
    decides = "error narrow" if DECIDED_ON[number] == ("narrow",) else "error"
    heads = [f"**{text}**" if column == decides else text for column, text in COLUMNS.items()]
    head = ["method", "NFE-D", *heads, *(f"paper: {name}" for name in PAPER_COLUMNS)]
    lines = [_line(head), _line(["---", *["---:"] * (len(head) - 1)])]
    none = [""] * len(PAPER_COLUMNS)
    for name in baselines_of_table(results, number):
        paper = [f"{value:g}" for value in PAPER_TEACHER] if name == "teacher" else none
        lines.append(_cells(results, f"*{name}*", {"": results["baselines"][name]}, paper))
    for row in listed:
        measured = results["rows"].get(row.name)
        if row.name == TEACHER_B:
            measured = {"0": results["teacher-b"]} if results["teacher-b"] else None
        if measured is None:
            continue
        label = f"[{row.label}](../../recipes/ablations/{row.name}.yaml)"
        if row.name != TEACHER_B and len(measured) < len(results["seeds"]):
            label += f" ({len(measured)} of {len(results['seeds'])} seeds)"
        paper = none if row.paper is None else [f"{value:g}" for value in row.paper]
        lines.append(_cells(results, label, measured, paper))
    failed = [each for each in gates_of_table(results, number) if not each.passes]
    shut = f"**{NO_HEADROOM}** ({', '.join(each.untrained for each in failed)})\n\n" if failed else ""
    return f"## Table {number}: {title}\n\n{shut}" + "\n".join(lines)


def _cells(results: dict[str, Any], label: str, measured: Mapping[str, Any], paper: Sequence[str]) -> str:
    def cell(column: str) -> str:
        if column in ("mouth", "identity"):
            return " / ".join(_interval(column, over_seeds(results, measured, f"{column} {half}")) for half in HALVES)
        return _interval(column, over_seeds(results, measured, column))

    nfe = str(next(iter(measured.values()))["nfe"])
    return _line([label, nfe, *map(cell, COLUMNS), *paper])


def _sweeps(results: dict[str, Any], page: Path) -> str:
    parts = []
    for sweep in as_sweeps(results["sweeps"]):
        picture = plot_sweep(sweep, page.with_name(f"{page.stem}-{sweep.name}"))
        parts.append(f"![{sweep.label}]({picture.name})\n\n{sweep_table(sweep).markdown()}")
    if not parts:
        return ""
    head = "## Figures 3 and 4: guidance scales, of the teacher and of the fast student"
    return "\n\n".join([head, "The student is `tokens` of the first seed, six evaluations a clip; clips as A.", *parts])


def _training(results: dict[str, Any]) -> str:
    names = {
        "loss_distill": "teacher loss", "loss_ground_truth": "ground-truth loss", "ratio_A": "median R on A",
        "ratio_B": "median R on B", "weight_mean": "mean W", "dead_share": "share with W = 0",
    }  # fmt: skip
    lines = [_line(["row", *names.values()]), _line(["---", *["---:"] * len(names)])]
    for name, measured in results["rows"].items():
        means = []
        for key in names:
            values = [found["training"][key] for found in measured.values() if key in found["training"]]
            means.append(f"{sum(values) / len(values):.3g}" if values else "–")
        lines.append(_line([name, *means]))
    return "## What training saw\n\nMeans over the second half of the steps and over seeds.\n\n" + "\n".join(lines)


def _plot(results: dict[str, Any], page: Path) -> Path:
    """Every row's seeds as dots and their mean with its interval, a panel per half and for both."""
    names = list(results["rows"])
    tables = {row.name: number for number in sorted(TABLES, reverse=True) for row in TABLES[number][1]}
    columns = ("error narrow", "error beyond", "error", "latent_mse_reference")
    figure, axes = new_figure(len(columns), width=6.0, height=4.2)
    for axis, column in zip(axes, columns, strict=True):
        for place, name in enumerate(names):
            measured = results["rows"][name]
            colour = COLOURS[tables.get(name, 5) - 2]
            dots = [value for each in measured.values() if (value := value_of(results, each, column)) is not None]
            axis.scatter(dots, [place] * len(dots), s=14, color=colour, alpha=0.6)
            found = over_seeds(results, measured, column)
            if found is not None:
                axis.errorbar(found.mean, place, xerr=found.half_width, fmt="|", color=colour, capsize=2, markersize=10)
        teacher = results["baselines"].get("teacher")
        # Its distance to itself has no place on a logarithmic axis.
        has_line = teacher is not None and column != "latent_mse_reference"
        value = value_of(results, teacher, column) if has_line else None
        if value is not None:
            axis.axvline(value, color="#888888", linestyle="--", linewidth=0.9)
        axis.set_yticks(range(len(names)), names, fontsize=7)
        axis.invert_yaxis()
        axis.set_xscale("log")
        axis.set_xlabel(COLUMNS[column] + (" (dashed: teacher)" if value is not None else ""), fontsize=8)
    return save_figure(figure, page.with_suffix(""))


def _interval(column: str, interval: Interval | None) -> str:
    if interval is None:
        return "–"
    half = "" if interval.half_width is None else f" ± {_number(column, interval.half_width)}"
    return _number(column, interval.mean) + half


def _signed(interval: Interval, measure: str) -> str:
    half = "" if interval.half_width is None else f" ± {_number(measure, interval.half_width)}"
    return f"{'+' if interval.mean >= 0 else '−'}{_number(measure, abs(interval.mean))}{half}"


def _number(column: str, value: float) -> str:
    known = {"identity": 2, "latent_mse_reference": 4}
    digits = CATALOGUE[column].digits if column in CATALOGUE else known.get(column, 3)
    return f"{value:.{digits}f}" if abs(value) >= 10.0**-digits or value == 0 else f"{value:.1e}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
