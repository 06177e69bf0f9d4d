"""The headroom gate, and students against the best without training, by hand-computed differences."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import Any

import pytest

from fada.eval.bench.headroom import NO_HEADROOM, gate, gates_of, headroom_words, undistilled
from fada.eval.bench.qualities import QUALITY_ERROR, quality_errors
from fada.eval.bench.results import BenchResults
from fada.eval.bench.rivals import contests
from fada.eval.comparison.comparable import CompareError
from fada.eval.report.tables import all_tables

CLIPS = ("a", "b", "c", "d")
Values = tuple[float, ...]
TEACHER = (4.0, 5.0, 6.0, 5.0)


def shifted(by: Values) -> Values:
    return tuple(value + each for value, each in zip(TEACHER, by, strict=True))


SLIGHT = shifted((0.5, -0.4, 0.6, -0.3))
CLEAR = shifted((1.0, 1.1, 0.9, 1.0))
BETTER = shifted((-0.5, -0.6, -0.4, -0.5))


def handmade(figures: dict[str, tuple[int, str, Values]], reference: Values = TEACHER) -> BenchResults:
    """Results of identity errors; by name: evaluations, role, a value per clip."""
    systems, rows = [], []
    for name, (nfe, role, values) in {"teacher-75": (75, "reference", reference), **figures}.items():
        roles = {f"is_{each}": each == role for each in ("reference", "candidate", "alternative")}
        systems.append(
            {"name": name, "description": "", "nfe_expected": nfe, "notes": {}, "fingerprint": name, **roles}
        )
        for clip, value in zip(CLIPS, values, strict=True):
            # The nearness to the teacher shows a loss everywhere: it must decide nothing.
            metrics = {"identity_error_synth": value, "latent_mse_reference": 0.0 if role == "reference" else 9.0}
            rows.append({"system": name, "kind": "system", "clip": clip, "identity": clip, "metrics": metrics,
                         "reasons": {}, "nfe": nfe, "clips": 1, "media_seconds": 1.0})  # fmt: skip
    protocol = {"clips": dict.fromkeys(CLIPS, "x"), "fingerprint": "p", "seed": 0}
    return BenchResults(protocol, {}, systems, rows, [])


def fast(best: Values, untrained: Values = CLEAR, student: Values = TEACHER) -> BenchResults:
    return handmade(
        {
            "teacher-2x3": (6, "alternative", CLEAR),
            "teacher-6-conditional-best": (6, "alternative", best),
            "untrained-6": (6, "alternative", untrained),
            "teacher-6x3": (18, "alternative", TEACHER),
            "fast-6": (6, "candidate", student),
        }
    )


def test_what_loses_by_more_than_the_interval_leaves_headroom() -> None:
    found = {each.untrained: each for each in gates_of(fast(CLEAR), "fast-6")}
    assert list(found) == ["teacher-2x3", "teacher-6-conditional-best", "untrained-6"]
    assert all(each.passes for each in found.values())
    loss = found["untrained-6"].losses["identity_error_synth"]
    # Differences 1, 1.1, 0.9, 1: sd 0.0816497, t of 97.5 % at three degrees of freedom 3.182446.
    assert (loss.mean, loss.half_width) == pytest.approx((1.0, 3.182446 * 0.0816497 / 2), rel=1e-5)
    assert headroom_words(fast(CLEAR)) == [
        "fast-6: headroom (teacher-2x3, teacher-6-conditional-best, untrained-6: worse than the teacher)"
    ]


@pytest.mark.parametrize("best", [SLIGHT, TEACHER, BETTER])
def test_where_intervals_reach_zero_there_is_no_headroom(best: Values) -> None:
    results = fast(best)
    found = {each.untrained: each.word for each in gates_of(results, "fast-6")}
    assert found["teacher-6-conditional-best"] == NO_HEADROOM == "no headroom: this comparison shows nothing"
    (line,) = headroom_words(results)
    assert line.startswith(f"fast-6: {NO_HEADROOM} (teacher-6-conditional-best:")
    table = all_tables(results)["headroom"]
    assert [row[-1].text for row in table.rows] == ["headroom", NO_HEADROOM, "headroom"]


def test_the_untrained_copy_alone_can_close_the_gate() -> None:
    assert headroom_words(fast(CLEAR, untrained=SLIGHT))[0].startswith(f"fast-6: {NO_HEADROOM} (untrained-6:")


def test_one_clip_shows_no_headroom() -> None:
    one = {"identity_error_synth": {"a": 1.0}}
    assert gate("untrained-6", 6, {"identity_error_synth": {"a": 9.0}}, one).word == NO_HEADROOM


def test_rivals_cost_as_much_as_a_student_or_less_by_no_whole_guided_step() -> None:
    results = handmade(
        {
            "teacher-2x3": (6, "alternative", CLEAR),
            "teacher-8": (8, "alternative", CLEAR),
            "teacher-5": (5, "alternative", CLEAR),
            "teacher-9": (9, "alternative", CLEAR),
            "fast-8": (8, "candidate", TEACHER),
        }
    )
    assert undistilled(results, "fast-8") == ["teacher-2x3", "teacher-8"]


def test_a_student_beats_loses_or_is_undecided_against_the_strongest_rival() -> None:
    for student, word in ((TEACHER, "beats"), (shifted((2.0, 2.2, 1.9, 2.1)), "loses"), (CLEAR, "undecided")):
        (contest,) = contests([fast(shifted((0.9, 1.2, 1.0, 0.8)), untrained=shifted((3, 3, 3, 3.5)), student=student)])
        assert (contest.word, contest.student, contest.of) == (word, "fast-6", 3)
        assert contest.rivals == ("teacher-6-conditional-best",)
        assert contest.over_runs is None


def test_beating_the_plain_rival_alone_is_no_victory() -> None:
    (contest,) = contests([fast(best=BETTER, student=TEACHER)])
    assert (contest.word, contest.rivals) == ("loses", ("teacher-6-conditional-best",))
    assert contest.over_clips.mean == pytest.approx(-0.5)


def test_over_several_runs_seeds_and_clips_must_agree() -> None:
    students = [shifted((0.1, 0.0, 0.1, 0.0)), shifted((0.0, 0.1, 0.0, 0.1)), shifted((0.1, 0.1, 0.0, 0.0))]
    (contest,) = contests([fast(CLEAR, student=each) for each in students])
    assert contest.word == "beats"
    assert contest.over_runs is not None
    assert contest.over_runs.count == 3
    assert contest.over_runs.mean == pytest.approx(0.95)
    one_bad_seed = [*students[:2], shifted((2.0, 2.1, 2.0, 2.1))]
    (contest,) = contests([fast(CLEAR, student=each) for each in one_bad_seed])
    assert contest.word == "undecided"


def test_runs_that_cannot_be_set_beside_each_other_are_refused() -> None:
    with pytest.raises(CompareError, match="no runs; name those"):
        contests([])
    other: Any = replace(fast(CLEAR), protocol={"clips": dict.fromkeys(CLIPS, "x"), "fingerprint": "q", "seed": 1})
    with pytest.raises(CompareError, match=r"protocols differ in seed \(0 and 1\)"):
        contests([fast(CLEAR), other])
    nobody = handmade({"teacher-2x3": (6, "alternative", CLEAR)})
    with pytest.raises(CompareError, match=r"no student in common \(fast-6; none\)"):
        contests([fast(CLEAR), nobody])


def test_without_students_there_is_no_gate_and_no_contest() -> None:
    nobody = handmade({"teacher-2x3": (6, "alternative", CLEAR)})
    assert headroom_words(nobody) == contests([nobody]) == []


def with_mouths(results: BenchResults, mouths: dict[str, tuple[float | None, ...]]) -> BenchResults:
    """The same results with a mouth's correlation per clip."""
    rows = [
        {
            **row,
            "metrics": {**row["metrics"], "mouth_correlation_synth": mouths[row["system"]][CLIPS.index(row["clip"])]},
        }
        for row in results.rows
    ]
    return replace(results, rows=rows)


