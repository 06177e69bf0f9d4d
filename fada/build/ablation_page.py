"""The page of the ablations: tables in the paper's layout, its claims with verdicts, a plot; all computed.

What a reader makes of it is written by hand under the heading `## Reading`, which a new page keeps.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fada.build.ablation_headroom import baselines_of_table, gates_of_table
from fada.build.ablation_rows import CLAIMS, PAPER_COLUMNS, PAPER_TEACHER, TABLES, paper_agrees, rows
from fada.build.ablation_verdicts import FAITHFULNESS, QUALITIES, in_all, verdicts_of
from fada.eval.headroom import NO_HEADROOM
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.report.canvas import COLOURS, new_figure, save_figure
from fada.eval.report.undistilled import headroom_note
from fada.eval.results import kept_json
from fada.eval.statistics import Interval, t_interval
from fada.files.errors import FolderFault
from fada.files.whole import write_json, write_text
from fada.media.frame_count import frames_in

SHOWN = (FAITHFULNESS, *QUALITIES)
HEADS = {
    FAITHFULNESS: "distance to teacher ↓",
    "latent_mse_truth": "distance to truth ↓",
    "mouth_correlation_synth": "mouth-audio r ↑",
    "identity_error_synth": "identity error ↓",
    "fd_latent_synth": "fd_latent ↓",
}
READING = "## Reading"
TITLE = "# Ablations"
"""How the page begins: only such a file is replaced."""
VALUES = frozenset(["rows", "baselines"])
"""Some of what the values beside it have."""


def write_page(results: dict[str, Any], page: Path) -> Path:
    """Write the page, the plot and all values beside it; the page's path. A hand-written reading stays.

    Raises:
        FolderFault: one of these files is there, and no page of ablations.
    """
    check_page(page)
    write_json(page.with_suffix(".json"), results)
    picture = _plot(results, page.with_suffix(""))
    before = page.read_text(encoding="utf-8") if page.is_file() else ""
    reading = before[before.index(READING) :] if READING in before else f"{READING}\n\nNot written yet.\n"
    tables = (_table(number, results) for number in TABLES)
    parts = [_opening(results), headroom_section(results), *tables, _claims(results), _training(results)]
    text = "\n\n".join([*parts, f"![every seed and the mean of every row]({picture.name})", reading])
    write_text(page, text)
    return page


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
    named = [page, *(page.with_suffix(ending) for ending in (".png", ".svg", ".json"))]
    there = [file for file in named if os.path.lexists(file) and not _is_ours(file, values)]
    if there:
        raise FolderFault(f"{there[0]}: is there, and no page of ablations; give another name with --page")


def _is_ours(file: Path, values: frozenset[str]) -> bool:
    """Whether values of ablations lie here: beside the runs they do so before there is a page."""
    return file.suffix == ".json" and values <= kept_json(file).keys()


def over_seeds(measured: Mapping[str, Any], measure: str) -> Interval | None:
    """Mean over seeds, each the mean over its clips, with the 95 % t-interval over seeds."""
    means = (seed_mean(found, measure) for found in measured.values())
    return t_interval([mean for mean in means if mean is not None])


def seed_mean(found: Mapping[str, Any], measure: str) -> float | None:
    """Mean over the clips that have a value."""
    if measure == "fd_latent_synth":
        return found[measure]
    values = [clip[measure] for clip in found["clips"].values() if clip[measure] is not None]
    return sum(values) / len(values) if values else None


def _opening(results: dict[str, Any]) -> str:
    recipe = results["recipe"]
    phase, bench = recipe["distill"]["phases"][0], recipe["bench"]
    frames, seeds = math.floor(frames_in(bench["seconds"], recipe["clip"]["fps"])), results["seeds"]
    missing = [name for name in rows() if len(results["rows"].get(name, {})) < len(seeds)]
    unfinished = f"\n\n**Not finished: {', '.join(missing)}.** The command goes on there." if missing else ""
    command = "make ablations" if not results["overrides"] else f"fada ablate {' '.join(results['overrides'])}"
    return f"""{TITLE}: the paper's Tables 2, 3 and 4 in the drawn world

