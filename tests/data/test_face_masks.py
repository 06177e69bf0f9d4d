"""Masks and boxes against what Hallo's public code makes of the same landmarks (face_masks.json)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from record_face_masks import CASES, made_up_landmarks

from fada.data.clips.face import face_boxes
from fada.data.clips.face_masks import face_region, region_masks

RECORDED = json.loads((Path(__file__).parent / "face_masks.json").read_text())


def boxes(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The recorded boxes as shares, (1, 4) each."""
    face, lips = (torch.tensor([RECORDED[name][box]]) / RECORDED[name]["pixels"] for box in ("face_box", "lip_box"))
    return face, lips


@pytest.mark.parametrize("name", CASES)
def test_boxes_are_the_public_codes_within_its_rounding_to_pixels(name: str) -> None:
    case: dict[str, Any] = CASES[name]
    ratios = (1.2, 2.0) if case["frames"] == 1 else (1.0, 1.0)
    ours = face_boxes(made_up_landmarks(case["frames"], case["place"]), *ratios)
    for box, recorded in zip(ours, boxes(name), strict=True):
        torch.testing.assert_close(box, recorded[0], rtol=0, atol=1.5 / case["pixels"])


@pytest.mark.parametrize("name", CASES)
def test_masks_are_the_public_codes_within_two_steps_of_8_bits(name: str) -> None:
    levels = RECORDED[name]["levels"]
    ours = region_masks(*boxes(name), RECORDED[name]["pixels"] // 8, len(levels))
    for level, masks in zip(ours, levels, strict=True):
        step = level.shape[-1] // 8
        recorded = np.stack([np.frombuffer(bytes.fromhex(mask), np.uint8).reshape(8, 8) for mask in masks])
        sampled = level[0, :, step // 2 :: step, step // 2 :: step]
        torch.testing.assert_close(sampled, torch.from_numpy(recorded / 255).float(), rtol=0, atol=2 / 255)


def test_each_level_halves_the_side_rounded_up() -> None:
    masks = region_masks(*boxes("trained at 512"), 20, 4)
    assert [tuple(mask.shape) for mask in masks] == [(1, 3, side, side) for side in (20, 10, 5, 3)]


def test_clips_of_a_batch_do_not_meet() -> None:
    pairs = [boxes(name) for name in CASES]
    together = region_masks(torch.cat([face for face, _ in pairs]), torch.cat([lips for _, lips in pairs]), 32, 2)
    for row, (face, lips) in enumerate(pairs):
        for whole, alone in zip(together, region_masks(face, lips, 32, 2), strict=True):
            torch.testing.assert_close(whole[row], alone[0])


def test_a_box_that_fills_the_picture_counts_as_background_as_in_the_public_code() -> None:
    # Stretching a mask without contrast gives zeros.
    background, face, _ = region_masks(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), boxes("trained at 512")[1], 64, 1)[0][0]
    assert (background == 1).all()
    assert (face == 0).all()


def test_autocast_does_not_touch_the_masks() -> None:
    face, lips = boxes("generated at 512")
    with torch.autocast("cpu", torch.bfloat16):
        cast = region_masks(face, lips, 64, 2)
    for one, other in zip(cast, region_masks(face, lips, 64, 2), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_the_region_is_the_box_in_whole_pixels() -> None:
    region = face_region(torch.tensor([[0.26, 0.5, 0.74, 1.0], [0.0, 0.0, 0.1, 0.1]]), 8)
    expected = torch.zeros(2, 3, 8, 8)
    expected[0, :, 4:8, 2:6] = 1
    expected[1, :, 0:1, 0:1] = 1
    assert torch.equal(region, expected)
