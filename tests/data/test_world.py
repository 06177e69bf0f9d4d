"""The drawn world: determinism, truth, how the mouth follows the sound, flaws, and worlds in folders."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fada.data.audio.features import LogMelEncoder, window_states
from fada.data.clips.clip import Clip, read_clip
from fada.data.world import make_clip, make_world
from fada.data.world.draw import MARGIN, plan_clip
from fada.data.world.flaws import KINDS, Flaw, flaw_frames
from fada.data.world.speech import synthesise


def test_equal_arguments_give_equal_clips() -> None:
    first, second = (make_clip(3, 5, size=48, frames=6, quality="B") for _ in range(2))
    np.testing.assert_array_equal(first.frames, second.frames)
    np.testing.assert_array_equal(first.audio, second.audio)
    assert first.meta == second.meta


def test_clip_has_a_frame_of_sound_per_frame() -> None:
    clip = make_clip(0, 0, size=64, frames=7)
    assert clip.frames.shape == (7, 64, 64, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.audio.shape == (7 * 640,)
    assert clip.audio.dtype == np.float32
    assert np.abs(clip.audio).max() <= 1.0


def test_meta_survives_json() -> None:
    meta = make_clip(0, 0, size=64, frames=4, quality="B").meta
    assert json.loads(json.dumps(meta))["truth"]["aperture"] == meta["truth"]["aperture"]


@pytest.mark.parametrize("other", [{"seed": 1}, {"index": 1}, {"split": "test"}])
def test_other_seeds_indices_and_splits_give_other_people_and_sounds(other: dict) -> None:
    first = make_clip(**{"seed": 0, "index": 0, "size": 32, "frames": 10})
    second = make_clip(**({"seed": 0, "index": 0, "size": 32, "frames": 10} | other))
    assert first.meta["identity"] != second.meta["identity"]
    assert first.meta["truth"]["person"]["skin"] != second.meta["truth"]["person"]["skin"]
    assert not np.array_equal(first.audio, second.audio)


def test_no_person_of_train_is_in_test() -> None:
    people = [[plan_clip(0, index, 1, split)[0] for index in range(40)] for split in ("train", "test")]
    looks = [{(person.skin, person.head, person.voice) for person in split} for split in people]
    assert len(looks[0]) == len(looks[1]) == 40
    assert not looks[0] & looks[1]


def test_people_differ_visibly() -> None:
    pictures = [make_clip(0, index, size=32, frames=1).frames[0].astype(float) for index in range(8)]
    distances = [np.abs(a - b).mean() for number, a in enumerate(pictures) for b in pictures[:number]]
    assert min(distances) > 10.0


def test_sizes_show_the_same_picture() -> None:
    small, large = (make_clip(0, 2, size=size, frames=3).frames.astype(float) for size in (64, 128))
    halved = large.reshape(3, 64, 2, 64, 2, 3).mean((2, 4))
    assert np.abs(halved - small).mean() < 3.0


def test_qualities_show_the_same_person_saying_the_same() -> None:
    clean, flawed = (make_clip(0, 4, size=32, frames=20, quality=quality) for quality in ("A", "B"))
    assert clean.meta["truth"]["person"] == flawed.meta["truth"]["person"]
    assert clean.meta["flaws"] == []
    assert 1 <= len(flawed.meta["flaws"]) <= 2


def test_silence_goes_with_a_closed_mouth_and_sound_with_an_open_one() -> None:
    clips = [make_clip(0, index, size=32, frames=60) for index in range(6)]
    aperture = np.concatenate([clip.meta["truth"]["aperture"] for clip in clips])
    loudness = np.concatenate([np.sqrt(np.square(clip.audio).reshape(60, 640).mean(1)) for clip in clips])
    assert aperture[loudness < 0.004].max() < 0.1
    assert aperture[loudness > 0.06].mean() > 0.35
    assert aperture.max() > 0.8


def test_head_sways_by_at_most_two_hundredths() -> None:
    heads = np.concatenate([plan_clip(0, index, 50, "train")[2].head for index in range(20)])
    assert np.abs(heads).max() <= 0.02
    assert heads.std() > 0.002


def test_blinks_are_brief_and_come_every_few_seconds() -> None:
    blink = np.stack([plan_clip(0, index, 230, "train")[2].blink for index in range(20)])
    starts = ((blink[:, 1:] > 0.5) & (blink[:, :-1] <= 0.5)).sum()
    assert 2.0 < 20 * 10 / starts < 4.5
    assert (blink > 0.5).sum() / starts < 6


def sound_and_motion(split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-mel windows of two frames to each side (n, d), and aperture and width (n, 2)."""
    encoder, windows, motions = LogMelEncoder(), [], []
    for index in range(count):
        identity, speech, motion, _ = plan_clip(0, index, 50, split)
        audio = synthesise(speech, identity.voice, np.random.default_rng(index))
        frames = len(motion.aperture)
        states = window_states(encoder(torch.from_numpy(audio)[None], frames), radius=2)
        windows.append(states[0, MARGIN:-MARGIN].flatten(1).double().numpy())
        motions.append(np.stack([motion.aperture, motion.width], axis=1)[MARGIN:-MARGIN])
    return np.concatenate(windows), np.concatenate(motions)


