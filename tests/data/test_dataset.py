from dataclasses import replace

import pytest
import torch

from fada.data.clips.face import FaceClues
from fada.data.sampling.dataset import BatchShape, ClipSampler, LatentClip, audio_windows
from fada.data.sampling.seeds import sample_generator


def clip(key: str, frames: int, quality: str = "A") -> LatentClip:
    """A clip whose latents and states hold the frame's number."""
    numbers = torch.arange(frames, dtype=torch.float32)
    return LatentClip(key, quality, numbers.reshape(-1, 1, 1, 1).expand(-1, 4, 2, 2), numbers.reshape(-1, 1, 1))


def sampler(**changes: object) -> ClipSampler:
    return ClipSampler(
        [clip("a", 20), clip("b", 30, "B")], **{"frames": 4, "motion_frames": 2, "context": 1, **changes}
    )


def test_motion_frames_are_the_frames_before() -> None:
    batch = sampler().batch(3, BatchShape(64))
    first, before = batch.latents[:, 0, 0, 0, 0], batch.motion[:, :, 0, 0, 0]
    has = batch.has_motion
    assert has.any()
    assert torch.equal(before[has], torch.stack([first[has] - 2, first[has] - 1], dim=1))


def test_a_clips_start_has_no_motion_frames() -> None:
    batch = sampler().batch(3, BatchShape(256))
    assert torch.equal(batch.has_motion, batch.latents[:, 0, 0, 0, 0] >= 2)
    assert not batch.motion[~batch.has_motion].any()


def test_audio_windows_surround_their_frames() -> None:
    batch = sampler().batch(0, BatchShape(16))
    inner = (batch.latents[:, 0, 0, 0, 0] >= 1) & (batch.latents[:, -1, 0, 0, 0] <= 18)
    centre = batch.latents[inner][:, :, 0, 0, 0]
    expected = torch.stack([centre - 1, centre, centre + 1], dim=-1)
    assert torch.equal(batch.audio[inner][..., 0, 0], expected)


def test_audio_windows_repeat_the_ends() -> None:
    windows = audio_windows(torch.arange(5.0).reshape(5, 1, 1), start=3, frames=4, context=1)
    assert windows[..., 0, 0].tolist() == [[2, 3, 4], [3, 4, 4], [4, 4, 4], [4, 4, 4]]


def test_the_same_step_draws_the_same_batch_on_any_number_of_processes() -> None:
    whole = sampler().batch(7, BatchShape(8))
    halves = [sampler().batch(7, BatchShape(4, rank, 2)) for rank in (0, 1)]
    assert whole.keys == halves[0].keys + halves[1].keys
    assert torch.equal(whole.latents, torch.cat([half.latents for half in halves]))


@pytest.mark.parametrize("world", [1, 2, 4])
def test_an_epoch_has_every_clip_once_over_all_processes(world: int) -> None:
    clips = [clip(str(number), 5) for number in range(24)]
    drawn = [
        key
        for rank in range(world)
        for step in range(3)
        for micro in range(2)
        for key in ClipSampler(clips, 4, 0, 1).batch(step, BatchShape(4 // world, rank, world, 2), micro).keys
    ]
    assert sorted(drawn, key=int) == [each.key for each in clips]


def test_epochs_differ_in_their_order() -> None:
    made = ClipSampler([clip(str(number), 5) for number in range(24)], 4, 0, 1)
    first, second = (made.batch(step, BatchShape(24)).keys for step in (0, 1))
    assert first != second
    assert sorted(first) == sorted(second)


def test_other_steps_and_seeds_draw_other_batches() -> None:
    first = sampler().batch(0, BatchShape(8)).latents
    assert not torch.equal(first, sampler().batch(1, BatchShape(8)).latents)
    assert not torch.equal(first, sampler(seed=1).batch(0, BatchShape(8)).latents)


def test_only_clips_of_the_wanted_quality_are_drawn() -> None:
    assert set(sampler(quality="B").batch(0, BatchShape(16)).keys) == {"b"}


def test_no_clip_of_a_quality_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="no clip of quality 'B' has 4 frames"):
        ClipSampler([clip("a", 20)], frames=4, motion_frames=2, context=1, quality="B")


def test_generators_depend_on_all_their_arguments() -> None:
    draws = {
        float(torch.rand((), generator=sample_generator(*arguments)))
        for arguments in [(0, 0, 0, "a"), (1, 0, 0, "a"), (0, 1, 0, "a"), (0, 0, 1, "a"), (0, 0, 0, "b")]
    }
    assert len(draws) == 5


def face_of(number: float) -> FaceClues:
    return FaceClues(torch.full((512,), number), torch.full((4,), number), torch.full((4,), -number))


def test_a_sample_brings_the_face_of_its_clip() -> None:
    clips = [replace(clip(str(number), 8), face=face_of(number)) for number in range(3)]
    batch = ClipSampler(clips, 4, 0, 1).batch(0, BatchShape(6)).to(torch.device("cpu"))
    assert batch.face is not None
    assert batch.face.embedding.shape == (6, 512)
    numbers = [float(key) for key in batch.keys]
    assert batch.face.embedding[:, 0].tolist() == batch.face.face_box[:, 3].tolist() == numbers
    assert batch.face.lip_box[:, 0].tolist() == [-number for number in numbers]


def test_without_faces_a_batch_has_none() -> None:
    assert sampler().batch(0, BatchShape(2)).face is None


def test_faces_of_some_clips_only_are_refused() -> None:
    clips = [replace(clip("a", 8), face=face_of(1)), clip("b", 8), clip("short", 2)]
    with pytest.raises(ValueError, match=r"1 of 2 clips have no face \(embedding and landmarks\), b among them; shard"):
        ClipSampler(clips, 4, 0, 1)
