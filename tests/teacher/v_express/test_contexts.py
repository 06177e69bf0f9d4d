"""Overlapping contexts of a long video, and windows of its sound."""

from __future__ import annotations

import pytest
import torch

from fada.teacher.v_express.audio_projection import audio_windows
from fada.teacher.v_express.contexts import context_slices, mean_over_contexts


@pytest.mark.parametrize(
    ("frames", "expected"),
    [(10, [(0, 10)]), (24, [(0, 24)]), (44, [(0, 24), (20, 44)]), (64, [(0, 24), (20, 44), (40, 64)])],
)
def test_contexts_share_four_frames(frames: int, expected: list[tuple[int, int]]) -> None:
    assert [(each.start, each.stop) for each in context_slices(frames, 24, 4)] == expected


@pytest.mark.parametrize(("frames", "below", "above"), [(25, 24, 44), (43, 24, 44), (45, 44, 64)])
def test_a_length_that_contexts_do_not_fill_names_its_neighbours(frames: int, below: int, above: int) -> None:
    with pytest.raises(ValueError, match=f"{frames} frames are not filled .*: take {below} or {above}"):
        context_slices(frames, 24, 4)


def test_frames_of_several_contexts_are_averaged() -> None:
    values = {0: 3.0, 2: 6.0, 4: 9.0}

    def predict(frames: slice) -> torch.Tensor:
        return torch.full((1, frames.stop - frames.start, 2), values[frames.start], dtype=torch.bfloat16)

    mean = mean_over_contexts(predict, context_slices(8, 4, 2))
    assert mean.dtype == torch.float32
    assert mean[0, :, 0].tolist() == [3.0, 3.0, 4.5, 4.5, 7.5, 7.5, 9.0, 9.0]


def test_a_frame_hears_its_two_states_and_those_of_two_frames_on_either_side() -> None:
    states = torch.arange(1.0, 13.0)[None, :, None]
    windows = audio_windows(states, 6)
    assert windows.shape == (1, 6, 10, 1)
    assert windows[0, 0, :, 0].tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6]
    assert windows[0, 3, :, 0].tolist() == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert windows[0, 5, :, 0].tolist() == [7, 8, 9, 10, 11, 12, 0, 0, 0, 0]


def test_states_at_another_rate_are_stretched_to_two_per_frame() -> None:
    windows = audio_windows(torch.tensor([[[0.0], [1.0]]]), 2, pad=0)
    assert windows.flatten().tolist() == [0.0, 0.25, 0.75, 1.0]


def public_contexts(frames: int, size: int, overlap: int) -> list[list[int]]:
    """Frames of each context as the public pipeline lists them: its first step's scheme, without stride or loop.

    Source: `uniform` in pipelines/context.py of tencent-ailab/V-Express at step 0, context_stride 1, closed_loop False.
    """
    if frames <= size:
        return [list(range(frames))]
    starts = range(0, frames - overlap, size - overlap)
    listed = ([start + place for place in range(size)] for start in starts)
    return [[each if each < frames else frames - 2 - each % frames for each in context] for context in listed]


@pytest.mark.parametrize(
    ("frames", "size", "overlap"), [(24, 24, 4), (44, 24, 4), (124, 24, 4), (6, 4, 3), (9, 3, 0), (10, 6, 5)]
)
def test_contexts_are_those_of_the_public_pipeline(frames: int, size: int, overlap: int) -> None:
    ours = [list(range(each.start, each.stop)) for each in context_slices(frames, size, overlap)]
    assert ours == public_contexts(frames, size, overlap)


def test_a_frame_that_three_contexts_see_is_the_mean_of_three() -> None:
    # Contexts 0-3, 1-4, 2-5 answer 1, 10 and 100 times the frame's place in them plus one.
    def predict(frames: slice) -> torch.Tensor:
        return (torch.arange(4.0) + 1).reshape(1, 4, 1) * 10.0**frames.start

    mean = mean_over_contexts(predict, context_slices(6, 4, 3))
    assert mean[0, :, 0].tolist() == [
        1.0,
        (2 + 10) / 2,
        (3 + 20 + 100) / 3,
        (4 + 30 + 200) / 3,
        (40 + 300) / 2,
        400.0,
    ]