```sh
{command}     # resumes; every row alone: fada distill recipes/ablations/NAME.yaml
```

Drawn faces and one small teacher, trained on A; {len(seeds)} seeds per row ({", ".join(map(str, seeds))}), each a
distillation of **{phase["steps"]} steps of {phase["batch"]} clips**. Measured on the same {len(results["clips"])}
held-out identities and voices, {frames} frames each, from the same noise, at reference scale
{bench["reference_scale"]:g} and audio scale {bench["audio_scale"]:g}. Values are means over seeds ± half the 95 %
t-interval over seeds; all of them are in [ablations.json](ablations.json). The columns marked "paper" are quoted from
the paper (real faces of HDTF, other networks, other measures): they stand beside ours for the order of the rows
only.{unfinished}

- distance to teacher: latent MSE to the guided teacher's output of {3 * bench["teacher_steps"]} evaluations, same noise
- distance to truth: latent MSE to the true clip; fd_latent: Fréchet distance of pooled latents over all clips
- mouth-audio r: the mouth's opening against the sound's own; identity error: colour of the head, in levels of 255"""


def _table(number: int, results: dict[str, Any]) -> str:
    title, listed = TABLES[number]
    head = ["method", "NFE-D", *(HEADS[measure] for measure in SHOWN), *(f"paper: {name}" for name in PAPER_COLUMNS)]
    lines = [_line(head), _line(["---", *["---:"] * (len(head) - 1)])]
    for name in baselines_of_table(results, number):
        found = results["baselines"][name]
        paper = [f"{value:g}" for value in PAPER_TEACHER] if name == "teacher" else [""] * len(PAPER_COLUMNS)
        values = [_number(measure, seed_mean(found, measure)) for measure in SHOWN]
        lines.append(_line([f"*{name}*", str(found["nfe"]), *values, *paper]))
    for row in listed:
        measured = results["rows"].get(row.name)
        if measured is None:
            continue
        values = [_interval(measure, over_seeds(measured, measure)) for measure in SHOWN]
        nfe = str(next(iter(measured.values()))["nfe"])
        label = f"[{row.label}](../../recipes/ablations/{row.name}.yaml)"
        if len(measured) < len(results["seeds"]):
            label += f" ({len(measured)} of {len(results['seeds'])} seeds)"
        lines.append(_line([label, nfe, *values, *(f"{value:g}" for value in row.paper)]))
    failed = [each for each in gates_of_table(results, number) if not each.passes]
    shut = f"**{NO_HEADROOM}** ({', '.join(each.untrained for each in failed)})\n\n" if failed else ""
    return f"## Table {number}: {title}\n\n{shut}" + "\n".join(lines)


def headroom_section(results: Mapping[str, Any]) -> str:
    """By how much every untrained line is worse than the teacher in each measure of quality, and what follows."""
    measures = list(
        dict.fromkeys(name for number in TABLES for each in gates_of_table(results, number) for name in each.losses)
    )
    lines = [_line(["table", "untrained", "NFE-D", *(f"worse in {HEADS[name]}" for name in measures), ""])]
    lines.append(_line(["---", "---", "---:", *["---:"] * len(measures), "---"]))
    for number in TABLES:
        for each in gates_of_table(results, number):
            cells = [_difference(name, each.losses[name]) if name in each.losses else "–" for name in measures]
            word = each.word if each.passes else f"**{each.word}**"
            lines.append(_line([str(number), each.untrained, str(each.evaluations), *cells, word]))
    spare = results["baselines"]["teacher"].get("spare_clips", [])
    searched = (
        f"Solver and nodes of the teacher's own ways were searched on {len(spare)} other held-out clips."
        if spare
        else "Solver and nodes of the teacher's own ways were not searched: they are plain DDIM at equal steps of time."
    )
    return f"""## Headroom

{chr(10).join(lines)}

