"""Keypoints of clips as the pictures that V-Express is shown."""

from __future__ import annotations

import torch

from fada.data.clips.keypoints import Keypoints
from fada.teacher.v_express.keypoints import draw_keypoints, keypoint_pictures

SHARES = torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.5, 0.5], [0.4, 0.75], [0.6, 0.75]])


def keypoints(visible: list[bool]) -> Keypoints:
    return Keypoints(SHARES[None, None], torch.tensor(visible)[None, None], torch.zeros(1, 1, 4))


def test_shares_become_pixels_and_the_mouth_is_not_drawn() -> None:
    found = keypoint_pictures(keypoints([True] * 5), 64, 128)
    assert found.shape == (1, 1, 3, 64, 128)
    pixels = SHARES[:3] * torch.tensor([128.0, 64.0])
    assert torch.equal(found[0, 0], draw_keypoints(pixels, 64, 128))
    assert found[0, 0, :, 16, 32].tolist() == [1.0, 0.0, 0.0]
    assert found[0, 0, :, 16, 96].tolist() == [0.0, 1.0, 0.0]
    assert found[0, 0, :, 32, 64].tolist() == [0.0, 0.0, 1.0]
    assert not found[0, 0, :, 44:].any()


def test_what_is_not_visible_is_not_drawn_nor_a_stick_to_it() -> None:
    found = keypoint_pictures(keypoints([False, True, True, False, False]), 64, 64)[0, 0]
    whole = keypoint_pictures(keypoints([True] * 5), 64, 64)[0, 0]
    assert not found[0].any()
    assert torch.equal(found[1:, :, 32:], whole[1:, :, 32:])
    assert not keypoint_pictures(keypoints([True, True, False, True, True]), 64, 64)[0, 0, 2].any()
    nothing = keypoint_pictures(keypoints([False, False, False, True, True]), 64, 64)
    assert not nothing.any()
