"""Emotions in the drawn world: what was there stays as it is, faces and voices follow what is felt, truth says so."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fada.cli.app import run as command
from fada.data.clips.clip import list_clips, read_record
from fada.data.clips.emotion import EMOTIONS, emotion_of
from fada.data.clips.sample_emotion import sample_emotion
from fada.data.shards.format import Sample
from fada.data.shards.reading import read_index, read_shards
from fada.data.world import draw, make_clip, make_world
from fada.data.world.emotion_truth import emotion_of_truth
from fada.data.world.face import paint_frames
from fada.data.world.feeling import DIRECTIONS, Feeling, at_tempo, draw_feeling, with_feeling
from fada.data.world.keypoints import keypoints_of_truth
from fada.data.world.measure_head import at_rest
from fada.data.world.speech import plan_speech
from fada.recipe import load_recipe
from fada.recipe.errors import RecipeError

RECORDED: list[tuple[int, dict[str, Any], str]] = [
    (0, {}, "d677aa5c3f590945c905eb7f"),
    (1, {"quality": "B"}, "36edb18ac3585f5c40f5c969"),
    (2, {"split": "test", "size": 128, "frames": 12}, "4e96c15108c195e9249dc608"),
    (0, {"version": 2}, "4592ae3c009f4eafef06c058"),
    (3, {"version": 2, "quality": "B"}, "0c22b4f822612bbc9b3c85c6"),
    (1, {"version": 2, "reach": "narrow"}, "8d21eb0cf7c1478a1d7b89ef"),
    (2, {"version": 2, "reach": "beyond", "quality": "B", "split": "test"}, "94d9ac36638301ad4c855a2f"),
]
"""SHA-256 over pixels, sound and meta of clips of seed 7, as the code before emotions drew them."""


@pytest.mark.parametrize(("index", "options", "expected"), RECORDED)
def test_worlds_without_emotions_are_bit_for_bit_what_they_were(
    index: int, options: dict[str, Any], expected: str
) -> None:
    clip = make_clip(7, index, **{"size": 64, "frames": 16, **options})
    digest = hashlib.sha256(clip.frames.tobytes())
    digest.update(clip.audio.tobytes())
    digest.update(json.dumps(clip.meta, sort_keys=True).encode())
    assert digest.hexdigest()[:24] == expected


def felt(name: str, intensity: float = 1.0, **options: Any) -> Any:
    """A clip of one person who feels this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw, "draw_feeling", lambda rng: Feeling(name, intensity))
        return make_clip(1, 4, **{"size": 64, "frames": 12, "version": 2, "emotion": True, **options})


def test_every_emotion_is_drawn_about_as_often_and_neutral_has_no_intensity() -> None:
    drawn = [draw_feeling(np.random.default_rng([5, number])) for number in range(700)]
    counts = {name: sum(each.name == name for each in drawn) for name in EMOTIONS}
    assert min(counts.values()) > 60
    strong = [each.intensity for each in drawn if each.name != "neutral"]
    assert 0.3 <= min(strong) < 0.33
    assert 0.97 < max(strong) <= 1.0
    assert {each.intensity for each in drawn if each.name == "neutral"} == {0.0}


@pytest.mark.parametrize("version", [1, 2])
def test_the_truth_says_what_is_felt_and_how_it_shows(version: int) -> None:
    truth = felt("fear", 0.6, version=version).meta["truth"]
    assert (truth["emotion"]["name"], truth["emotion"]["intensity"]) == ("fear", 0.6)
    found = emotion_of_truth(json.loads(json.dumps({"truth": truth})))
    torch.testing.assert_close(found, emotion_of({"fear": 0.6}))
    direction = 0.6 * DIRECTIONS[EMOTIONS.index("fear")]
    for name, value in (("slant", direction[1]), ("lid", direction[2])):
        assert np.array(truth[name]) == pytest.approx(np.full(12, value), rel=0.13)
    assert np.array(truth["corners"]) == pytest.approx(np.full((12, 2), direction[3]), rel=0.13)
    assert float(np.std(truth["slant"])) > 0
    assert set(truth["expression"]) == {0.0}


def test_a_neutral_person_feels_nothing_and_says_so() -> None:
    clip = felt("neutral", 0.0)
    assert clip.meta["world"]["emotion"] is True
    assert sample_emotion(Sample("k", clip.meta)).tolist() == [0, 0, 0, 0, 1, 0, 0]  # type: ignore[union-attr]
    assert set(clip.meta["truth"]["slant"]) == set(clip.meta["truth"]["lid"]) == {0.0}


