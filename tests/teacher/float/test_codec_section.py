"""What a recipe may say of the motion autoencoder."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fada.teacher.float import codec_settings
from fada.teacher.float.codec_section import Codec, CodecTraining


def test_defaults_are_of_the_released_size() -> None:
    section = Codec()
    assert (section.style_dim, section.motion_dim, section.channels) == (512, 20, ())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"style_dim": 8, "motion_dim": 9}, "motion_dim 9 must not be above style_dim 8"),
        ({"train": {"lpips_heads": "alex.pth"}}, "LPIPS needs both files: give both, or neither"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Codec.model_validate(values)


def test_boxes_are_needed_by_any_local_loss_alone() -> None:
    plain = {"component": 0.0, "lip_squared": 0.0, "motion": 0.0}
    assert not CodecTraining.model_validate(plain).needs_boxes
    assert not CodecTraining.model_validate({**plain, "adversarial": 1.0}).needs_boxes
    local = ("eye_adversarial", "lip_adversarial", "eye_statistics", "lip_statistics")
    for name in ("component", "lip_squared", "motion", *local):
        assert CodecTraining.model_validate({**plain, name: 0.1}).needs_boxes


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 32, "channels": [8, 8]}, "channels has 2 entries, pictures of 32 have 4 levels"),
        ({"shift": [1.0]}, "shift has 1 numbers for 20 directions"),
        ({"reach": [1.0], "finds_face": True}, "reach is for 20 directions, with finds_face, got 1"),
        ({"reach": [1.0] * 20}, "reach is for 20 directions, with finds_face, got 20"),
        ({"reach": [0.0] * 20, "finds_face": True}, "reach.0"),
        ({"style_dim": 4}, "motion_dim 20 must not be above style_dim 4"),
        ({"size": 48}, "Input should be 16, 32, 64, 128, 256, 512 or 1024"),
    ],
)
def test_settings_of_a_folder_that_contradict_each_other_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        codec_settings.MotionAutoencoder.model_validate(values)
