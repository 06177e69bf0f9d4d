"""Thresholds from YAML: what passes, what is refused with which words."""

from pathlib import Path

import pytest

from fada.data.scores import SCORES, check_nested, decide, load_thresholds
from fada.recipe.errors import RecipeError


@pytest.fixture
def thresholds(tmp_path: Path):
    def write(text: str, name: str = "own"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        return load_thresholds(path)

    return write


def test_a_score_passes_within_its_limits_ends_included(thresholds) -> None:
    own = thresholds("source: {seconds: {min: 2, max: 10}}\nsync: {offset: {min: -1, max: 1}}")
    assert own.failed({"seconds": 2.0, "offset": 1.0}) == []
    assert own.failed({"seconds": 1.99, "offset": -2.0}) == ["seconds", "offset"]
    assert own.limits == {"seconds": (2.0, 10.0), "offset": (-1.0, 1.0)}


def test_what_was_not_measured_passes_unless_the_limit_says_otherwise(thresholds) -> None:
    own = thresholds("image: {blur: {max: 0.5}, noise: {max: 3, unmeasured: fail}}")
    assert own.failed({"blur": None, "noise": None}) == ["noise"]
    assert own.failed({}) == ["noise"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image: {blurr: {max: 1}}", r"own.yaml:1: image: no score 'blurr' on this axis; did you mean 'blur'\?"),
        ("image: {offset: {max: 1}}", r"no score 'offset' on this axis; it belongs to sync"),
        ("pictures: {blur: {max: 1}}", r"own.yaml:1: pictures: unknown key \(keys here: source, image, sync"),
        ("image:\n  blur: {}", r"own.yaml:2: image.blur: give min, max or both"),
        ("image:\n  blur: {min: 2, max: 1}", r"min 2 is above max 1: no clip would pass"),
        ("image:\n  blur: {mx: 1}", r"image.blur.mx: unknown key; did you mean 'max'\?"),
        ("- a", r"thresholds are a mapping of axes"),
    ],
)
def test_a_fault_is_named_with_its_place(thresholds, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        thresholds(text)


def test_an_unknown_file_names_the_shipped_ones() -> None:
    with pytest.raises(RecipeError, match=r"strikt: no such file; did you mean 'strict'\? .*lenient, strict"):
        load_thresholds("strikt")


def test_the_shipped_thresholds_are_nested_and_speak_of_every_axis() -> None:
    strict, lenient = load_thresholds("recipes/data/strict.yaml"), load_thresholds("lenient")
    check_nested(strict, lenient)
    assert {SCORES[name].axis for name in strict.by_score} == {"source", "image", "sync", "background", "movement"}


CLEAN = {
    "seconds": 5.0, "blur": 0.5, "noise": 1.0, "offset": 0.0, "sync_confidence": 3.0, "mouth_range": 0.06,
    "speech_share": 0.7, "background_change": 1.0, "background_drift": 2.0, "head_motion": 0.01, "yaw": 10.0,
    "roll": 8.0, "occlusion": 0.05, "wobble": 1.0, "second_face": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("score", "moderate", "useless"),
    [
        ("offset", -2.0, -4.0),
        ("offset", 2.0, None),
        ("sync_confidence", 2.2, 2.05),  # below 2.1 the offset is unknown
        ("sync_confidence", 2.1, None),
        ("speech_share", 0.2, 0.0),
        ("roll", 30.0, 90.0),  # a video that lies on its side
        ("yaw", 45.0, 70.0),
        ("occlusion", 0.3, 0.6),
        ("background_change", 15.0, 40.0),
        ("background_drift", 25.0, 60.0),
        ("second_face", 0.1, 0.5),
    ],
)
def test_the_shipped_thresholds_take_moderate_flaws_for_b_and_useless_clips_for_none(score, moderate, useless) -> None:
    sets = load_thresholds("strict"), load_thresholds("lenient")
    assert decide(CLEAN, *sets).set == "A"
    assert decide({**CLEAN, score: moderate}, *sets).set == "B"
    assert decide({**CLEAN, score: useless}, *sets).to_json() == {
        "set": None, "failed_strict": [score], "failed_lenient": [score],
    }  # fmt: skip


@pytest.mark.parametrize("inner", ["image: {noise: {max: 1}}", "image: {blur: {max: 0.7}}"])
def test_lenient_thresholds_that_refuse_what_strict_ones_take_are_an_error(thresholds, inner: str) -> None:
    strict = thresholds(inner, "strict_one")
    with pytest.raises(RecipeError, match=r"wide: image.blur refuses clips that strict_one takes; set A must be part"):
        check_nested(strict, thresholds("image: {blur: {max: 0.6}}", "wide"))


def test_strict_makes_a_lenient_makes_b_and_neither_is_out(thresholds) -> None:
    strict, lenient = thresholds("image: {blur: {max: 0.4}}", "s"), thresholds("image: {blur: {max: 0.6}}", "l")
    sets = [decide({"blur": blur}, strict, lenient).set for blur in (0.4, 0.5, 0.7)]
    assert sets == ["A", "B", None]
    assert decide({"blur": 0.7}, strict, lenient).to_json() == {
        "set": None,
        "failed_strict": ["blur"],
        "failed_lenient": ["blur"],
    }
