"""Keypoints of a driving video on another face, by hand numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fada.teacher.v_express.retargeting import retarget, retarget_naively, stretch_keypoints

PORTRAIT = torch.tensor([[20.0, 30.0], [40.0, 30.0], [30.0, 45.0]])
"""Eyes 20 apart, the nose 15 below the line between them."""
FRONT = torch.tensor([[10.0, 10.0], [20.0, 10.0], [15.0, 15.0]])
"""Eyes 10 apart, the nose 5 below."""


def test_a_still_portrait_repeats_its_own_points() -> None:
    assert torch.equal(retarget(PORTRAIT, None, "still", 3), torch.stack([PORTRAIT] * 3))


def test_unchanged_points_are_those_of_the_driving_video() -> None:
    driving = torch.stack([FRONT, FRONT + 1])
    assert torch.equal(retarget(PORTRAIT, driving, "unchanged", 2), driving)


def test_naive_retargeting_takes_the_faces_size_and_begins_at_its_nose() -> None:
    moved = FRONT + torch.tensor([2.0, -1.0])
    found = retarget(PORTRAIT, torch.stack([FRONT, moved]), "naive", 2)
    # x by 20 / 10 and y by 15 / 5; frame 0 is then the portrait, frame 1 moves by (2, -1) times that.
    expected = torch.stack([PORTRAIT, PORTRAIT + torch.tensor([4.0, -3.0])])
    torch.testing.assert_close(found, expected)


def test_the_size_is_taken_from_the_frame_that_looks_aside_as_the_portrait_does() -> None:
    turned = torch.tensor([[10.0, 10.0], [15.0, 10.0], [11.0, 13.0]])
    later = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.2, 5.0]])
    found = retarget_naively(PORTRAIT, torch.stack([turned, FRONT, later]))
    # Of the front frame: x by 20 / 10, y by 15 / 5; the nose of frame 0, (11, 13), comes to (30, 45).
    scale, shift = torch.tensor([2.0, 3.0]), torch.tensor([30.0 - 22.0, 45.0 - 39.0])
    torch.testing.assert_close(found, torch.stack([turned, FRONT, later]) * scale + shift)


def test_of_equally_turned_frames_the_first_decides() -> None:
    found = retarget_naively(PORTRAIT, torch.stack([FRONT, 2 * FRONT]))
    torch.testing.assert_close(found[0], PORTRAIT)
    torch.testing.assert_close(found[1, 1] - found[1, 0], torch.tensor([40.0, 0.0]))


def test_a_nose_beside_the_eyes_is_as_high_as_it_is_far_from_the_nearer_eye() -> None:
    driving = torch.tensor([[0.0, 0.0], [10.0, 0.0], [13.0, 4.0]])
    # Width 10 and height hypot(3, 4) = 5, of the portrait 20 and 15; its nose comes to (30, 45).
    expected = driving * torch.tensor([2.0, 3.0]) + torch.tensor([30.0 - 26.0, 45.0 - 12.0])
    torch.testing.assert_close(retarget_naively(PORTRAIT, driving[None])[0], expected)


def test_the_same_face_stays_where_it_is() -> None:
    driving = torch.stack([PORTRAIT, PORTRAIT + 3, PORTRAIT - 1])
    torch.testing.assert_close(retarget(PORTRAIT, driving, "naive", 3), driving)


def test_shares_of_the_picture_give_what_pixels_do() -> None:
    driving = torch.stack([FRONT, FRONT + torch.tensor([2.0, -1.0])])
    pixels = retarget_naively(PORTRAIT, driving)
    torch.testing.assert_close(retarget_naively(PORTRAIT / 64, driving / 64) * 64, pixels, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("frames", "expected"), [(2, [0.0, 4.0]), (3, [0.0, 4.0, 8.0]), (6, [0.0, 1.0, 3.0, 5.0, 7.0, 8.0])]
)
def test_longer_videos_are_cut_and_shorter_ones_stretched(frames: int, expected: list[float]) -> None:
    points = torch.tensor([0.0, 4.0, 8.0]).reshape(3, 1, 1).expand(3, 3, 2)
    found = stretch_keypoints(points, frames)
    assert found.shape == (frames, 3, 2)
    assert found[:, 1, 0].tolist() == expected


@pytest.mark.parametrize(
    ("way", "driving", "said"),
    [
        ("offset", FRONT[None], "retargeting: no way 'offset'; choose from still, unchanged, naive"),
        ("naive", None, "retargeting: naive needs the keypoints of a driving video; give them, or take still"),
        ("unchanged", FRONT[None][:0], "retargeting: unchanged needs the keypoints of a driving video"),
    ],
)
def test_what_cannot_be_done_is_said(way: str, driving: Tensor | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        retarget(PORTRAIT, driving, way, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("portrait", "driving", "whose"),
    [
        (torch.tensor([[0.0, 0.0], [10.0, 0.0], [5.0, 0.0]]), FRONT, "the portrait's"),
        (PORTRAIT, torch.tensor([[5.0, 5.0], [5.0, 5.0], [5.0, 9.0]]), "the driving video's"),
    ],
)
def test_a_face_without_size_is_refused(portrait: Tensor, driving: Tensor, whose: str) -> None:
    with pytest.raises(
        ValueError, match=rf"{whose} eyes and nose lie on a line or on each other \(\[\[.*from the fron"
    ):
        retarget_naively(portrait, driving[None])
