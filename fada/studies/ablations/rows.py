"""The rows of the paper's Tables 2 to 4, its figures, the orders it claims, and what decides them in the drawn world.

Every row is the recipe `ablations/NAME`; the figures are the paper's own (HDTF, real faces), only to be set beside
what is measured. Source: FADA (arXiv 2412.16915), Tables 2, 3 and 4, section 4.3. Names, orders and how many there are
hold for both tiers, this one and the exact world (exact_rows.py).

**What decides, in the drawn world, written before anything was run.** One measure for all tables, the *quality error*:
the geometric mean of what the mouth lacks (1 - r, the opening against the sound's own; a mouth that does not move has
r = 0) and of the identity error (how far the head is from the person, at the place where it is; a blurred one is far),
each the mean over a seed's clips. It is the number by which undistilled samplers are searched (`eval.qualities`), so
that students and rivals are judged alike. A tenth less of one error weighs as a tenth less of the other, whatever their
units and however good the teacher is; differences are of its logarithm, so they read as shares. The Fréchet distance of
latents is left out of it: over a dozen clips it is mostly noise, and no value per clip exists. Distances to the teacher
or to the one true clip are no quality where motion is not decided by the sound.

Table 2 distils on A and is decided on held-out clips that are as A; Tables 3 and 4 distil on B and are decided on both
halves of the held-out clips together, those as A and those that show what A leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Half = Literal["narrow", "beyond"]
"""Of the held-out clips: as set A, or showing what it leaves out."""
DECIDED_ON: dict[int, tuple[Half, ...]] = {2: ("narrow",), 3: ("narrow", "beyond"), 4: ("narrow", "beyond")}
"""The clips that decide a table."""
PAPER_COLUMNS = ("IQA ↑", "Sync-D ↓", "FVD-R ↓", "FID ↓", "E-FID ↓")
Figures = tuple[float, float, float, float, float]
PAPER_TEACHER: Figures = (3.998, 7.849, 18.27, 18.49, 1.365)
"""The paper's guided teacher, trained on A, 75 evaluations."""


TEACHER_B = "teacher-b"
"""The row that is a teacher, not a student."""
TEACHERS = ("teacher on A", "teacher on B")
"""What orders call the two teachers."""


@dataclass(frozen=True)
class Row:
    """One line of a table: the recipe `ablations/NAME`, what the paper calls it, and its figures there."""

    name: str
    label: str
    paper: Figures | None
    """None: the paper has no such row."""


@dataclass(frozen=True)
class Claim:
    """An order that the paper states: `better` before `worse`, and in which words."""

    table: int
    better: str
    worse: str
    words: str


_PERFLOW: Figures = (3.823, 8.001, 21.91, 21.26, 1.477)
TABLES: dict[int, tuple[str, tuple[Row, ...]]] = {
    2: (
        "basic distillation methods",
        (
            Row("tcd", "TCD", (3.827, 7.937, 23.01, 23.15, 1.893)),
            Row("rflow", "RFlow", (2.836, 8.066, 81.10, 49.73, 2.484)),
            Row("perflow", "PeRFlow, the paper's four windows", _PERFLOW),
            Row("progressive", "progressive distillation of six DDIM steps (`times: starts`)", None),
        ),
    ),
    3: (
        "mixed supervision",
        (
            Row(TEACHER_B, "teacher with B", None),
            Row("perflow", "student with A", _PERFLOW),
            Row("fixed-0", "student with B (Fixed-0)", (3.762, 7.909, 25.06, 21.47, 1.462)),
            Row("fixed-0.2", "+ Fixed-0.2", (3.863, 7.934, 13.71, 19.94, 1.434)),
            Row("fixed-1.0", "+ Fixed-1.0", (3.812, 7.903, 24.53, 21.42, 1.494)),
            Row("fixed-0.2-a", "+ Fixed-0.2, only A", (3.880, 7.962, 15.32, 20.71, 1.512)),
            Row("unlimited-0.5", "+ Adaptive-unlimited-0.5", (3.824, 7.914, 15.15, 20.74, 1.471)),
            Row("unlimited-0.25", "+ Adaptive-unlimited-0.25", (3.846, 7.906, 14.20, 19.92, 1.424)),
            Row("adaptive-0.5", "+ Adaptive-0.5", (3.949, 7.919, 13.83, 18.64, 1.395)),
            Row("adaptive-0.25", "+ Adaptive-0.25", (3.951, 7.925, 13.32, 18.39, 1.362)),
        ),
    ),
    4: (
        "guidance inside the student",
        (
            Row("without-cfg", "without CFG", (3.674, 9.020, 27.10, 26.56, 2.096)),
            Row("time-embed", "+ CFG time embed", (3.701, 8.577, 23.24, 22.47, 1.791)),
            Row("layer", "+ CFG layer", (3.746, 7.906, 20.05, 20.94, 1.620)),
            Row("tokens", "+ CFG layer with tokens", (3.927, 7.996, 16.67, 18.51, 1.635)),
        ),
    ),
}

