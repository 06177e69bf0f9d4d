"""What stands first on the page of the exact world: who wins, the extrapolated length, bounds in bold."""

from __future__ import annotations

from typing import Any

import pytest

from fada.studies.exact.summary import bounds_text, curve_text, summary

NO_HEADROOM = "no headroom: this comparison shows nothing"
NAMES = ("best undistilled 6 guided", "best undistilled 6 conditional")


def results(student: list[float], rival: list[float], teacher: list[float]) -> dict[str, Any]:
    """Table 4 alone, the better of the two rivals being the conditional one."""
    columns = {"tokens@paper": student, NAMES[0]: [1.0] * 4, NAMES[1]: rival, "teacher on A": teacher}
    keys = ("error", "error_open", "wrong_open")
    return {"rows": {name: {"4": dict.fromkeys(keys, column)} for name, column in columns.items()}}


@pytest.mark.parametrize(
    ("student", "rival", "teacher", "word"),
    [
        ([0.2, 0.21, 0.2, 0.21], [0.3, 0.32, 0.3, 0.31], [0.1, 0.1, 0.11, 0.1], "**wins**"),
        ([0.4, 0.41, 0.4, 0.41], [0.3, 0.32, 0.3, 0.31], [0.1, 0.1, 0.11, 0.1], "**loses**"),
        ([0.2, 0.41, 0.2, 0.41], [0.3, 0.32, 0.3, 0.31], [0.1, 0.1, 0.11, 0.1], "undecided"),
        ([0.2, 0.21, 0.2, 0.21], [0.3, 0.32, 0.3, 0.31], [0.3, 0.32, 0.3, 0.31], NO_HEADROOM),
    ],
)  # fmt: skip
def test_a_student_wins_against_the_better_rival_where_there_is_headroom(
    student: list[float], rival: list[float], teacher: list[float], word: str
) -> None:
    line = next(each for each in summary(results(student, rival, teacher)).splitlines() if "**error, both**" in each)
    assert line.endswith(f"| {word} |")
    assert "(6 conditional)" in line


def lengths(errors: dict[int, float]) -> dict[str, Any]:
    """A curve of the fast student against a rival of 0.2."""
    column = {key: [0.2, 0.2] for key in ("error", "error_open", "wrong_open")}
    known = [{"row": name, "steps": 0, "tables": {"2": column, "4": column}} for name in NAMES]
    trained = [
        {"row": "tokens@paper", "steps": steps, "batch": 2, "tables": {"4": {key: [error, error] for key in column}}}
        for steps, error in errors.items()
    ]
    return {"curve": [*known, *trained]}


def test_the_curve_is_extrapolated_in_doublings() -> None:
    # 0.1 less per doubling: from 0.4 at 1000 steps of 2 to 0.2 at 4000.
    expected = (
        "-0.1000 per doubling at the end; if that went on, the best undistilled (0.200) would be reached after 8,000"
    )
    assert expected in curve_text(lengths({1000: 0.4, 500: 0.5}))
    assert "ahead of the best undistilled." in curve_text(lengths({500: 0.3, 1000: 0.1}))
    assert "no length in sight reaches the best undistilled (0.200)." in curve_text(lengths({500: 0.5, 1000: 0.5}))
    assert curve_text({}) == ""


def test_perfect_students_that_beat_eighteen_evaluations_with_no_more_are_bold() -> None:
    def bound(name: str, cost: int, error: float, **windows: Any) -> dict[str, Any]:
        column = [error, error + 0.01, error]
        return {"name": name, "reference": 2.0, "audio": 6.5, "cost": cost, "windows": None, "spacing": None, **windows,
                "measures": {"error": column, "error_open": column}}  # fmt: skip

    found = [bound("teacher", 75, 0.1)]
    for kind in ("guided 18", "guided 6", "conditional 6"):
        found += [bound(f"undistilled {kind}, best in {key}", 18, 0.3) for key in ("error", "error_open")]
    found += [bound("perfect balanced", 3 * count, 0.5 - 0.05 * count, windows=count, spacing="time")
              for count in (2, 6, 8)]  # fmt: skip
    line = next(each for each in bounds_text({"bounds": found}).splitlines() if each.startswith("| 2, 6.5 |"))
    assert line == "| 2, 6.5 | 0.103 | 0.303 | 0.303 | time | 0.403 | **0.203** | 0.103 |"


def test_the_curve_of_matched_points_stands_beside_the_same_rival() -> None:
    found = lengths({500: 0.3})
    matched = [{**each, "row": "tokens@matched"} for each in found["curve"] if each["steps"]]
    text = curve_text({"curve": [*found["curve"], *matched]})
    paper, other = (line for line in text.splitlines() if line.startswith("| fast student"))
    assert other == paper.replace("fast student, 6", "fast student, matched points, 6")