def test_the_person_and_the_words_do_not_depend_on_what_is_felt() -> None:
    clips = [felt(name) for name in ("sad", "surprise")]
    plain = make_clip(1, 4, size=64, frames=12, version=2)
    assert clips[0].meta["truth"]["person"] == clips[1].meta["truth"]["person"] == plain.meta["truth"]["person"]
    still = [each.meta["truth"] for each in (felt("neutral", 0.0), plain)]
    # At the tempo and loudness of one who feels nothing it is the very same speech.
    assert still[0]["aperture"] == still[1]["aperture"]
    assert np.array_equal(felt("neutral", 0.0).audio, plain.audio)


def test_faces_move_where_the_emotion_says() -> None:
    identity = draw.plan_clip(1, 4, 1, "train")[0]
    size = 256
    rest = replace(at_rest(np.zeros((1, 2))), brow=np.zeros(1))

    def brow_and_eye(**curves: float) -> tuple[np.ndarray, int]:
        """Rows of the right brow at its inner and outer end, and the eye's white pixels."""
        motion = replace(rest, **{name: np.full(1, value) for name, value in curves.items()})
        backdrop = np.full((3, 1, size, size), 0.5, np.float32)
        picture = paint_frames(identity, motion, backdrop)[0].astype(int)
        bare = paint_frames(replace(identity, brow_thickness=0.0), motion, backdrop)[0].astype(int)
        changed = np.abs(picture - bare).max(-1) > 8
        _, columns = np.nonzero(changed[:, size // 2 :])
        middle = (columns.min() + columns.max()) // 2 + size // 2
        inner, outer = (np.nonzero(part)[0].mean() for part in (changed[:, size // 2 : middle], changed[:, middle:]))
        return np.array([inner, outer]), int((picture.min(-1) > 240).sum())

    brows, white = brow_and_eye()
    raised, _ = brow_and_eye(brow=1.0)
    assert raised - brows == pytest.approx([-0.022 * size] * 2, abs=0.6)
    fear, _ = brow_and_eye(slant=1.0)
    assert fear[0] < brows[0] - 1.5
    assert fear[1] > brows[1] + 1.5
    anger, _ = brow_and_eye(slant=-1.0)
    assert anger[0] > brows[0] + 1.5
    assert brow_and_eye(lid=1.0)[1] > 1.2 * white
    assert brow_and_eye(lid=-1.0)[1] < 0.7 * white


def test_keypoints_of_the_mouth_follow_its_corners() -> None:
    happy, sad = (keypoints_of_truth(felt(name).meta) for name in ("happy", "sad"))
    for found in (happy, sad):
        assert found is not None
    mouths = [found.points[:, 3:, 1].mean(1) - found.points[:, 2, 1] for found in (happy, sad)]  # type: ignore[union-attr]
    # 1.3 and -1 times how far a smile lifts a corner, 0.020 of the side.
    assert float((mouths[1] - mouths[0]).mean()) == pytest.approx(2.3 * 0.020 * 1.0, rel=0.25)


def test_brows_keep_a_share_of_their_own_movement() -> None:
    motion = draw.plan_clip(1, 4, 50, "train")[2]
    none = with_feeling(motion, Feeling("neutral", 0.0), np.random.default_rng(0))
    np.testing.assert_allclose(none.brow, 0.3 * motion.brow)
    for field in fields(motion):
        if field.name not in ("brow", "expression", "corners", "slant", "lid"):
            assert np.array_equal(getattr(none, field.name), getattr(motion, field.name))


def test_speech_at_a_tempo_is_the_same_speech_faster() -> None:
    speech = plan_speech(np.random.default_rng(3), 3.0)
    fast = at_tempo(speech, 1.5, 2.0)
    for name in ("vowels", "fricative", "murmur", "burst", "pitch"):
        curve = getattr(fast, name)
        assert curve.shape[-1] == 2000
        np.testing.assert_allclose(curve[..., ::2], getattr(speech, name)[..., ::3][..., :1000])


def test_voices_are_higher_faster_and_louder_as_the_emotion_says() -> None:
    long = {"frames": 100, "version": 1}
    neutral, sad, angry = (felt(name, each, **long).audio for name, each in (("neutral", 0), ("sad", 1), ("angry", 1)))
    level = [float(np.sqrt(np.mean(np.square(each)))) for each in (sad, neutral, angry)]
    assert level[0] < 0.8 * level[1]
    assert level[2] > 1.15 * level[1]
    assert Feeling("sad", 0.5).tempo == pytest.approx(0.8**0.5)
    own = draw.plan_clip(1, 4, 1, "train")[0].voice
    assert Feeling("surprise", 1.0).voice(own) == replace(own, pitch=own.pitch * 1.32)
    assert Feeling("neutral", 0.0).voice(own) == own


def test_the_mouth_follows_the_sound_at_every_tempo() -> None:
    for name in ("sad", "fear"):
        clip = felt(name, frames=100, version=1)
        opening = np.array(clip.meta["truth"]["aperture"])
        level = np.sqrt(np.square(clip.audio.reshape(100, -1)).mean(1))
        assert np.corrcoef(opening, level)[0, 1] > 0.7


def test_a_world_with_emotions_goes_into_shards_with_them(tmp_path: Path) -> None:
    small = ["--clips", "3", "--size", "32", "--frames", "6", "--emotion", "--workers", "1"]
    assert command(["world", "make", str(tmp_path / "w"), *small]) == 0
    assert json.loads((tmp_path / "w/world.json").read_text())["emotion"] is True
    assert command(["data", "shard", str(tmp_path / "w"), "--out", str(tmp_path / "s")]) == 0
    assert read_index(tmp_path / "s/train").parts["emotion"] == 3
    for sample in read_shards(tmp_path / "s/train"):
        record = read_record(tmp_path / "w" / f"{sample.key}.json")
        assert torch.equal(sample.emotion, emotion_of_truth(record["meta"]))  # type: ignore[arg-type]


def test_a_folder_keeps_to_one_of_both(tmp_path: Path) -> None:
    make_world(tmp_path, 1, size=32, frames=3)
    assert "emotion" not in json.loads((tmp_path / "world.json").read_text())
    with pytest.raises(ValueError, match="holds a drawn world of other settings"):
        make_world(tmp_path, 2, size=32, frames=3, emotion=True)
    (tmp_path / "world.json").write_text("{")
    with pytest.raises(ValueError, match=r"clips there are of another world .*'emotion': False"):
        make_world(tmp_path, 2, size=32, frames=3, emotion=True)
    make_world(tmp_path, 2, size=32, frames=3)
    assert len(list_clips(tmp_path)) == 2


def test_faces_that_begin_at_rest_tell_of_nothing_in_their_first_frames_and_of_all_after_them() -> None:
    for version in (1, 2):
        always, rising = (felt("fear", 0.8, version=version, frames=50, from_rest=each) for each in (False, True))
        truth, other = rising.meta["truth"], always.meta["truth"]
        for name in ("slant", "lid", "corners"):
            curve, whole = np.array(truth[name]), np.array(other[name])
            assert not curve[:3].any()
            # At rest for 2 to 8 frames, coming up in 8; the swell is the same.
            np.testing.assert_array_equal(curve[16:], whole[16:])
            assert (np.abs(curve) <= np.abs(whole) + 1e-4).all()
        assert rising.meta["world"] == always.meta["world"] | {"from_rest": True}
        # Voice, words and label are those of one who felt it from the start.
        assert np.array_equal(rising.audio, always.audio)
        assert truth["emotion"] == other["emotion"]


def test_what_is_felt_comes_up_half_way_in_the_middle_of_its_rise() -> None:
    motion = draw.plan_clip(1, 4, 50, "train")[2]

    class Fixed:
        def uniform(self, low: float, high: float) -> float:
            # Of two numbers without a swell, then the frames at rest.
            return 5.0 if (low, high) == (2.0, 8.0) else 0.0 if low == 0.0 else float("inf")

    rng: Any = Fixed()
    slant = with_feeling(motion, Feeling("sad", 1.0), rng, rests_at=10).slant
    assert slant is not None
    # 3 s² - 2 s³ of the share s of eight frames after frame 15, times 1.1.
    np.testing.assert_allclose(slant[[15, 17, 19, 21, 23]], 1.1 * np.array([0, 0.15625, 0.5, 0.84375, 1]))


def test_clips_with_emotions_are_bit_for_bit_what_they_were_before_faces_could_begin_at_rest() -> None:
    clip = make_clip(7, 0, size=64, frames=16, emotion=True)
    digest = hashlib.sha256(clip.frames.tobytes())
    digest.update(clip.audio.tobytes())
    digest.update(json.dumps(clip.meta, sort_keys=True).encode())
    assert digest.hexdigest()[:24] == "20bff45c2cdb1e6014409ee5"


def test_a_rest_needs_something_to_be_felt(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="from_rest: only what is felt comes up"):
        make_clip(1, 0, from_rest=True)
    with pytest.raises(ValueError, match="from_rest: only what is felt comes up"):
        make_world(tmp_path / "w", 1, from_rest=True)
    assert not (tmp_path / "w").exists()
    with pytest.raises(RecipeError, match=r"from_rest: only what is felt comes up; set emotion: true"):
        load_recipe("tiny/smoke", ["data.world={from_rest: true}"])


def test_a_folder_keeps_to_faces_that_begin_at_rest(tmp_path: Path) -> None:
    make = ["world", "make", str(tmp_path), "--clips", "1", "--size", "32", "--frames", "3", "--emotion"]
    assert command([*make, "--from-rest"]) == 0
    with pytest.raises(ValueError, match="holds a drawn world of other settings"):
        make_world(tmp_path, 2, size=32, frames=3, emotion=True)
    (tmp_path / "world.json").write_text("{")
    with pytest.raises(ValueError, match=r"clips there are of another world .*'from_rest': True"):
        make_world(tmp_path, 2, size=32, frames=3, emotion=True)
