"""The page of the exact world: headroom, tables, orders with their verdicts, controls; all computed.

What a reader makes of it is written by hand under the heading `## Reading`, which a new page keeps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fada.eval.statistics.intervals import t_interval
from fada.files.whole import write_json, write_text
from fada.studies.ablations.order_verdicts import Order, decided
from fada.studies.ablations.page import READING, check_page
from fada.studies.ablations.rows import ADAPTIVES, TABLES, TEACHERS, control, rows
from fada.studies.exact.parts import COPIED
from fada.studies.exact.plots import plot_sweeps
from fada.studies.exact.rows import MODES, PRIMARY, SCALES, SETTINGS, key_of, keyed
from fada.studies.exact.summary import bounds_text, curve_text, summary, sweeps_text
from fada.studies.exact.verdicts import compared, headroom, verdicts_of
from fada.studies.markdown_cells import interval_text, row_text, signed_text

SHOWN = {"error": "error, quiet", "error_loud": "error, loud", "error_open": "error, both",
         "wrong_open": "share wrong", "mouth": "mouth",
         "face": "face", "head": "head", "distance": "distance to teacher"}  # fmt: skip
TITLE = "# The exact world"
"""How the page begins: only such a file is replaced."""
UNFINISHED = "**Not finished.** The command goes on there."
TITLES = {2: "basic distillation methods, on A", 3: "mixed supervision", 4: "guidance inside the student"}
BASELINES = {
    2: ("best undistilled 18 guided",),
    3: ("best undistilled 18 guided",),
    4: ("best undistilled 6 guided", "best undistilled 6 conditional"),
}
LISTED = {
    2: ("tcd", "rflow", "perflow", "progressive"),
    3: ("perflow", *(row.name for row in TABLES[3][1] if row.name != "perflow")),
    4: ("without-cfg", *MODES),
}
LABELS = {
    "perflow": "PeRFlow with A, four windows", "rflow": "RFlow (one window)", "tcd": "TCD",
    "progressive": "progressive distillation (`times: starts`, six windows)",
}  # fmt: skip


def write_exact_page(results: dict[str, Any], page: Path) -> Path:
    """Write the page and all values beside it; the page's path. A hand-written reading stays.

    Raises:
        FolderFault: one of these files is there, and no page of the exact world.
    """
    check_exact_page(page)
    write_json(page.with_suffix(".json"), results)
    before = page.read_text(encoding="utf-8") if page.is_file() else ""
    reading = before[before.index(READING) :] if READING in before else f"{READING}\n\nNot written yet.\n"
    plot_sweeps(results, page.with_suffix(""))
    parts = [_opening(results, page), summary(results), curve_text(results), bounds_text(results)]
    parts += [sweeps_text(results, f"{page.stem}.png"), _headroom(results), *(_table(results, each) for each in TITLES)]
    parts += [_orders(results, setting) for setting in SETTINGS if _has_setting(results, setting)]
    parts += [_matched(results), _controls(results), _training(results), reading]
    write_text(page, "\n\n".join(part for part in parts if part))
    return page


def check_exact_page(page: Path) -> None:
    """Raises FolderFault as `write_exact_page`, and writes nothing."""
    check_page(page, TITLE, frozenset(["rows", "looks"]))


def _opening(results: dict[str, Any], page: Path) -> str:
    plan, seeds = results["plan"], results["seeds"]
    minutes = results["cpu_seconds"] / 60
    counts = {name: len(column["error"]) for name, tables in results["rows"].items() for column in tables.values()}
    beside = max((count for name, count in counts.items() if name.endswith("@matched")), default=0)
    most = max(counts.values(), default=0)
    return f"""{TITLE}: the paper's Tables 2, 3 and 4 where the teacher is a closed form

```sh
make exact     # fada ablate --world exact, with 48 seeds; resumes
```

Asked: does distillation win where there is something to win, and do the paper's rows come in its order? First the
answers, then what they rest on; what is made of them stands at the end.

