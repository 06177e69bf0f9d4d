"""The page of the study of conditional dropout: a table over seeds, and differences from training without it.

What a reader makes of it is written by hand under the heading `## Reading`, which a new page keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fada.eval.statistics.intervals import SIGNIFICANCE, Interval, holm, mean_p_value, paired_differences, t_interval
from fada.files.whole import write_json, write_text
from fada.studies.ablations.page import READING, check_page
from fada.studies.markdown_cells import row_text

TITLE = "# V-Express: conditional dropout and stages in the drawn world"
"""How the page begins: only such a file is replaced."""
BASE = "0"
"""The row that others are compared with: three stages, nothing dropped."""
MEASURES = {
    "response": "mouth follows sound, r",
    "still": "the same, still keypoints",
    "share": "share that survives",
    "foreign": "foreign sound, r",
    "identity": "identity error",
}
COMPARED = ("still", "share", "foreign")
"""What the claim is about."""
OPENING = """
V-Express's paper says that strong conditions (portrait, keypoints) keep a model from listening to the weak one, the
sound, and that three stages of training and conditional dropout mend it; it gives no rates, and its released settings
drop nothing. Here rows are teachers of `recipes/tiny/v-express.yaml`, trained from nothing in the drawn world, steps:
{steps}. A rate is that of reference and keypoints alike, in the second and third stage. *One stage* trains all parts
on clips from the start, on as many frames in all, and drops nothing.

Seeds per row: **{seeds}**, each measured on {clips} held-out clips; mean ± half of the 95 % t-interval over seeds.
Calls are without guidance, so that what the network itself does is seen. Written by

```sh
python -m fada.studies.dropout.study --page docs/results/v-express.md{settings}
```

*Mouth follows sound*: correlation of the mouth's opening with the one that the sound was made with, where the
keypoints are the true ones. Heads of this world nod with the sound, so that true keypoints tell of it; *still
keypoints* are the portrait's in every frame and tell nothing: what is left of the response is heard. *Foreign sound*:
the true keypoints of one clip, the sound of another, and the correlation with the latter. *Identity error*: levels of
255, with true keypoints{best}.
""".strip()


def write_dropout_page(results: Mapping[str, Any], page: Path) -> Path:
    """Write the page, and all values beside it; a hand-written reading stays.

    Raises:
        FolderFault: one of these files is there, and no page of this study.
    """
    check_page(page, TITLE, frozenset(results))
    before = page.read_text(encoding="utf-8") if page.is_file() else ""
    reading = before[before.index(READING) :] if READING in before else f"{READING}\n\nNot written yet.\n"
    write_json(page.with_suffix(".json"), results)
    write_text(page, "\n\n".join([_opening(results), _table(results), _differences(results), reading.rstrip()]) + "\n")
    return page


def by_seed(results: Mapping[str, Any], row: str, measure: str) -> dict[str, float]:
    """A row's values of a measure, a mean over clips for every seed; the share is that of the two means."""
    found = {}
    for seed, clips in results["rows"][row].items():

        def mean(name: str, clips: Mapping[str, Mapping[str, float]] = clips) -> float:
            return float(np.mean([values[name] for values in clips.values()]))

        if measure != "share":
            found[seed] = mean(measure)
        elif mean("response") > 0:
            found[seed] = mean("still") / mean("response")
    return found


def _opening(results: Mapping[str, Any]) -> str:
    seeds = sorted({len(found) for found in results["rows"].values()})
    count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} (not finished)"
    steps = ", ".join(f"{steps} of `{name}`" for name, steps in results["steps"].items())
    decoded = [
        values["autoencoder"] for row in results["rows"].values() for clips in row.values() for values in clips.values()
    ]
    best = f"; of true videos, encoded and decoded, r is {np.mean(decoded):.2f}" if decoded else ""
    settings = "".join(f" {each}" for each in results["overrides"])
    words = OPENING.format(steps=steps, seeds=count, clips=results["clips"], best=best, settings=settings)
    return f"{TITLE}\n\n{words}"


def _table(results: Mapping[str, Any]) -> str:
    lines = [row_text(["rate", "seeds", *MEASURES.values()]), row_text([":---", *["---:"] * (len(MEASURES) + 1)])]
    for row, seeds in results["rows"].items():
        cells = [_cell(t_interval(list(by_seed(results, row, measure).values())), measure) for measure in MEASURES]
        lines.append(row_text([row, str(len(seeds)), *cells]))
    return "\n".join(lines)


def _differences(results: Mapping[str, Any]) -> str:
    others = [row for row in results["rows"] if row != BASE]
    pairs = [(row, measure) for row in others for measure in COMPARED]
    found = [
        paired_differences(by_seed(results, row, measure), by_seed(results, BASE, measure)) for row, measure in pairs
    ]
    corrected = dict(zip(pairs, holm([mean_p_value(each) for each in found]), strict=True))
    values = dict(zip(pairs, (t_interval(each) for each in found), strict=True))
    lines = [row_text(["rate", *(MEASURES[each] for each in COMPARED)]), row_text([":---", *["---:"] * len(COMPARED)])]
    for row in others:
        cells = [_verdict(values[row, each], corrected[row, each], each) for each in COMPARED]
        lines.append(row_text([row, *cells]))
    return (
        "## Differences from three stages without dropout\n\n"
        f"Paired by seed; p of Student's t-test after Holm's correction for all {len(pairs)} of them; *open* where it "
        f"is not under {SIGNIFICANCE:g}.\n\n" + "\n".join(lines)
    )


def _cell(found: Interval | None, measure: str) -> str:
    if found is None:
        return "–"
    digits = 1 if measure == "identity" else 2
    half = "" if found.half_width is None else f" ± {found.half_width:.{digits}f}"
    return f"{found.mean:.{digits}f}{half}"


def _verdict(found: Interval | None, p_value: float | None, measure: str) -> str:
    word = "open" if p_value is None or p_value >= SIGNIFICANCE else ("more" if found and found.mean > 0 else "less")
    sign = "+" if found is not None and found.mean >= 0 else ""
    p = "" if p_value is None else f", p {p_value:.3f}"
    return f"{sign}{_cell(found, measure)}: {word}{p}"
