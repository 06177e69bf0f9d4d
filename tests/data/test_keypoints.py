"""Keypoints of clips: of the drawn world's truth, of landmarks, in shards, and in the batches drawn of them."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from fada.data.audio.encoder import states_of
from fada.data.audio.features import LogMelEncoder
from fada.data.clips.keypoints import Keypoints, keypoints_of_landmarks, read_stored
from fada.data.clips.sample_keypoints import sample_keypoints, with_keypoints
from fada.data.prepare.landmarks import landmark_arrays
from fada.data.sampling.clip_source import DamagedClip, LatentClip
from fada.data.sampling.dataset import Batch, BatchShape, ClipSampler, hash_clips
from fada.data.sampling.prefetch import packed, unpacked
from fada.data.shards.format import PARTS, Sample, decode_sample, encode_sample
from fada.data.shards.held_out import HeldOutClips
from fada.data.shards.reading import read_index, write_shards
from fada.data.shards.shard_set import ShardSet
from fada.data.shards.stored_clips import StoredClips
from fada.data.shards.table import MEMBERS, table_name
from fada.data.world import draw, face
from fada.data.world.keypoints import keypoints_of_truth
from fada.data.world.motion import Motion
from fada.data.world.mouth import MouthLook, lip_boxes
from fada.media.audio import decode_wav, encode_wav


def drawn(**options: Any) -> Keypoints:
    found = keypoints_of_truth(draw.make_clip(0, 0, **options).meta)
    assert found is not None
    return found


def equal(one: Keypoints | None, two: Keypoints | None) -> None:
    assert one is not None
    assert two is not None
    for name, value in one.tensors().items():
        assert torch.equal(value, two.tensors()[name]), name


def test_eyes_and_nose_of_a_drawn_face_by_hand() -> None:
    meta = draw.make_clip(0, 0, size=64, frames=3).meta
    truth, person = meta["truth"], meta["truth"]["person"]
    head = np.array(truth["head_centre"]) / 64
    offsets = [(-person["eye_gap"], -0.045), (person["eye_gap"], -0.045), (0.0, person["nose"][1] - 0.005 - 0.008)]
    found = keypoints_of_truth(json.loads(json.dumps(meta)))
    assert found is not None
    for number, offset in enumerate(offsets):
        np.testing.assert_allclose(found.points[:, number], head + offset, atol=1e-6)
    assert found.visible.all()
    assert (found.points.dtype, found.visible.dtype) == (torch.float32, torch.bool)


@pytest.mark.parametrize("index", [0, 8])
def test_corners_and_box_are_where_the_lips_are_painted(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    size, frames = 512, 6
    clip = draw.make_clip(4, index, size=size, frames=frames, version=2)
    assert np.abs(clip.meta["truth"]["corners"]).max() > 0.1
    found = keypoints_of_truth(clip.meta)
    assert found is not None
    boxes = found.lip_box.numpy() * size
    monkeypatch.setattr(face, "paint_mouth", lambda *_: None)
    bare = draw.make_clip(4, index, size=size, frames=frames, version=2).frames
    changed = np.abs(clip.frames.astype(int) - bare).max(-1) > 0
    lower = np.round(np.array(clip.meta["truth"]["colours"]["lip"]) * 255).astype(int)
    for frame, (left, top, right, bottom) in enumerate(boxes):
        rows, columns = np.nonzero(changed[frame])
        assert abs(columns.min() - left) < 3
        assert abs(columns.max() + 1 - right) < 3
        assert abs(rows.min() - top) < 2
        # Below the lips lies their shadow, so the lower lip is known by its colour.
        is_lip = (np.abs(clip.frames[frame].astype(int) - lower) <= 1).all(-1) & changed[frame]
        assert abs(np.nonzero(is_lip)[0].max() + 1 - bottom) < 2
        for corner, edge in ((3, columns < left + 12), (4, columns > right - 12)):
            # The outermost columns that the lips reach are around their corner.
            assert abs(rows[edge].mean() - float(found.points[frame, corner, 1]) * size) < 0.02 * size
    torch.testing.assert_close(found.points[:, 3, 0], found.lip_box[:, 0])
    torch.testing.assert_close(found.points[:, 4, 0], found.lip_box[:, 2])


def test_the_box_of_closed_lips_by_hand_and_with_corners_that_hang_below_them() -> None:
    look = MouthLook(2.0, (0.02, 0.03), (0, 0, 0), (0, 0, 0), 0.0, 0.0, 0.0)
    level, hanging = lip_boxes(look, np.zeros(2), np.array([0.5, 1.0]), np.array([[0.0, 0.0], [-1.5, 0.0]]))
    outer = [2.0 * (0.052 + 0.073 * 0.5) + 0.014, 2.0 * 0.125 + 0.014]
    assert level[[0, 2]].tolist() == pytest.approx([-outer[0], outer[0]])
    assert hanging[[0, 2]].tolist() == pytest.approx([-outer[1], outer[1]])
    # The lower lip is highest in the middle, where nothing is lifted; the upper one beside its dip.
    assert level[3] == pytest.approx(0.03)
    assert -0.02 < level[1] < -0.018
    # The left corner hangs by 1.5 times 0.02 at mouth scale 2, below all else.
    assert hanging[3] == pytest.approx(0.06, abs=2e-3)


def test_a_smile_lifts_each_corner_by_its_own_measure() -> None:
    meta = copy.deepcopy(draw.make_clip(0, 0, size=64, frames=1).meta)
    flat = keypoints_of_truth(meta)
    meta["truth"]["corners"] = [[1.0, -0.5]]
    smiling = keypoints_of_truth(meta)
    assert flat is not None
    assert smiling is not None
    lift = 0.020 * meta["truth"]["mouth_look"]["scale"] * np.array([1.0, -0.5])
    np.testing.assert_allclose((flat.points - smiling.points)[0, 3:, 1], lift, atol=1e-6)
    assert torch.equal(flat.points[0, :3], smiling.points[0, :3])


def test_points_do_not_depend_on_size_mouth_eyes_or_gaze_and_move_with_head_and_camera(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small, large = drawn(size=64, frames=8), drawn(size=128, frames=8)
    torch.testing.assert_close(small.points, large.points, atol=2e-6, rtol=0)
    flaw = {"size": 64, "frames": 8, "quality": "B", "flaw": "camera_jitter"}
    clips = draw.make_clip(0, 0, size=64, frames=8), draw.make_clip(0, 0, **flaw)  # type: ignore[arg-type]
    truths = [np.array(clip.meta["truth"]["mouth_centre"]) for clip in clips]
    moved = torch.from_numpy((truths[1] - truths[0]) / 64).float()
    assert float(moved.abs().max()) > 0.005
    torch.testing.assert_close(drawn(**flaw).points, small.points + moved[:, None], atol=3e-6, rtol=0)
    still, plan = np.zeros(28), draw.plan_clip

    def other(*arguments: Any) -> Any:
        identity, speech, motion, effort = plan(*arguments)
        kept = {"head": motion.head, "brow": motion.brow, "voiced": motion.voiced, "expression": motion.expression}
        look = {"gaze": np.ones((28, 2)), "corners": np.zeros((28, 2)), "blink": still + 1}
        return identity, speech, Motion(**kept, **look, aperture=still, width=still), effort

    monkeypatch.setattr(draw, "plan_clip", other)
    silent = drawn(size=64, frames=8)
    assert torch.equal(silent.points[:, :3], small.points[:, :3])
    assert not torch.equal(silent.points[:, 3:], small.points[:, 3:])


def test_corners_of_worlds_drawn_before_their_truth_told_of_them() -> None:
    first, second = (draw.make_clip(0, 0, size=64, frames=4, version=version).meta for version in (1, 2))
    for meta in (first, second):
        del meta["truth"]["corners"]
    equal(keypoints_of_truth(first), drawn(size=64, frames=4))
    old, new = keypoints_of_truth(second), drawn(size=64, frames=4, version=2)
    assert old is not None
    assert old.visible.tolist() == [[True, True, True, False, False]] * 4
    assert torch.equal(old.points[:, :3], new.points[:, :3])
    # A corner's lift differs from the even smile's by half of it at most.
    assert float((old.points - new.points).abs().max()) <= 0.5 * 0.020 * second["truth"]["mouth_look"]["scale"] + 1e-6


@pytest.mark.parametrize("meta", [{}, {"truth": None}, {"truth": {"aperture": [0.1]}}])
def test_nothing_is_made_of_a_meta_without_a_face(meta: dict[str, Any]) -> None:
    assert keypoints_of_truth(meta) is None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda truth: truth.update(head_centre=[1.0]), "head_centre has shape"),
        (lambda truth: truth.update(person=3), "int"),
        (lambda truth: truth["person"].pop("nose"), "nose"),
        (lambda truth: truth.update(aperture=[None] * 4), "not finite|NoneType"),
        (lambda truth: truth.update(width=[0.5] * 3), "broadcast|shape"),
        (lambda truth: truth.update(size=0), "finite|zero"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_damaged_truth_is_told_with_the_clip(damage: Callable[[dict[str, Any]], None], said: str) -> None:
    meta = copy.deepcopy(draw.make_clip(0, 0, size=64, frames=4).meta)
    damage(meta["truth"])
    with pytest.raises(ValueError, match=rf"^k: truth: not that of a drawn face \(.*({said}).*\); draw the clip again"):
        sample_keypoints(Sample("k", meta))


def test_keypoints_of_another_number_of_frames_are_told() -> None:
    meta = draw.make_clip(0, 0, size=64, frames=4).meta
    with pytest.raises(ValueError, match=r"^k: has 3 frames, and keypoints of 4; make the clip again"):
        sample_keypoints(Sample("k", meta, latents=torch.zeros(3, 1, 2, 2)))


def test_landmarks_give_irises_nose_tip_corners_and_the_lips_box() -> None:
    landmarks = np.full((2, 478, 2), 0.5, np.float32)
    # Left and right of the picture, as MediaPipe numbers them: iris, iris, nose tip, outer corners.
    for number, (mark, place) in enumerate(zip((468, 473, 1, 61, 291), "abcde", strict=True)):
        assert place == "abcde"[number]
        landmarks[:, mark] = (0.1 * number, 0.3)
    landmarks[1, 1] = (1.25, 0.3)
    landmarks[:, 17] = (0.35, 0.7)
    found = keypoints_of_landmarks(landmarks)
    np.testing.assert_allclose(found.points[0, :, 0], [0.0, 0.1, 0.2, 0.3, 0.4], atol=1e-6)
    assert found.visible.tolist() == [[True] * 5, [True, True, False, True, True]]
    np.testing.assert_allclose(found.lip_box[0], [0.3, 0.3, 0.5, 0.7], atol=1e-6)
    with pytest.raises(ValueError, match=r"landmarks must have shape \(F, 478, 2\), got \(2, 5, 2\)"):
        keypoints_of_landmarks(landmarks[:, :5])


FRAMES = 9


def sample(number: int, frames: int = FRAMES) -> Sample:
    """A clip whose latents, landmarks and keypoints tell the frame."""
    place = torch.arange(frames) / 16
    landmarks = place[:, None, None].expand(frames, 478, 2) + number / 64
    return Sample(
        f"clip-{number}",
        {"quality": "A", "split": "train"},
        latents=place.reshape(-1, 1, 1, 1).expand(-1, 4, 2, 2).half(),
        audio_states=torch.zeros(frames, 1, 8).bfloat16(),
        landmarks={"landmarks": landmarks.half()},
    )


def stored(tmp_path: Path, samples: list[Sample], **options: Any) -> StoredClips:
    write_shards(samples, tmp_path / "s", 2)
    return StoredClips([ShardSet(tmp_path / "s")], **options)


def test_a_shard_keeps_them_in_float16_and_gives_them_back() -> None:
    found = drawn(size=64, frames=50)
    kept = Sample("a", {}, keypoints=found.stored())
    members = encode_sample(kept)
    assert len(members["keypoints.safetensors"]) < 50 * 40 + 400
    read = decode_sample("a", members, None, PARTS, pytest.fail)
    assert read is not None
    assert read.keypoints is not None
    back = read_stored(read.keypoints)
    torch.testing.assert_close(back.points, found.points, atol=2.5e-4, rtol=0)
    torch.testing.assert_close(back.lip_box, found.lip_box, atol=2.5e-4, rtol=0)
    assert torch.equal(back.visible, found.visible)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"points": torch.zeros(4, 3, 2)}, "points is .*4, 3, 2.* which no keypoints is"),
        ({"visible": torch.zeros(4, 5)}, "visible is .*float32, which no keypoints is"),
        ({"lip_box": None}, "lacks lip_box"),
        ({"lip_box": torch.zeros(3, 4)}, "different lengths"),
        ({"points": torch.full((4, 5, 2), float("nan"))}, "not finite"),
        ({"more": torch.zeros(4)}, "holds 'more'; a part of keypoints is points, visible, lip_box"),
    ],
)
def test_keypoints_that_cannot_be_are_damage(change: dict[str, Any], said: str) -> None:
    good = drawn(size=64, frames=4).stored()
    tensors = {name: value for name, value in {**good, **change}.items() if value is not None}
    members = encode_sample(Sample("a", {}, keypoints=tensors))
    told: list[str] = []
    assert decode_sample("a", members, None, PARTS, lambda *each: told.append(" ".join(each))) is None
    assert len(told) == 1
    assert re.search(said, told[0]), told


def test_all_that_prepare_keeps_of_a_face_comes_back_from_a_shard() -> None:
    points = np.random.default_rng(0).uniform(0, 64, (4, 478, 3)).astype(np.float32)
    arrays = landmark_arrays(points, np.zeros((4, 52), np.float32), points[:, :, :2] / 64)
    landmarks = {name: torch.from_numpy(value) for name, value in arrays.items()}
    read = decode_sample("a", encode_sample(Sample("a", {}, landmarks=landmarks)), None, PARTS, pytest.fail)
    assert read is not None
    assert read.landmarks is not None
    assert read.landmarks.keys() == arrays.keys()


def test_landmarks_without_the_points_are_damage() -> None:
    members = encode_sample(Sample("a", {}, landmarks={"yaw": torch.zeros(3)}))
    told: list[str] = []
    assert decode_sample("a", members, None, PARTS, lambda *each: told.append(" ".join(each))) is None
    assert "lacks landmarks" in told[0]


def test_batches_hold_those_of_their_frames_and_of_the_reference(tmp_path: Path) -> None:
    clips = stored(tmp_path, list(with_keypoints([sample(0), sample(1), sample(2)])), keypoints=True)
    plain = StoredClips([ShardSet(tmp_path / "s")])
    sampler, without = (ClipSampler(each, 4, 1, 1, seed=3) for each in (clips, plain))
    for step in range(6):
        batch, other = (each.batch(step, BatchShape(4)) for each in (sampler, without))
        assert other.keypoints is None
        assert other.reference_keypoints is None
        for name in ("latents", "reference", "motion", "has_motion", "audio"):
            assert torch.equal(getattr(batch, name), getattr(other, name))
        assert batch.keypoints is not None
        assert batch.reference_keypoints is not None
        assert {name: tuple(each.shape) for name, each in batch.keypoints.tensors().items()} == {
            "points": (4, 4, 5, 2), "visible": (4, 4, 5), "lip_box": (4, 4, 4)
        }  # fmt: skip
        assert batch.reference_keypoints.points.shape == (4, 5, 2)
        own = torch.tensor([int(key[-1]) / 64 for key in batch.keys])
        torch.testing.assert_close(batch.keypoints.points[..., 2, 0], batch.latents[..., 0, 0, 0] + own[:, None])
        torch.testing.assert_close(batch.reference_keypoints.points[:, 2, 0], batch.reference[:, 0, 0, 0] + own)


def test_landmarks_stand_in_where_keypoints_are_not_stored(tmp_path: Path) -> None:
    mixed = [sample(0), *with_keypoints([sample(1)])]
    clips = stored(tmp_path, mixed, keypoints=True)
    assert clips.facts.has_keypoints.all()
    for clip, each in zip(clips, mixed, strict=True):
        assert each.landmarks is not None
        equal(clip.keypoints, keypoints_of_landmarks(each.landmarks["landmarks"].float().numpy()))


def test_they_come_beside_states_made_of_sound_and_in_an_order_by_shard(tmp_path: Path) -> None:
    sound = np.sin(np.arange(FRAMES * 640, dtype=np.float32))
    samples = [replace(sample(number), audio=sound, audio_states=None) for number in range(3)]
    encoder = LogMelEncoder(8)
    clips = stored(tmp_path, list(with_keypoints(samples)), keypoints=True, by_shard=True, encoder=encoder)
    for clip, each in zip(clips, samples, strict=True):
        assert each.landmarks is not None
        equal(clip.keypoints, keypoints_of_landmarks(each.landmarks["landmarks"].float().numpy()))
        assert torch.equal(clip.states, states_of(encoder, decode_wav(encode_wav(sound, 16000), 16000), FRAMES))
    batch = ClipSampler(clips, 4, 1, 1, seed=3).batch(0, BatchShape(3))
    own = torch.tensor([int(key[-1]) / 64 for key in batch.keys])
    assert batch.keypoints is not None
    torch.testing.assert_close(batch.keypoints.points[..., 2, 0], batch.latents[..., 0, 0, 0] + own[:, None])


def test_what_is_not_asked_for_is_not_read(tmp_path: Path) -> None:
    (whole,) = with_keypoints([sample(0)])
    asked = stored(tmp_path, [whole], keypoints=True)
    (file,) = (tmp_path / "s").glob("*.tar")
    data = bytearray(file.read_bytes())
    offset, size = ShardSet(tmp_path / "s").table.members_of(0)["keypoints.safetensors"]
    data[offset + size - 1] ^= 1
    file.write_bytes(data)
    plain = StoredClips([ShardSet(tmp_path / "s")])
    assert plain[0].keypoints is None
    assert not plain.facts.has_keypoints.any()
    with pytest.raises(DamagedClip, match=r"keypoints.safetensors: changed since it was written"):
        asked[0]


def test_clips_of_which_some_have_no_keypoints_are_refused(tmp_path: Path) -> None:
    clips = stored(tmp_path, [sample(0), replace(sample(1), landmarks=None)], keypoints=True)
    with pytest.raises(ValueError, match=r"1 of 2 clips have no keypoints, clip-1 among them; leave them out, or prep"):
        ClipSampler(clips, 4, 0, 1)


def test_shards_with_a_table_of_the_version_before_are_read_by_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_shards([sample(0), sample(1)], tmp_path / "s", 2)
    file = tmp_path / "s" / table_name(read_index(tmp_path / "s"))
    with safe_open(str(file), framework="np") as opened:
        told = dict(opened.metadata())
    columns = load_file(file)
    before = MEMBERS[: MEMBERS.index("keypoints.safetensors")]
    columns["members"] = np.ascontiguousarray(columns["members"][:, : len(before)])
    del columns["sums"]
    save_file(columns, str(file), metadata={**told, "members": json.dumps(before)})
    found = StoredClips([ShardSet(tmp_path / "s")], keypoints=True)
    assert caplog.text == ""
    assert [each.key for each in found] == ["clip-0", "clip-1"]
    assert found[1].keypoints is not None


def test_batches_travel_between_processes_and_devices_with_them(tmp_path: Path) -> None:
    clips = stored(tmp_path, [sample(0), sample(1)], keypoints=True)
    batch = ClipSampler(clips, 4, 0, 1).batch(0, BatchShape(2))
    for other in (unpacked(packed(batch)), batch.to(torch.device("cpu"))):
        equal(other.keypoints, batch.keypoints)
        equal(other.reference_keypoints, batch.reference_keypoints)
    assert isinstance(packed(batch)["keypoints"]["points"], np.ndarray)
    moved = batch.to(torch.device("meta"))
    assert moved.keypoints is not None
    assert moved.keypoints.lip_box.is_meta
    without: Batch = replace(batch, keypoints=None, reference_keypoints=None)
    assert unpacked(packed(without)).keypoints is None


def test_the_hash_of_clips_is_of_their_keypoints_too() -> None:
    clip = LatentClip("a", "A", torch.zeros(4, 1, 2, 2), torch.zeros(4, 1, 2))
    found = drawn(size=64, frames=4)
    other = replace(found, visible=~found.visible)
    hashes = [hash_clips([replace(clip, keypoints=each)]) for each in (None, found, other)]
    assert len(set(hashes)) == 3
    # Recorded before clips could have keypoints.
    assert hashes[0] == "8c0841e09040bc80e1195ea1ebf96b565484be51d4db5c21f2d29ff53c8a53f3"


def test_held_out_clips_have_them_where_asked(tmp_path: Path) -> None:
    clip = draw.make_clip(0, 0, size=64, frames=4, split="test")
    given = Sample(clip.key, clip.meta, clip.frames, clip.audio)
    write_shards(with_keypoints([given]), tmp_path / "s", 2)
    shards = ShardSet(tmp_path / "s")
    found = HeldOutClips(shards, keypoints=True)[0].keypoints
    expected = keypoints_of_truth(clip.meta)
    assert expected is not None
    equal(found, read_stored(expected.stored()))
    assert HeldOutClips(shards)[0].keypoints is None


def test_shards_that_carry_only_a_truth_still_tell_of_held_out_clips(tmp_path: Path) -> None:
    clip = draw.make_clip(0, 0, size=64, frames=4, split="test")
    write_shards([Sample(clip.key, clip.meta, clip.frames, clip.audio)], tmp_path / "s", 2)
    assert read_index(tmp_path / "s").parts["keypoints"] == 0
    equal(HeldOutClips(ShardSet(tmp_path / "s"), keypoints=True)[0].keypoints, keypoints_of_truth(clip.meta))


def test_a_damaged_truth_of_a_held_out_clip_names_the_shards(tmp_path: Path) -> None:
    clip = draw.make_clip(0, 0, size=64, frames=4, split="test")
    meta = {**clip.meta, "truth": {**clip.meta["truth"], "person": {}}}
    write_shards([Sample(clip.key, meta, clip.frames, clip.audio)], tmp_path / "s", 2)
    held = HeldOutClips(ShardSet(tmp_path / "s"), keypoints=True)
    with pytest.raises(DamagedClip, match=r"/s: test-s0-000000: truth: .*; remove this held-out clip, or get it again"):
        held[0]


def test_a_stored_part_is_a_plain_safetensors_file() -> None:
    members = encode_sample(Sample("a", {}, keypoints=drawn(size=64, frames=4).stored()))
    tensors = safetensors.torch.load(members["keypoints.safetensors"])
    assert {name: (str(each.dtype), tuple(each.shape)) for name, each in tensors.items()} == {
        "points": ("torch.float16", (4, 5, 2)),
        "visible": ("torch.uint8", (4, 5)),
        "lip_box": ("torch.float16", (4, 4)),
    }