def test_mouth_is_a_function_of_the_sound_within_two_frames() -> None:
    x, y = sound_and_motion("train", 80)
    held_x, held_y = sound_and_motion("test", 25)
    centre, middle = x.mean(0), y.mean(0)
    normal = (x - centre).T @ (x - centre) + 300.0 * np.eye(x.shape[1])
    weights = np.linalg.solve(normal, (x - centre).T @ (y - middle))
    predicted = (held_x - centre) @ weights + middle
    assert np.corrcoef(predicted[:, 0], held_y[:, 0])[0, 1] > 0.95
    assert np.corrcoef(predicted[:, 1], held_y[:, 1])[0, 1] > 0.93


def test_log_mel_states_are_about_standard() -> None:
    x, _ = sound_and_motion("train", 20)
    assert abs(x.mean()) < 0.2
    assert 0.8 < x.std() < 1.2


def flawed(kind: str, size: int = 48, frames: int = 20) -> tuple[Clip, Clip, float]:
    """A clip with the flaw, the clean one of the same index, and the flaw's magnitude."""
    for index in range(200):
        clip = make_clip(0, index, size=size, frames=frames, quality="B")
        if clip.meta["flaws"] == [kind]:
            return clip, make_clip(0, index, size=size, frames=frames), clip.meta["flaw_details"][0]["magnitude"]
    raise AssertionError(f"no clip has only the flaw {kind}")


def test_every_flaw_occurs() -> None:
    found = {flaw for index in range(60) for flaw in make_clip(0, index, size=32, frames=2, quality="B").meta["flaws"]}
    assert found == set(KINDS)


def test_shifted_audio_is_late_by_the_recorded_frames() -> None:
    clip, clean, magnitude = flawed("shifted_audio")
    late = int(magnitude)
    assert 3 <= abs(late) <= 8
    np.testing.assert_array_equal(clip.frames, clean.frames)
    if late > 0:
        np.testing.assert_array_equal(clip.audio[late * 640 :], clean.audio[: -late * 640])
    else:
        np.testing.assert_array_equal(clip.audio[: late * 640], clean.audio[-late * 640 :])
    truth, heard = np.array(clip.meta["truth"]["aperture"]), np.array(clip.meta["truth"]["heard_aperture"])
    assert np.array_equal(heard[late:], truth[:-late]) if late > 0 else np.array_equal(heard[:late], truth[-late:])


def test_frozen_mouth_stays_at_the_recorded_aperture_and_the_sound_goes_on() -> None:
    clip, clean, magnitude = flawed("frozen_mouth")
    assert set(clip.meta["truth"]["aperture"]) == {magnitude}
    np.testing.assert_array_equal(clip.audio, clean.audio)
    assert clip.meta["truth"]["heard_aperture"] == clean.meta["truth"]["aperture"]


def test_blur_removes_detail_and_noise_adds_it() -> None:
    def detail(clip: Clip) -> float:
        return float(np.abs(np.diff(clip.frames.astype(float), axis=2)).mean())

    blurred, sharp, _ = flawed("blur")
    assert detail(blurred) < 0.85 * detail(sharp)
    noisy, quiet, magnitude = flawed("noise")
    difference = noisy.frames.astype(float) - quiet.frames
    assert difference.std() == pytest.approx(magnitude, rel=0.15)


