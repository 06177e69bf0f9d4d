"""Precision, recall and ROC against known answers; and what the shipped thresholds find in a drawn world."""

from pathlib import Path

import pytest

from fada.data.clips.clip import read_record
from fada.data.scores import ScoredFolder, curves, judge, load_thresholds
from fada.data.scores.truth import ALSO, AXIS_OF_FLAW
from fada.data.world import FLAW_KINDS


def test_precision_and_recall_by_hand(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("image: {blur: {max: 0.5}}")
    scores = {"a": {"blur": 0.6}, "b": {"blur": 0.7}, "c": {"blur": 0.1}, "d": {"blur": 0.9}, "e": {"blur": 0.9}}
    # d is clean and refused, c is flawed and passes; e is small and enlarged: no fault of the picture's.
    flaws = {"a": ["blur"], "b": ["noise"], "c": ["blur"], "d": [], "e": ["upscaled"]}
    image = judge(scores, flaws, load_thresholds(tmp_path / "own.yaml"))[1]
    assert (image.axis, image.flawed, image.clean, image.found, image.wrongly) == ("image", 3, 1, 2, 1)
    assert (image.precision, image.recall) == pytest.approx((2 / 3, 2 / 3))


def test_areas_by_hand() -> None:
    scores = {str(n): {"noise": float(n)} for n in range(10)}
    flaws = {str(n): ["noise"] if n in (5, 8, 9) else [] for n in range(10)}
    (curve,) = curves(scores, flaws)
    # Of 3 x 7 pairs the flawed one is higher in all but (5, 6) and (5, 7).
    assert (curve.score, curve.area) == ("noise", pytest.approx(19 / 21))


def test_offsets_are_bad_on_both_sides() -> None:
    scores = {str(n): {"offset": float(n - 5)} for n in range(11)}
    flaws = {str(n): ["shifted_audio"] if abs(n - 5) > 2 else [] for n in range(11)}
    assert curves(scores, flaws)[0].area == 1.0


def test_every_flaw_that_can_be_drawn_belongs_to_an_axis() -> None:
    assert set(AXIS_OF_FLAW) == set(FLAW_KINDS)
    assert all(AXIS_OF_FLAW[kind] not in axes for kind, axes in ALSO.items())


def test_the_strict_thresholds_find_every_drawn_flaw_and_leave_clean_clips(
    flawed_world: Path, scored: ScoredFolder
) -> None:
    metas = {key: read_record(flawed_world / f"{key}.json")["meta"] for key in scored.scores}
    flaws = {key: [each["kind"] for each in meta["flaw_details"]] for key, meta in metas.items()}
    found = judge(scored.scores, flaws, load_thresholds("strict"))
    assert [(each.axis, each.found, each.wrongly) for each in found] == [
        ("source", 2, 0), ("image", 2, 0), ("sync", 2, 0), ("background", 1, 0), ("movement", 3, 0),
    ]  # fmt: skip