def test_the_quality_error_is_a_jackknife_of_the_logarithm_over_mouth_and_identity() -> None:
    results = with_mouths(handmade({}), {"teacher-75": (0.8, None, 0.6, 0.7)})
    found = quality_errors(results, "teacher-75")
    # Means 0.525 and 5; without the second clip 0.7 and 5: a mouth without correlation follows no sound.
    whole, without = 0.5 * math.log(0.475 * 5.0), 0.5 * math.log(0.3 * 5.0)
    assert found["b"] == pytest.approx(4 * whole - 3 * without)
    assert quality_errors(handmade({}), "teacher-75") == {}


def test_a_rival_that_is_strongest_in_one_measure_and_fails_in_the_other_does_not_decide() -> None:
    mouths = {
        "teacher-75": (0.90, 0.91, 0.92, 0.90),
        "teacher-2x3": (0.89, 0.90, 0.91, 0.92),
        "teacher-6-conditional-best": (0.20, 0.21, 0.22, 0.20),
        "untrained-6": (0.20, 0.21, 0.22, 0.20),
        "teacher-6x3": (0.90, 0.91, 0.92, 0.90),
        "fast-6": (0.85, 0.86, 0.84, 0.85),
    }
    results = with_mouths(fast(best=BETTER, student=TEACHER), mouths)
    worse_guided = [
        {**row, "metrics": {**row["metrics"], "identity_error_synth": 30.0}} if row["system"] == "teacher-2x3" else row
        for row in results.rows
    ]
    found = {each.measure: each for each in contests([replace(results, rows=worse_guided)])}
    assert next(iter(found)) == QUALITY_ERROR
    assert (found[QUALITY_ERROR].word, found["identity_error_synth"].word) == ("beats", "loses")
    assert found[QUALITY_ERROR].rivals == ("teacher-2x3",)
    # Two others share the 5 %: t of 98.75 % at three degrees of freedom, differences -4, -4, -7 and -7 hundredths.
    mouth = found["mouth_correlation_synth"]
    assert (mouth.word, mouth.over_clips.half_width) == ("loses", pytest.approx(4.176535 * 0.01 * math.sqrt(3) / 2))
    # The quality error has 5 % of its own: t of 97.5 %.
    errors = [quality_errors(replace(results, rows=worse_guided), name) for name in ("teacher-2x3", "fast-6")]
    spread = statistics.stdev(errors[0][clip] - errors[1][clip] for clip in CLIPS)
    assert found[QUALITY_ERROR].over_clips.half_width == pytest.approx(3.182446 * spread / 2)