def test_changing_background_changes_the_corner_and_not_the_face() -> None:
    clip, clean, _ = flawed("changing_background")
    assert np.abs(clip.frames[:, :3, :3].astype(float) - clean.frames[:, :3, :3]).mean() > 5.0
    np.testing.assert_array_equal(clip.frames[:, 22:26, 22:26], clean.frames[:, 22:26, 22:26])
    assert clip.frames[:, 0, 0].std(0).max() > clean.frames[:, 0, 0].std(0).max()


def test_camera_jitter_moves_picture_and_truth_alike() -> None:
    clip, clean, _ = flawed("camera_jitter")
    moved = np.array(clip.meta["truth"]["mouth_centre"]) - np.array(clean.meta["truth"]["mouth_centre"])
    assert 0.1 < moved.std() < 1.5
    pixels = np.zeros((3, 40, 40, 3), np.uint8)
    pixels[:, 20, 20] = 255
    person = [Flaw("camera_jitter", 0.02)]
    shaken, camera = flaw_frames(pixels, person, np.random.default_rng(0))
    for frame, (x, y) in zip(shaken[..., 0].astype(float), camera, strict=True):
        mass = frame / frame.sum()
        assert (mass.sum(0) @ np.arange(40), mass.sum(1) @ np.arange(40)) == pytest.approx((20 + x, 20 + y), abs=0.05)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, "seed and index must be at least 0, got seed -1"),
        ({"size": 16}, "size must be at least 32 pixels"),
        ({"frames": 0}, "frames must be at least 1, got 0"),
        ({"quality": "C"}, "quality must be one of A, B, got 'C'"),
        ({"split": "val"}, "split must be one of train, test, got 'val'"),
    ],
)
def test_make_clip_refuses_what_it_cannot_draw(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_clip(**({"seed": 0, "index": 0, "size": 32, "frames": 2} | wrong))


def test_world_goes_on_where_it_stopped(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    first = make_world(tmp_path, 3, seed=1, size=32, frames=4, flawed_share=0.5)
    (tmp_path / "train-s1-000001.json").unlink()
    stamp = (tmp_path / "train-s1-000000.mp4").stat().st_mtime_ns
    again = make_world(
        tmp_path,
        3,
        seed=1,
        size=32,
        frames=4,
        flawed_share=0.5,
        test_clips=1,
        progress=lambda *step: steps.append(step),
    )
    assert (first.made, first.kept, again.made, again.kept) == (3, 0, 2, 2)
    assert steps == [(2, 4), (3, 4), (4, 4)]
    assert (tmp_path / "train-s1-000000.mp4").stat().st_mtime_ns == stamp


def test_world_on_disk_is_the_world_drawn(tmp_path: Path) -> None:
    make_world(tmp_path, 2, seed=1, size=32, frames=4, flawed_share=0.5)
    drawn = make_clip(1, 1, size=32, frames=4, quality="B")
    back = read_clip(tmp_path, drawn.key)
    np.testing.assert_array_equal(back.frames, drawn.frames)
    assert back.meta == json.loads(json.dumps(drawn.meta))


def test_world_has_the_asked_share_of_flawed_clips(tmp_path: Path) -> None:
    make_world(tmp_path, 10, size=32, frames=1, flawed_share=0.3, test_clips=2)
    metas = [json.loads(file.read_text())["meta"] for file in tmp_path.glob("*-s0-*.json")]
    assert sum(meta["quality"] == "B" for meta in metas) == 3
    assert {meta["quality"] for meta in metas if meta["split"] == "test"} == {"A"}


def test_workers_draw_the_same_world(tmp_path: Path) -> None:
    for workers in (1, 2):
        make_world(tmp_path / str(workers), 2, size=32, frames=2, workers=workers)
    for file in sorted((tmp_path / "1").iterdir()):
        assert file.read_bytes() == (tmp_path / "2" / file.name).read_bytes()


def test_a_folder_of_another_world_is_refused(tmp_path: Path) -> None:
    make_world(tmp_path, 1, size=32, frames=1)
    with pytest.raises(ValueError, match="holds a drawn world of other settings"):
        make_world(tmp_path, 1, size=40, frames=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"clips": 0}, "not both 0"),
        ({"flawed_share": 1.5}, "flawed_share must be between 0 and 1, got 1.5"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
    ],
)
def test_make_world_refuses_numbers_out_of_range(tmp_path: Path, wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_world(tmp_path, **({"clips": 1} | wrong))