**Tier: exact world.** A clip is three numbers: a face at one of four people's places, moved by the mouth, and a head
on one side or the other, which nothing decides. Three tenths of A's clips have another's sound, three tenths another's
face (what sound and portrait leave open), so that guidance helps. B is as A by two fifths, loud clips whose mouth bends
(valuable, outside A) by three tenths, and flawed by three tenths (another clip's sound, or a poor picture). All
branches' noise predictions are exact, on Stable Diffusion's own schedule, so the guided teacher is exact; students are
small networks with the toolkit's CFG layers, windows, forms, solver, mixed loss and sampler. They start from one copy
of the teacher ({plan["copy_steps"]} steps of {plan["copy_batch"]}, on its own trajectories) and learn {plan["steps"]}
steps of {plan["batch"]} clips at a rate of {plan["lr"]:g}, at the paper's scales (audio {SCALES[3][1]:g}; reference
{SCALES[3][0]:g}, and {SCALES[4][0]:g} for guidance inside; learned from 1 to 9 and 1 to 4).

**{len(seeds)} seeds** of every row in the paper's setting, side by side, all rows on the same draws;
{2 * plan["questions"]} pictures per seed, half at quiet sounds, as in A, half at loud ones. Matched points and controls
have {beside} seeds; rows of orders that were still undecided went on alone, to {most}. {minutes:.0f} minutes of one
core in all. Values are means over seeds ± half the 95 % t-interval; every value per seed is in
[{page.stem}.json]({page.stem}.json). Nothing here says anything about faces.

