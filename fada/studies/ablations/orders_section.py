"""The page's parts that decide: the paper's orders, their controls, and students against what needs no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from fada.eval.statistics.intervals import SIGNIFICANCE, Interval, t_interval
from fada.studies.ablations.headroom import untrained_of_table
from fada.studies.ablations.order_verdicts import Order, decided
from fada.studies.ablations.rows import CONTROLS, DECIDED_ON, ORDERS, TEACHERS, paper_agrees
from fada.studies.ablations.verdicts import against_line, compared, drawn_orders

RIVALRY = {2: "perflow", 3: "adaptive-0.25", 4: "tokens"}
"""Table → the row that is set against what can be had without training."""


def orders_section(results: Mapping[str, Any]) -> str:
    """Every order with its verdict."""
    orders = drawn_orders(results)
    words = [each.word for each in orders]
    counts = ", ".join(f"**{word}: {words.count(word)}**" for word in ("holds", "does not hold", "undecided"))
    head = ["table", "the paper's order", "in its words", "its figures", "**here**", "advantage", "units", "p (Holm)",
            "units needed"]  # fmt: skip
    lines = [_line(head), _line(["---", "---", "---", "---", "---", "---:", "---:", "---:", "---:"])]
    lines += [_order_line(each) for each in orders]
    return f"""## The paper's orders, here

{counts} of {len(ORDERS)}; decided: {decided(words)}.

{chr(10).join(lines)}

Advantage: by how much more the second row's quality error is (of its logarithm: +0.05 is five per cent), on the clips
that decide its table, ± half the 95 % interval; positive where the paper is right. Paired over independent units:
seeds, where both rows start from the same student; pairs of starts, where each kind of student has its own; held-out
clips for the two teachers, each trained once. Decided where Holm's p over all {len(orders)} orders is below
{SIGNIFICANCE:g} / {results["looks"]} (as many looks as could end the run). "units needed": for a power of 0.8 if the
difference is the one seen. "its figures": in how many of the paper's five columns its own figures are in that order."""


def _order_line(order: Order) -> str:
    claim, needed, agreeing = order.claim, order.seeds_needed, paper_agrees(order.claim)
    p_value = "–" if order.p_value is None else f"{order.p_value:.1g}"
    unit = "clips" if (claim.better, claim.worse) == TEACHERS else ""
    return _line([str(claim.table), f"{claim.better} before {claim.worse}", claim.words,
                  "–" if agreeing is None else f"{agreeing} of 5", f"**{order.word}**", signed(order.advantage),
                  f"{order.advantage.count} {unit}".strip(), p_value,
                  "" if needed is None else str(needed)])  # fmt: skip


def controls_section(results: Mapping[str, Any]) -> str:
    """Adaptive rows against the same weight, fixed."""
    lines = [_line(["adaptive row", "its mean W", "quality error less than with that weight fixed", "seeds"]),
             _line(["---", "---:", "---:", "---:"])]  # fmt: skip
    for control, name in CONTROLS.items():
        found = t_interval(compared(results, control, name, DECIDED_ON[3]))
        if found is not None:
            weight = fmean(each["training"]["weight_mean"] for each in results["rows"][name].values())
            lines.append(_line([name, f"{weight:.3f}", signed(found), str(found.count)]))
    body = "\n".join(lines) if len(lines) > 2 else "**Not finished.** The command goes on there."
    return f"""## Controls

Is it the adapting, or the mean weight? Fixed at the mean W that the adaptive row had in that seed, on the same draws.

{body}"""


def rivals_section(results: Mapping[str, Any]) -> str:
    """Trained rows against what needs no training, at their cost, on the same clips and noise."""
    lines = [_line(["table", "row", "against", "quality error less by", "starts"]),
             _line(["---", "---", "---", "---:", "---:"])]  # fmt: skip
    for table, name in RIVALRY.items():
        if name not in results["rows"]:
            continue
        for other in untrained_of_table(results, table):
            found = t_interval(against_line(results, name, other, DECIDED_ON[table]))
            lines.append(_line([str(table), name, other, signed(found), "–" if found is None else str(found.count)]))
    if len(lines) == 2:
        return ""
    note = "Paired by clip and noise; one value per start, the mean of its seeds; positive where training helped."
    return f"## Against what needs no training\n\n{note}\n\n" + "\n".join(lines)


def signed(found: Interval | None) -> str:
    """A difference of logarithms with its sign and half width."""
    if found is None:
        return "–"
    half = "" if found.half_width is None else f" ± {found.half_width:.3f}"
    return f"{'+' if found.mean >= 0 else '−'}{abs(found.mean):.3f}{half}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
