"""The page of the study of conditional dropout: a table over seeds, and differences from training without it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fada.eval.statistics.intervals import SIGNIFICANCE
from fada.studies.teachers.page import (
    Measure,
    clip_mean,
    compared,
    differences_table,
    ratio_of_means,
    seeds_table,
    seeds_words,
    write_study_page,
)

TITLE = "# V-Express: conditional dropout and stages in the drawn world"
"""How the page begins: only such a file is replaced."""
BASE = "0"
"""The row that others are compared with: three stages, nothing dropped."""
MEASURES = {
    "response": Measure("mouth follows sound, r", partial(clip_mean, name="response")),
    "still": Measure("the same, still keypoints", partial(clip_mean, name="still")),
    "share": Measure("share that survives", partial(ratio_of_means, name="still", over="response")),
    "foreign": Measure("foreign sound, r", partial(clip_mean, name="foreign")),
    "identity": Measure("identity error", partial(clip_mean, name="identity"), digits=1),
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
    table = seeds_table(results["rows"], tuple(MEASURES.values()), "rate")
    return write_study_page(results, page, TITLE, [_opening(results), table, _differences(results)])


def _opening(results: Mapping[str, Any]) -> str:
    steps = ", ".join(f"{steps} of `{name}`" for name, steps in results["steps"].items())
    decoded = [
        values["autoencoder"] for row in results["rows"].values() for clips in row.values() for values in clips.values()
    ]
    best = f"; of true videos, encoded and decoded, r is {np.mean(decoded):.2f}" if decoded else ""
    settings = "".join(f" {each}" for each in results["overrides"])
    count = seeds_words(results["rows"])
    words = OPENING.format(steps=steps, seeds=count, clips=results["clips"], best=best, settings=settings)
    return f"{TITLE}\n\n{words}"


def _differences(results: Mapping[str, Any]) -> str:
    rows, measures = results["rows"], [MEASURES[name] for name in COMPARED]
    pairs = [(row, measure) for row in rows if row != BASE for measure in measures]
    return (
        "## Differences from three stages without dropout\n\n"
        f"Paired by seed; p of Student's t-test after Holm's correction for all {len(pairs)} of them; *open* where it "
        f"is not under {SIGNIFICANCE:g}.\n\n"
        + differences_table(rows, BASE, measures, "rate", compared(rows, BASE, pairs))
    )
