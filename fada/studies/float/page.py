"""The page of FLOAT's ablations: rows over seeds, the paper's claims tested, and sweeps of both guidance scales."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fada.eval.statistics.intervals import SIGNIFICANCE
from fada.studies.float.measures import MEASURES, SWEPT
from fada.studies.float.rows import CLAIMS, PAPER, ROWS, Claim
from fada.studies.markdown_cells import row_text
from fada.studies.teachers.page import (
    Comparison,
    compared,
    differences_table,
    seeds_table,
    seeds_words,
    signed_cell,
    write_study_page,
)

TITLE = "# FLOAT: its ablations in the drawn world"
"""How the page begins: only such a file is replaced."""
OPENING = """
FLOAT's paper takes its design apart: frames conditioned by AdaLN or by cross-attention, flow matching or diffusion that
predicts noise or latents, motion frames of the window before, a velocity loss. Here rows are vector fields of
`recipes/tiny/float.yaml`, trained from nothing in the drawn world, steps: {steps}, on latents of **one codec** that all
share, with the same draws of clips and noise in rows of a seed. Calls have the same number of evaluations in every row
({evaluations} a window), at {scales}.

{rows}

Seeds per row: **{seeds}**, each measured on {clips} held-out clips; mean ± half of the 95 % t-interval over seeds.
Written by

```sh
python -m fada.studies.float.study --page docs/results/float.md{settings}
```

*Mouth follows sound*: correlation of the mouth's opening in decoded frames with the one that the sound was made with;
*lag*: where that is highest. *Expression*: brows, lids and mouth corners against what was asked, and how far they go
that way (1 is full intensity). Measures of latents are along the codec's directions, in which the truth has a variance
of about 1: *latent error* is a mean square; *motion* the deviation of a video's frames from their mean, *jitter* the
mean absolute second difference inside windows, both as shares of the truth's; *step between windows* is the mean step
from a window's last frame to the next one's first, relative to the steps inside of the same videos: as the truth's is
best. *Identity error*: levels of 255.
""".strip()


def write_float_page(results: Mapping[str, Any], page: Path) -> Path:
    """Write the page, and all values beside it; a hand-written reading stays.

    Raises:
        FolderFault: one of these files is there, and no page of this study.
    """
    lines = {"*true latents, decoded*": results["truth"]} if results["truth"] else {}
    table = seeds_table({**lines, **results["rows"]}, tuple(MEASURES.values()), "row")
    parts = [_opening(results), table, _claims(results), _differences(results), *_sweeps(results)]
    return write_study_page(results, page, TITLE, parts)


def _opening(results: Mapping[str, Any]) -> str:
    rows = results["rows"]
    measured = [found for seeds in rows.values() for found in seeds.values()]
    # Every row of a page has as many, or what it says of equal cost is not true.
    evaluations = " or ".join(str(count) for count in sorted({found["evaluations"] for found in measured})) or "–"
    words = OPENING.format(
        steps=", ".join(f"{steps} of `{name}`" for name, steps in results["steps"].items()),
        evaluations=evaluations,
        scales=" and ".join(f"{name} scale {scale:g}" for name, scale in results["scales"].items()),
        rows=_rows(results),
        seeds=seeds_words(rows),
        clips=results["clips"],
        settings="".join(f" {each}" for each in results["overrides"]),
    )
    return f"{TITLE}\n\n{words}"


def _rows(results: Mapping[str, Any]) -> str:
    lines = [row_text(["row", "", "settings", "weights, M"]), row_text([":---", ":---", ":---", "---:"])]
    for row in ROWS:
        weights = {found["weights"] for found in results["rows"].get(row.name, {}).values()}
        settings = " ".join(f"`{each}`" for each in row.overrides)
        lines.append(row_text([row.name, row.words, settings, " or ".join(f"{each / 1e6:.2f}" for each in weights)]))
    return "\n".join(lines)


def _claims(results: Mapping[str, Any]) -> str:
    rows = results["rows"]
    tested = compared(rows, PAPER, [(each.row, MEASURES[each.measure]) for each in CLAIMS])
    lines = [row_text(["the paper says", "row", "measure", "row − paper's", "p", ""])]
    lines.append(row_text([":---", ":---", ":---", "---:", "---:", ":---"]))
    for claim in CLAIMS:
        measure = MEASURES[claim.measure]
        found = tested[claim.row, measure]
        p = "–" if found.p_value is None else f"{found.p_value:.3f}"
        difference = signed_cell(found.difference, measure)
        lines.append(row_text([claim.words, claim.row, measure.head, difference, p, claim_word(claim, found)]))
    return (
        "## What the paper says, tested\n\n"
        f"Differences paired by seed; p of Student's t-test after Holm's correction for these {len(CLAIMS)}, which "
        f"were chosen before any run; *open* where it is not under {SIGNIFICANCE:g}.\n\n" + "\n".join(lines)
    )


def claim_word(claim: Claim, found: Comparison) -> str:
    """Whether a claim holds here."""
    if found.is_open or found.difference is None:
        return "open"
    return "**holds**" if found.difference.mean * claim.sign > 0 else "**the other way round**"


def _differences(results: Mapping[str, Any]) -> str:
    table = differences_table(results["rows"], PAPER, tuple(MEASURES.values()), "row", {})
    return f"## All differences from the paper's setting\n\nPaired by seed, not tested.\n\n{table}"


def _sweeps(results: Mapping[str, Any]) -> list[str]:
    parts, measures = [], [MEASURES[name] for name in SWEPT]
    for axis, found in results["sweeps"].items():
        fixed = " and ".join(f"{name} scale {scale:g}" for name, scale in results["scales"].items() if name != axis)
        words = f"The paper's row, at {fixed}, on {min(results['sweep_clips'], results['clips'])} clips of every seed."
        parts.append(f"## The {axis} scale\n\n{words}\n\n{seeds_table(found, measures, f'{axis} scale')}")
    return parts