{headroom_note("the guided teacher", max(1, len(measures)))} {searched}"""


def _claims(results: dict[str, Any]) -> str:
    head = [
        "table",
        "the paper's order",
        "in its words",
        "its figures",
        "**here**",
        *(HEADS[each][:-2] for each in SHOWN),
    ]
    lines = [_line(head), _line(["---"] * len(head))]
    counts: dict[str, int] = {}
    for claim in CLAIMS:
        found = verdicts_of(claim, results["rows"])
        if found is None:
            continue
        overall = in_all([found[measure].word for measure in QUALITIES if measure in found])
        counts[overall] = counts.get(overall, 0) + 1
        cells = [
            f"{found[each].word} ({_difference(each, found[each].over_seeds)})" if each in found else "–"
            for each in SHOWN
        ]
        order = f"{claim.better} before {claim.worse}"
        lines.append(
            _line([str(claim.table), order, claim.words, f"{paper_agrees(claim)} of 5", f"**{overall}**", *cells])
        )
    tests = len(lines) - 2
    return f"""## The paper's orders, here

{"; ".join(f"**{word}: {count}**" for word, count in sorted(counts.items()))} of {tests}.

{chr(10).join(lines)}

In brackets: mean advantage of the first row ± half its 95 % interval over seeds, positive where the paper is right.
"holds" and "does not hold" need both intervals on that side of zero, the one over seeds and the one over clips (both
paired); fd_latent has only the one over seeds. **here** takes the four measures of quality together ("mixed" where they
contradict each other); the distance to the teacher is no quality and decides nothing. "its figures": in how many of the
paper's five columns its own figures are in that order. Nothing is corrected for the number of comparisons
({tests} x {len(QUALITIES)}): a few of them would be decided by chance."""


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


def _plot(results: dict[str, Any], path: Path) -> Path:
    """Every row's seeds as dots and their mean with its interval, a panel per measure."""
    names = list(results["rows"])
    figure, axes = new_figure(len(SHOWN), width=6.0, height=4.2)
    for axis, measure in zip(axes, SHOWN, strict=True):
        for place, name in enumerate(names):
            measured = results["rows"][name]
            colour = COLOURS[next(number for number, (_, rows) in TABLES.items() if name in {r.name for r in rows}) - 2]
            dots = [mean for each in measured.values() if (mean := seed_mean(each, measure)) is not None]
            axis.scatter(dots, [place] * len(dots), s=14, color=colour, alpha=0.6)
            found = over_seeds(measured, measure)
            if found is not None:
                axis.errorbar(found.mean, place, xerr=found.half_width, fmt="|", color=colour, capsize=2, markersize=10)
        teacher = seed_mean(results["baselines"]["teacher"], measure)
        if teacher is not None and measure != FAITHFULNESS:
            axis.axvline(teacher, color="#888888", linestyle="--", linewidth=0.9)
        axis.set_yticks(range(len(names)), names, fontsize=7)
        axis.invert_yaxis()
        if measure != "mouth_correlation_synth":
            axis.set_xscale("log")
        axis.set_xlabel(
            f"{HEADS[measure]} (dashed: teacher)" if measure != FAITHFULNESS else HEADS[measure], fontsize=8
        )
    return save_figure(figure, path)


def _interval(measure: str, interval: Interval | None) -> str:
    if interval is None:
        return "null"
    half = "" if interval.half_width is None else f" ± {_number(measure, interval.half_width)}"
    return _number(measure, interval.mean) + half


def _difference(measure: str, interval: Interval) -> str:
    return ("+" if interval.mean >= 0 else "−") + _interval(
        measure, Interval(abs(interval.mean), interval.low, _shifted(interval), interval.count)
    )


def _shifted(interval: Interval) -> float | None:
    """The upper end beside the mean's absolute value, so that the half width stays."""
    return None if interval.half_width is None else abs(interval.mean) + interval.half_width


def _number(measure: str, value: float | None) -> str:
    if value is None:
        return "–"
    digits = CATALOGUE[measure].digits if measure in CATALOGUE else 3
    return f"{value:.{digits}f}" if abs(value) >= 10.0**-digits or value == 0 else f"{value:.1e}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