- **error** (decides; chosen before these seeds): squared distance to the nearest right picture (the person's face, the
  sound's mouth, the head on either side), at most 1 each; quiet in Table 2, both in Tables 3 and 4
- share wrong (added later, decides nothing): pictures farther away than 99 of 100 true ones; the error rewards samplers
  whose pictures lack variety, this does not
- mouth, face, head: root mean square of its parts; distance to teacher: mean square, from the same noise"""


def _headroom(results: dict[str, Any]) -> str:
    lines = [row_text(["table", "untrained, at the student's cost", "evaluations", "worse than the teacher by", ""]),
             row_text(["---", "---", "---:", "---:", "---"])]  # fmt: skip
    for table in TITLES:
        once = "untrained once" if table == 4 else "untrained"
        for name in [f"{once}, {setting}" for setting in SETTINGS] + list(BASELINES[table]):
            found = headroom(results, table, name)
            if found is None:
                continue
            passes = found.low is not None and found.low > 0
            verdict = "headroom" if passes else "**no headroom: this comparison shows nothing**"
            lines.append(
                row_text(
                    [str(table), _label(results, name, table), str(results["costs"][name]), signed_text(found), verdict]
                )
            )
    return (
        "## Headroom\n\nWithout training, at the cost of the student, must be worse than the teacher.\n\n"
        + "\n".join(lines)
    )


def _table(results: dict[str, Any], table: int) -> str:
    paper = {row.name: row.paper for row in rows().values() if row.paper is not None}
    head = [
        "method",
        "setting",
        "NFE-D",
        *(f"**{text}**" if key == PRIMARY[table] else text for key, text in SHOWN.items()),
    ]
    lines = [row_text([*head, "paper: FVD-R"]), row_text(["---", "---", *["---:"] * (len(head) - 1)])]
    untrained = "untrained once" if table == 4 else "untrained"
    names = [*TEACHERS, *BASELINES[table], f"{COPIED}, 25 steps", "perfect balanced student"]
    plain = [
        (name, "", "18.27" if name == "teacher on A" else "19.64" if name == "teacher on B" else "") for name in names
    ]
    plain += [(f"{untrained}, {setting}", setting, "") for setting in SETTINGS]
    for name, setting, figure in plain:
        lines.append(_cells(results, table, name, f"*{_label(results, name, table)}*", setting, figure))
    for name in LISTED[table]:
        for setting in SETTINGS:
            key = keyed(name, setting)
            if str(table) in results["rows"].get(key, {}):
                label = LABELS.get(name, rows()[name].label if name in rows() else name)
                lines.append(
                    _cells(results, table, key, label, setting, f"{paper[name][2]:g}" if name in paper else "")
                )
    return f"## Table {table}: {TITLES[table]}\n\n" + "\n".join(line for line in lines if line)


def _cells(results: dict[str, Any], table: int, name: str, label: str, setting: str, figure: str) -> str:
    measured = results["rows"].get(name, {}).get(str(table))
    if measured is None:
        return ""
    values = [interval_text(t_interval(measured[key])) for key in SHOWN]
    return row_text([label, setting, str(results["costs"][name]), *values, figure])


def _orders(results: dict[str, Any], setting: str) -> str:
    orders = verdicts_of(results, setting)
    words = [each.word for each in orders]
    title = "The paper's orders, in the paper's setting" if setting == "paper" else "The same, with matched points"
    counts = ", ".join(f"**{word}: {words.count(word)}**" for word in ("holds", "does not hold", "undecided"))
    head = ["table", "the paper's order", "in its words", "**here**", "seeds", "advantage", "p (Holm)", "seeds needed"]
    lines = [row_text(head), row_text(["---", "---", "---", "---", "---:", "---:", "---:", "---:"])]
    lines += [_order_line(each) for each in orders]
    return f"""## {title}

{counts} of {len(orders)}; decided: {decided(words)}.

{chr(10).join(lines)}

Advantage: of the first row in its table's measure, paired over seeds, ± half its 95 % interval; positive where the
paper is right. Decided where Holm's p over all {len(orders)} orders is below 0.05 / {results["looks"]}: there are as
many looks as blocks of seeds, those of undecided orders too; rows of decided orders alone get no more seeds. "seeds
needed": for a power of 0.8 if the difference is the one seen."""


def _order_line(order: Order) -> str:
    claim, needed, found = order.claim, order.seeds_needed, order.advantage
    p_value = "–" if order.p_value is None else f"{order.p_value:.1g}"
    cells = [str(claim.table), f"{claim.better} before {claim.worse}", claim.words, f"**{order.word}**"]
    return row_text([*cells, str(found.count), signed_text(found), p_value, "" if needed is None else str(needed)])


def _has_setting(results: dict[str, Any], setting: str) -> bool:
    return any(name.endswith(f"@{setting}") for name in results["rows"])


def _matched(results: dict[str, Any]) -> str:
    lines = [row_text(["row", "table", "error less by matching"]), row_text(["---", "---", "---:"])]
    for table in TITLES:
        for name in LISTED[table]:
            found = t_interval(compared(results, table, keyed(name, "paper"), keyed(name, "matched")))
            if found is not None:
                lines.append(row_text([name, str(table), signed_text(found)]))
    if len(lines) == 2:
        lines = [UNFINISHED]
    return (
        "## Matched points against the paper's\n\nPaired over seeds; positive where matching is better.\n\n"
        + "\n".join(lines)
    )


def _controls(results: dict[str, Any]) -> str:
    lines = [row_text(["adaptive row", "setting", "its mean W", "error less than with that weight fixed"]),
             row_text(["---", "---", "---:", "---:"])]  # fmt: skip
    for name in ADAPTIVES:
        for setting in SETTINGS:
            found = t_interval(compared(results, 3, keyed(control(name), setting), keyed(name, setting)))
            if found is not None:
                weight = results["training"][keyed(name, setting)]["weight_mean"]
                lines.append(row_text([name, setting, f"{weight:.3f}", signed_text(found)]))
    if len(lines) == 2:
        lines = [UNFINISHED]
    note = "Is it the adapting, or the mean weight? Fixed at the mean W that the adaptive row had, on the same draws."
    best = [row_text(["student", "setting", "against", "error less"]), row_text(["---", "---", "---", "---:"])]
    rivals = [("perflow", 2), ("adaptive-0.25", 3), ("tokens", 4)]
    for name, table in rivals:
        for setting in SETTINGS:
            key = key_of(name, setting)
            others = [f"untrained{' once' if table == 4 else ''}, {setting}", *BASELINES[table]]
            for other in others:
                found = t_interval(compared(results, table, other, key))
                if found is not None:
                    best.append(row_text([name, setting, _label(results, other, table), signed_text(found)]))
    between = "Against what can be had without training, at the same cost (solver and nodes searched on spare draws):"
    return "\n\n".join(["## Controls", note, "\n".join(lines), between, "\n".join(best)])


def _training(results: dict[str, Any]) -> str:
    lines = [row_text(["student", "mean W", "share with W = 0", "median R"]), row_text(["---", "---:", "---:", "---:"])]
    for name, means in results["training"].items():
        figures = (means["weight_mean"], means["dead_share"], means["ratio_median"])
        lines.append(row_text([name, *(f"{value:.3g}" for value in figures)]))
    return "## What training saw\n\nMeans over the second half of the steps and over seeds.\n\n" + "\n".join(lines)


def _label(results: dict[str, Any], name: str, table: int) -> str:
    """A row's name, with the solver and nodes that were chosen for it."""
    chosen = results["rows"].get(name, {}).get(str(table), {}).get("chosen")
    return f"{name} ({chosen[0]})" if chosen else name
