"""The offset between lips and sound: known by construction; what is done about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from fada.data.clips.clip import Clip
from fada.data.prepare import Limits, Reason, measure
from fada.data.prepare.fit_mouth_prediction import Example, Trial, fit, left_out, summary
from fada.data.prepare.judge import judge_piece
from fada.data.prepare.mouth_prediction import (
    TARGETS,
    VOICES,
    WEIGHTS,
    prediction_scores,
    shipped_weights,
    sound_features,
)
from fada.data.prepare.source import _with_sound
from fada.data.prepare.sync import SyncMeasurement, measure_sync, shift_for
from fada.data.scores.face import FaceTrack
from fada.data.scores.measure import score_clip
from fada.data.world import make_clip
from fada.data.world.measure import measure_aperture

Talk = tuple[np.ndarray, np.ndarray]
"""Mouth opening (100,) as shares of the side, and the drawn voice (64000,) that goes with it."""


@pytest.fixture(scope="module")
def talks() -> list[Talk]:
    clips = [make_clip(3, index, size=64, frames=100) for index in range(8)]
    return [(measure_aperture(clip.frames, clip.meta["truth"]) / 64, clip.audio) for clip in clips]


@pytest.fixture(scope="module")
def talk(talks: list[Talk]) -> Talk:
    return talks[1]


def late(audio: np.ndarray, frames: int, per_frame: int = 640) -> np.ndarray:
    """The sound later by so many frames."""
    return np.roll(audio, frames * per_frame)


@pytest.mark.parametrize("delay", range(-10, 11, 4))
def test_every_shift_of_the_sound_is_measured_to_the_frame(talk, delay: int) -> None:
    opening, audio = talk
    found = measure_sync(opening, opening, late(audio, delay))
    assert (found.offset, found.method) == (-delay, "prediction")
    assert found.confidence > 2.4


def test_other_frame_rates_count_in_their_own_frames(talk) -> None:
    opening, audio = talk
    times = np.arange(200) / 50 * 25
    faster = np.interp(times, np.arange(100), opening)
    assert abs(measure_sync(faster, faster, late(audio, -3), fps=50).offset - 6) <= 1


def wrong_pairs(talks: list[Talk]) -> list[Talk]:
    return [(seen, heard) for seen, own in talks for _, heard in talks if heard is not own]


def test_a_wrong_voice_is_unknown_or_so_far_off_that_it_is_not_corrected(talks: list[Talk]) -> None:
    found = [measure_sync(opening, opening, voice) for opening, voice in wrong_pairs(talks)]
    believed = [sync.confidence >= 2.1 and abs(sync.offset) <= Limits().max_corrected_offset for sync in found]
    assert np.mean(believed) < 0.1


def face_of(opening: np.ndarray) -> np.ndarray:
    """Landmarks (F, 478, 3) of an upright face 200 pixels high whose inner lips are open so far."""
    shape = np.random.default_rng(0).uniform(-80, 80, (478, 3))
    shape[10], shape[152], shape[168] = (0, -100, 0), (0, 100, 0), (0, -40, -10)
    shape[33], shape[263], shape[61], shape[291] = (-45, -40, 10), (45, -40, 10), (-25, 50, -5), (25, 50, -5)
    points = np.repeat(shape[None], len(opening), axis=0)
    for upper, lower in ((13, 14), (82, 87), (312, 317)):
        points[:, (upper, lower)] = (0, 50, -10)
        points[:, upper, 1] -= 50 * opening
        points[:, lower, 1] += 50 * opening
    return points


def swaying(points: np.ndarray, degrees: float) -> np.ndarray:
    """The same head turned about all three axes, moved and brought nearer, in slow sways as of a speaking person."""
    turns = np.radians(degrees) * np.sin(np.arange(len(points))[:, None] / np.array([9.0, 11.0, 13.0]))
    cos, sin = np.cos(turns), np.sin(turns)
    moved = points.copy()
    for axis in range(3):
        one, two = moved[..., (axis + 1) % 3].copy(), moved[..., (axis + 2) % 3].copy()
        moved[..., (axis + 1) % 3] = cos[:, axis, None] * one - sin[:, axis, None] * two
        moved[..., (axis + 2) % 3] = sin[:, axis, None] * one + cos[:, axis, None] * two
    return moved * (1 + 0.2 * turns[:, :1, None]) + 300 * turns[:, None]


def test_the_curves_of_a_mouth_do_not_depend_on_how_the_head_moves(talk) -> None:
    opening = talk[0]
    still = face_of(opening)
    shapes = np.zeros((len(opening), 52))
    for before, after in zip(
        measure.mouth_curves(still, shapes).values(),
        measure.mouth_curves(swaying(still, 25), shapes).values(),
        strict=True,
    ):
        np.testing.assert_allclose(after, before, atol=1e-9)


@pytest.mark.parametrize("delay", [-10, 0, 4])
def test_a_swaying_head_has_the_offset_of_a_still_one(talk, delay: int) -> None:
    opening, audio = talk
    points = swaying(face_of(opening), 25)
    mouth = measure.mouth_curves(points, np.repeat(opening[:, None], 52, axis=1))
    found = measure_sync(mouth["jaw"], mouth["opening"], late(audio, delay), lip_width=mouth["width"])
    assert found.offset == -delay


def test_the_features_of_a_sound_do_not_depend_on_how_loud_it_is(talk) -> None:
    audio = talk[1]
    heard = sound_features(audio, 100)
    assert heard.shape == (100, 216)
    np.testing.assert_allclose(sound_features(0.1 * audio, 100), heard, atol=1e-5)


def test_the_shipped_weights_say_what_they_were_trained_on() -> None:
    with safe_open(WEIGHTS, "numpy") as file:
        assert "GRID" in file.metadata()["trained_on"]
        assert set(file.keys()) == {f"{voice}.{target.name}" for voice in VOICES for target in TARGETS}
        assert {file.get_slice(name).get_shape()[0] for name in file.keys()} == {216}  # noqa: SIM118


def examples(count: int) -> list[Example]:
    """Noise whose level rises and falls, and mouths that follow it two frames late; each of another person."""
    made = []
    for number in range(count):
        generator = np.random.default_rng(number)
        level = np.convolve(generator.standard_normal(154), np.ones(5) / 5, "valid").clip(0.01)
        audio = np.repeat(level, 640) * generator.standard_normal(150 * 640)
        late_mouth = np.roll(np.log(level), 2)
        mouth = {target.name: late_mouth for target in TARGETS}
        heard = sound_features(audio, 150)
        voice = ("people", "drawn")[number % 2]
        made.append(Example(str(number), 2, str(number), voice, mouth, audio.astype(np.float32), (heard, heard)))
    return made


def test_fitting_finds_what_the_mouths_follow_and_tries_it_on_others() -> None:
    made = examples(8)
    fresh = examples(9)[8]
    scores = prediction_scores(dict(fresh.mouth), fresh.audio, weights=fit(made))[1]
    assert scores.argmax() - 12 == 2
    trials = left_out(made, {"stranger": fresh.audio})
    own = [trial for trial in trials if trial.expected is not None]
    wrong = [trial for trial in trials if trial.expected is None]
    assert (len(own), len(wrong)) == (4 * 21, 4 * 4)
    assert all(abs(trial.found.offset - trial.expected) <= 1 for trial in own)
    lines = summary(trials, Limits())
    assert lines[0].startswith("0: known +2, found +2, confidence ")
    assert lines[4:] == [
        "shifted by -10 .. 10 frames: 84 of 84 within a frame",
        f"16 wrong voices: {sum(_passes(trial, 2.1) for trial in wrong)} pass as known (2.1)",
        f"16 wrong voices: {sum(_passes(trial, 2.5) for trial in wrong)} pass as clear (2.5)",
    ]


def _passes(trial: Trial, least: float) -> bool:
    return trial.found.confidence >= least and abs(trial.found.offset) <= 6


def measured(offset: int, confidence: float, at_zero: float = 0.0) -> SyncMeasurement:
    scores = np.zeros(25)
    scores[12], scores[12 + offset] = at_zero, confidence
    return SyncMeasurement(offset, 0.5, confidence, 0.5, "prediction", scores)


@pytest.mark.parametrize(
    ("sync", "shift"),
    [
        (measured(-4, 2.2), -4),  # medium confidence: corrected
        (measured(-4, 1.9), 0),  # unknown
        (measured(6, 3.0), 6),
        (measured(7, 9.0), 0),  # too large to be believed
        (measured(1, 3.0, at_zero=2.8), 0),  # none is nearly as good
        (measured(-1, 3.0, at_zero=2.0), -1),
        (measured(2, 3.0, at_zero=2.8), 2),
    ],
)
def test_which_offsets_are_corrected(sync: SyncMeasurement, shift: int) -> None:
    assert shift_for(sync, Limits()) == shift


@pytest.mark.parametrize(
    ("shift", "frames"),
    [(0, (0, 52)), (3, (3, 52)), (-4, (0, 46))],
)
def test_frames_without_sound_after_a_shift_are_left_out(shift: int, frames: tuple[int, int]) -> None:
    # 52 frames from the file's beginning, sound for 50 of them.
    assert _with_sound(0, 52, shift, 50) == frames


def test_frames_amid_a_file_keep_their_sound_whatever_the_shift() -> None:
    assert [_with_sound(100, 50, shift, 300) for shift in (-6, 6)] == [(0, 50)] * 2


def test_near_a_known_offset_less_is_needed_and_only_there() -> None:
    sync = measured(5, 2.2, at_zero=2.0)
    assert sync.near(0) == (0, pytest.approx(2.4))
    assert sync.near(-3)[1] == pytest.approx(0.4)
    assert sync.near(13) == (13, 0.0)
    assert SyncMeasurement(0, 0.0, 0.0, 0.0).near(0) == (0, 0.0)


def piece(talk, meta: object) -> dict[str, float | None]:
    opening, audio = talk
    count = len(opening)
    track = FaceTrack(
        np.full((count, 2), 0.5), np.full((count, 2), 0.4), np.full(count, 0.5), *[opening] * 3, None, None
    )
    frames = np.zeros((count, 32, 32, 3), np.uint8)
    return score_clip(Clip("a", frames, audio, meta={"sync": meta}), track)


def test_a_piece_is_looked_at_near_the_offset_of_its_stretch(talk, monkeypatch: pytest.MonkeyPatch) -> None:
    # By itself the piece would be taken for 5 frames off.
    monkeypatch.setattr("fada.data.scores.measure.measure_sync", lambda *_, **__: measured(5, 2.2, at_zero=2.0))
    told = {"is_clear": True, "offset": 3, "shift": 3, "stretch_frames": 900}
    assert (piece(talk, told)["offset"], piece(talk, told)["sync_confidence"]) == (0.0, 2.4)
    for untold in (
        {**told, "stretch_frames": 100},
        {**told, "is_clear": False},
        {**told, "offset": "3"},
        {"is_clear": True},
        "nonsense",
        None,
    ):
        assert piece(talk, untold)["offset"] == 5.0


def test_a_wrong_voice_put_beside_a_known_stretch_stays_unknown(talks: list[Talk]) -> None:
    near = [measure_sync(opening, opening, voice).near(0)[1] for opening, voice in wrong_pairs(talks)]
    assert np.mean(np.array(near) >= 2.1) < 0.1


def test_a_mouth_that_never_moves_has_no_offset(talk) -> None:
    scores = piece((np.full(100, 0.1), talk[1]), {})
    assert (scores["offset"], scores["sync_confidence"]) == (None, 0.0)


@pytest.mark.parametrize(("degrees", "is_rejected"), [(0, False), (30, False), (-50, True), (90, True), (180, True)])
def test_a_head_on_its_side_is_rejected(talk, degrees: float, is_rejected: bool) -> None:
    opening, audio = talk
    angle = np.radians(degrees)
    points = face_of(opening)
    points[..., :2] = points[..., :2] @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    found = judge_piece(points, [0.0] * len(points), audio, Limits())
    assert (Reason.TILTED_HEAD in found) == is_rejected
    if is_rejected:
        assert found[Reason.TILTED_HEAD] == f"tilted by {abs(degrees)} degrees, at most 40 allowed"


def test_shipped_weights_are_read_once() -> None:
    assert shipped_weights() is shipped_weights()
    assert json.dumps(sorted(shipped_weights())) == '["drawn", "people"]'
    assert Path(WEIGHTS).stat().st_size < 10_000
