"""Emotions of clips: soft labels of names, in shards, in the batches drawn of them; and the sound of motion frames."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fada.data.clips.emotion import EMOTIONS, asked_emotion, emotion_of, soft_label
from fada.data.clips.sample_emotion import sample_emotion, with_emotion
from fada.data.sampling.clip_source import LatentClip
from fada.data.sampling.dataset import Batch, BatchShape, ClipSampler, audio_windows, hash_clips
from fada.data.sampling.prefetch import packed, unpacked
from fada.data.shards.format import PARTS, Sample, decode_sample, encode_sample
from fada.data.shards.held_out import HeldOutClips
from fada.data.shards.reading import read_index, write_shards
from fada.data.shards.shard_set import ShardSet
from fada.data.shards.stored_clips import StoredClips
from fada.data.world.emotion_truth import emotion_of_truth
from fada.teacher.inputs import ClipInputs

HAPPY = [0, 0, 0, 0.8, 0.2, 0, 0]


def test_named_shares_leave_the_rest_to_neutral() -> None:
    torch.testing.assert_close(emotion_of({"happy": 0.8}), torch.tensor(HAPPY))
    torch.testing.assert_close(emotion_of({"angry": 0.5, "neutral": 0.25}), torch.tensor([0.5, 0, 0, 0, 0.5, 0, 0]))
    assert emotion_of({"surprise": 1}).tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert emotion_of({}).tolist() == [0, 0, 0, 0, 1, 0, 0]
    assert emotion_of({}).dtype == torch.float32


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"joy": 0.5}, "no emotion named 'joy'; choose from angry, disgust, fear, happy, neutral, sad, surprise"),
        ({"happy": 1.5}, "emotion: happy: must be a share between 0 and 1, got 1.5"),
        ({"happy": -0.1}, "must be a share between 0 and 1, got -0.1"),
        ({"happy": float("nan")}, "must be a share between 0 and 1, got nan"),
        ({"happy": True}, "must be a share between 0 and 1, got True"),
        ({"happy": "1"}, "must be a share between 0 and 1, got '1'"),
        ({"happy": 0.7, "sad": 0.5}, r"1 together at most, got happy=0.7 and sad=0.5 = 1.2; lower one"),
    ],
)
def test_what_is_no_emotion_is_refused(named: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        emotion_of(named)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, 0.0], r"has 7 shares \(angry, .*, surprise\), got shape \(2,\)"),
        ([0.5] * 7, "sum to 1, got .* with sum 3.5"),
        ([-0.5, 1.5, 0, 0, 0, 0, 0], "at least 0"),
        ([float("nan")] * 7, "sum to 1"),
        ("happy", "must be shares by name or 7 numbers, got str"),
    ],
)
def test_soft_labels_are_checked(values: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        soft_label(values)


def test_a_call_may_ask_by_name_by_label_or_not_at_all() -> None:
    torch.testing.assert_close(asked_emotion({"happy": 0.8}), torch.tensor(HAPPY))
    torch.testing.assert_close(asked_emotion(torch.tensor(HAPPY)), torch.tensor(HAPPY))
    assert asked_emotion(None).tolist() == emotion_of({}).tolist()
    with pytest.raises(ValueError, match="sum to 1"):
        asked_emotion(torch.ones(7))


def test_the_truth_of_a_drawn_clip_tells_of_it_and_damage_is_told_with_the_clip() -> None:
    meta = {"truth": {"emotion": {"name": "happy", "label": HAPPY}}}
    found = sample_emotion(Sample("k", meta))
    assert found is not None
    torch.testing.assert_close(found, torch.tensor(HAPPY))
    for plain in ({}, {"truth": None}, {"truth": {"aperture": []}}):
        assert emotion_of_truth(plain) is None
    for damaged in (3, {}, {"label": [1.0]}, {"label": [2.0] * 7}):
        with pytest.raises(ValueError, match=r"^k: truth: tells of no emotion \(.*\); draw the clip again"):
            sample_emotion(Sample("k", {"truth": {"emotion": damaged}}))


def test_what_is_stored_comes_before_the_truth() -> None:
    meta = {"truth": {"emotion": {"label": HAPPY}}}
    stored = emotion_of({"sad": 1.0})
    (kept,) = with_emotion([Sample("k", meta, emotion=stored)])
    assert kept.emotion is stored
    assert torch.equal(sample_emotion(kept), stored)  # type: ignore[arg-type]
    (made,) = with_emotion([Sample("k", meta)])
    torch.testing.assert_close(made.emotion, torch.tensor(HAPPY))


def test_a_shard_keeps_it_beside_parts_with_any_number_of_frames() -> None:
    kept = Sample("a", {}, latents=torch.zeros(3, 4, 2, 2).half(), emotion=emotion_of({"fear": 0.4}))
    read = decode_sample("a", encode_sample(kept), None, PARTS, pytest.fail)
    assert read is not None
    assert torch.equal(read.emotion, kept.emotion)  # type: ignore[arg-type]
    assert PARTS[-1] == "emotion"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.zeros(3), r"emotion is \[3\] .* which no emotion is"),
        (torch.full((7,), 0.5), "sum to 1"),
        (torch.full((7,), float("nan")), "not finite"),
    ],
)
def test_a_stored_emotion_that_cannot_be_is_damage(value: torch.Tensor, said: str) -> None:
    told: list[str] = []
    members = encode_sample(Sample("a", {}, emotion=value))
    assert decode_sample("a", members, None, PARTS, lambda *each: told.append(" ".join(each))) is None
    assert re.search(said, told[0]), told


FRAMES = 12


def clip(number: int, emotion: str | None = "happy") -> Sample:
    """A clip whose latents and sound tell the frame."""
    place = torch.arange(FRAMES) / 16 + number / 256
    return Sample(
        f"clip-{number}",
        {"quality": "A"},
        latents=place.reshape(-1, 1, 1, 1).expand(-1, 4, 2, 2).half(),
        audio_states=place[:, None, None].expand(-1, 1, 8).bfloat16(),
        emotion=None if emotion is None else emotion_of({emotion: 0.5 + number / 16}),
    )


def stored(folder: Path, samples: list[Sample], **options: Any) -> StoredClips:
    write_shards(samples, folder, 2)
    return StoredClips([ShardSet(folder)], **options)


def test_batches_have_it_where_it_was_asked_for_and_are_else_the_same(tmp_path: Path) -> None:
    samples = [clip(0), clip(1, "sad"), clip(2, "angry")]
    asked, plain = stored(tmp_path / "s", samples, emotion=True), StoredClips([ShardSet(tmp_path / "s")])
    assert read_index(tmp_path / "s").parts["emotion"] == 3
    assert asked.facts.has_emotion.all()
    assert not plain.facts.has_emotion.any()
    for step in range(4):
        one, two = (ClipSampler(each, 4, 1, 1, seed=3).batch(step, BatchShape(5)) for each in (asked, plain))
        assert two.emotion is None
        assert one.emotion is not None
        assert one.emotion.shape == (5, len(EMOTIONS))
        for key, label in zip(one.keys, one.emotion, strict=True):
            assert torch.equal(label, samples[int(key[-1])].emotion)  # type: ignore[arg-type]
        for name in ("latents", "reference", "motion", "has_motion", "audio"):
            assert torch.equal(getattr(one, name), getattr(two, name))
    assert hash_clips(asked) != hash_clips(plain)
    subset = asked.subset(np.array([1]))
    assert subset.facts.has_emotion.tolist() == [True]
    assert torch.equal(subset[0].emotion, samples[1].emotion)  # type: ignore[arg-type]


def test_clips_of_which_only_some_have_one_are_refused(tmp_path: Path) -> None:
    clips = stored(tmp_path / "s", [clip(0), clip(1, None)], emotion=True)
    with pytest.raises(ValueError, match=r"1 of 2 clips have no emotion, clip-1 among them; .*--emotion-classifier"):
        ClipSampler(clips, 4, 0, 1)


def batch_with_sound(motion_frames: int = 3, context: int = 1) -> tuple[list[LatentClip], Batch]:
    clips = [
        LatentClip(f"clip-{number}", "A", torch.zeros(FRAMES, 1), torch.randn(FRAMES, 2, 3)) for number in range(3)
    ]
    # The first number of a latent tells the frame.
    for each in clips:
        each.latents[:, 0] = torch.arange(FRAMES)
    sampler = ClipSampler(clips, 4, motion_frames, context, seed=5, hears_motion=True)
    return clips, sampler.batch(0, BatchShape(12))


def test_motion_frames_come_with_their_own_sound_and_missing_ones_with_none() -> None:
    clips, batch = batch_with_sound()
    assert batch.motion_audio is not None
    assert batch.motion_audio.shape == (12, 3, 3, 2, 3)
    assert 0 < int(batch.has_motion.sum()) < 12
    for row, key in enumerate(batch.keys):
        start = int(batch.latents[row, 0, 0])
        states = clips[int(key[-1])].states
        expected = torch.zeros(3, 3, 2, 3)
        if batch.has_motion[row]:
            expected = audio_windows(states, start - 3, 3, 1)
        assert torch.equal(batch.motion_audio[row], expected)


def test_sound_of_motion_frames_is_asked_for() -> None:
    clips = [LatentClip("a", "A", torch.zeros(FRAMES, 1), torch.randn(FRAMES, 2, 3))]
    assert ClipSampler(clips, 4, 2, 1).batch(0, BatchShape(2)).motion_audio is None


def test_batches_go_to_workers_and_devices_and_come_back_whole() -> None:
    _, batch = batch_with_sound()
    label = torch.eye(7)[torch.arange(12) % 7]
    whole = Batch(**{**{name: getattr(batch, name) for name in batch.__dataclass_fields__}, "emotion": label})
    back = unpacked(packed(whole))
    for name in ("emotion", "motion_audio"):
        assert torch.equal(getattr(back, name), getattr(whole, name))
    there = whole.to(torch.device("meta"))
    assert (there.emotion.device.type, there.motion_audio.device.type) == ("meta", "meta")  # type: ignore[union-attr]


def test_inputs_of_a_batch_hear_only_motion_frames_that_are_kept() -> None:
    _, batch = batch_with_sound()
    keeps = torch.arange(12) % 2 == 0
    inputs = ClipInputs.of_batch(batch, keeps)
    assert inputs.motion_audio is not None
    assert inputs.has_motion is not None
    assert batch.motion_audio is not None
    for row in range(12):
        kept = bool(batch.has_motion[row] & keeps[row])
        expected = batch.motion_audio[row] if kept else torch.zeros_like(batch.motion_audio[row])
        assert torch.equal(inputs.motion_audio[row], expected)
    assert inputs.without_motion().motion_audio is None


def test_inputs_in_another_type() -> None:
    _, batch = batch_with_sound()
    whole = Batch(**{**{n: getattr(batch, n) for n in batch.__dataclass_fields__}, "emotion": torch.eye(7)[[3] * 12]})
    inputs = ClipInputs.of_batch(whole).to(torch.bfloat16)
    assert torch.equal(inputs.emotion, whole.emotion.bfloat16())  # type: ignore[union-attr,arg-type]
    for name in ("reference", "audio", "motion", "emotion", "motion_audio"):
        assert getattr(inputs, name).dtype == torch.bfloat16
    plain = ClipInputs(torch.zeros(1, 1), torch.zeros(1, 1)).to(torch.bfloat16)
    assert (plain.motion, plain.emotion, plain.motion_audio) == (None, None, None)


def test_held_out_clips_have_it_where_it_is_asked_for(tmp_path: Path) -> None:
    media = {"frames": np.zeros((4, 32, 32, 3), np.uint8), "audio": np.zeros(2560, np.float32)}
    samples = [Sample("a", {"quality": "A"}, **media, emotion=emotion_of({"sad": 0.5}))]
    write_shards(samples, tmp_path / "s", 2)
    (told,), (plain,) = (HeldOutClips(ShardSet(tmp_path / "s"), emotion=asked) for asked in (True, False))
    assert plain.emotion is None
    assert torch.equal(told.emotion, samples[0].emotion)  # type: ignore[arg-type]