CLAIMS = (
    Claim(2, "perflow", "rflow", "RFlow cannot handle six steps"),
    Claim(2, "perflow", "tcd", "PeRFlow is like TCD, and better in E-FID"),
    Claim(3, "perflow", "fixed-0", "moderate data alone do not help the student (by the figures)"),
    Claim(3, "fixed-0.2", "fixed-0", "ground truth improves performance"),
    Claim(3, "fixed-0.2", "fixed-1.0", "a smaller weight of 0.2 is better"),
    Claim(3, "fixed-0.2", "fixed-0.2-a", "mixed supervision makes use of moderate data"),
    Claim(3, "fixed-0.2", "unlimited-0.5", "without limits slightly inferior to Fixed-0.2"),
    Claim(3, "fixed-0.2", "unlimited-0.25", "without limits slightly inferior to Fixed-0.2"),
    Claim(3, "adaptive-0.5", "fixed-0.2", "the complete adaptive strategy surpasses the fixed one"),
    Claim(3, "adaptive-0.25", "fixed-0.2", "the complete adaptive strategy surpasses the fixed one"),
    Claim(3, "adaptive-0.5", "unlimited-0.5", "peak and dead threshold help"),
    Claim(3, "adaptive-0.25", "unlimited-0.25", "peak and dead threshold help"),
    Claim(3, "adaptive-0.25", "adaptive-0.5", "0.25 has a slight advantage"),
    Claim(4, "time-embed", "without-cfg", "time embedding partially restores performance"),
    Claim(4, "layer", "time-embed", "CFG layers are better than time embedding"),
    Claim(4, "tokens", "layer", "learnable tokens are better than plain CFG layers"),
)

ORDERS = (
    Claim(2, *TEACHERS, "moderate data in the teacher's training decrease its performance"),
    *CLAIMS,
)
"""The 17 orders that are tested, in both tiers."""
ADAPTIVES = ("unlimited-0.5", "unlimited-0.25", "adaptive-0.5", "adaptive-0.25")
"""Rows whose weight of ground truth adapts; each has a control."""


def rows() -> dict[str, Row]:
    """Every row once, by name; one that stands in two tables has one recipe."""
    return {row.name: row for _, listed in TABLES.values() for row in listed}


def control(name: str) -> str:
    """The row with the fixed weight that an adaptive one has on average; no order asks for it."""
    return f"fixed-as-{name}"


CONTROLS = {control(name): name for name in ADAPTIVES}
"""Control → the adaptive row whose recipe and mean weight it has."""


def paper_agrees(claim: Claim) -> int | None:
    """In how many of the paper's five columns its own figures are in the claimed order; None without figures."""
    figures = {name: row.paper for name, row in rows().items()}
    better, worse = figures.get(claim.better), figures.get(claim.worse)
    if better is None or worse is None:
        return None
    signs = [1.0 if column.endswith("↑") else -1.0 for column in PAPER_COLUMNS]
    return sum(sign * (a - b) > 0 for sign, a, b in zip(signs, better, worse, strict=True))
