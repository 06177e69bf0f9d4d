"""Pairs of frames for the motion autoencoder: which frames are held, and which a step draws."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from fada.data.clips.keypoints import make_keypoints
from fada.data.shards.format import Sample
from fada.teacher.float.frame_pairs import FramePairs

SIZE = 16
FRAME = 3 * SIZE * SIZE


def clip(number: int, frames: int = 12, size: int = SIZE, keypoints: bool = True) -> Sample:
    """Frame f of clip n is everywhere of brightness 20 n + f; its lips begin at f / 100."""
    values = 20 * number + np.arange(frames, dtype=np.uint8)
    pictures = np.broadcast_to(values[:, None, None, None], (frames, size, size, 3)).copy()
    points = np.full((frames, 5, 2), 0.5)
    points[:, 1, 0] = 0.6
    box = np.stack([np.arange(frames) / 100, *np.full((3, frames), 0.9)], axis=1)
    told = make_keypoints(points, box).stored() if keypoints else None
    return Sample(f"clip-{number}", {}, pictures, keypoints=told)


def pairs(clips: int = 4, limit: int = 10**9, frames: int = 12, has_boxes: bool = False) -> FramePairs:
    return FramePairs((clip(number, frames) for number in range(clips)), SIZE, limit, has_boxes=has_boxes)


def brightness(pixels: torch.Tensor) -> list[int]:
    return ((pixels[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_a_pair_is_of_one_clip_and_of_two_moments() -> None:
    batch = pairs().batch(1, 0, range(50))
    values = brightness(batch.pixels)
    for first, second, key in zip(values[:50], values[50:], batch.keys, strict=True):
        assert first != second
        assert f"clip-{first // 20}" == f"clip-{second // 20}" == key
    assert len(set(batch.keys)) == 4
    assert batch.eyes is None


def test_pairs_follow_from_seed_step_and_sample_alone() -> None:
    held = pairs()
    whole = brightness(held.batch(1, 7, range(4)).pixels)
    parts = [brightness(held.batch(1, 7, [number]).pixels) for number in range(4)]
    assert whole == [part[0] for part in parts] + [part[1] for part in parts]
    assert whole != brightness(held.batch(1, 8, range(4)).pixels)
    assert whole != brightness(held.batch(2, 7, range(4)).pixels)


def test_boxes_go_with_their_frames() -> None:
    batch = pairs(has_boxes=True).batch(1, 0, range(8))
    assert batch.mouth is not None
    assert batch.eyes is not None
    frame = torch.tensor(brightness(batch.pixels)) % 20
    left, right = frame / 100, torch.full((16,), 0.9)
    torch.testing.assert_close(batch.mouth[:, 0], left - 0.35 * (right - left), atol=1e-3, rtol=0)
    assert batch.eyes.shape == (16, 4)


@pytest.mark.parametrize(("limit", "count", "clips"), [(48, 48, 4), (47, 24, 4), (12, 12, 4), (11, 6, 2), (5, 3, 1)])
def test_no_more_is_held_than_fits_first_fewer_frames_of_each_clip_then_fewer_clips(
    limit: int, count: int, clips: int
) -> None:
    held = pairs(limit=limit * FRAME)
    assert held.count <= max(limit, 4)
    assert (held.count, held.clips) == (count, clips)


def test_clips_that_are_left_out_are_spread_over_all_of_them() -> None:
    keys = set(pairs(clips=12, limit=12 * FRAME).batch(0, 0, range(100)).keys)
    assert keys == {"clip-0", "clip-4", "clip-8"}


def test_boxes_go_with_their_frames_where_some_are_left_out() -> None:
    batch = pairs(limit=24 * FRAME, has_boxes=True).batch(1, 0, range(40))
    assert batch.mouth is not None
    frame = torch.tensor(brightness(batch.pixels)) % 20
    torch.testing.assert_close(batch.mouth[:, 2], 0.9 + 0.35 * (0.9 - frame / 100), atol=1e-3, rtol=0)


def test_never_much_more_is_held_while_clips_are_read() -> None:
    seen: list[int] = []

    def read() -> Iterator[Sample]:
        for number in range(12):
            yield clip(number)
            seen.append(held.count)

    held = FramePairs.__new__(FramePairs)
    held.__init__(read(), SIZE, 30 * FRAME, has_boxes=False)  # type: ignore[misc]
    assert max(seen) <= 30


def test_what_is_held_is_spread_over_clips() -> None:
    found = [each[:, 0, 0, 0].tolist() for each in pairs().by_clip(8)]
    assert found == [[20 * clip, 20 * clip + 6] for clip in range(4)]
    # Of fewer than two of each, some clips.
    assert [each[0] // 20 for each in ([*frames[:, 0, 0, 0]] for frames in pairs().by_clip(4))] == [0, 2]


def test_clips_without_pairs_are_left_out_and_none_is_an_error() -> None:
    held = FramePairs([clip(0, frames=1), clip(1)], SIZE, 10**9, has_boxes=False)
    assert held.clips == 1
    with pytest.raises(ValueError, match="no clip has two frames"):
        FramePairs([clip(0, frames=1)], SIZE, 10**9, has_boxes=False)


def test_frames_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"clip-0: frames of 32x32 pixels, clip.size is 16; make the clips anew$"):
        FramePairs([clip(0, size=32)], SIZE, 10**9, has_boxes=False)


def test_boxes_that_nothing_tells_of_are_an_error_where_they_are_needed() -> None:
    bare = [clip(0, keypoints=False)]
    assert FramePairs(bare, SIZE, 10**9, has_boxes=False).count == 12
    with pytest.raises(ValueError, match="clip-0: nothing says where eyes and lips are; prepare the clips"):
        FramePairs(bare, SIZE, 10**9, has_boxes=True)
