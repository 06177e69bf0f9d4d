"""The encoder that reads motion in codecs trained here, and the codec that has one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fada.teacher.float.codec_losses import patches
from fada.teacher.float.motion_autoencoder import MotionAutoencoder
from fada.teacher.float.motion_encoder import USUAL, MotionEncoder


def encoder() -> MotionEncoder:
    torch.manual_seed(5)
    return MotionEncoder(4)


def codec() -> MotionAutoencoder:
    torch.manual_seed(3)
    made = MotionAutoencoder(
        size=32, style_dim=24, motion_dim=4, channels=(8, 8, 8, 6), edges="replicated", fills=True,
        finds_face=True, coordinates=True, scaling_factor=0.5, shift=[0.1, 0.2, 0.3, 0.4],
    )  # fmt: skip
    return made.eval().requires_grad_(False)


def frames(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def inputs(made: MotionEncoder, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """What each view is shown."""
    seen: dict[str, torch.Tensor] = {}
    for name in ("whole", "eyes", "lips"):
        getattr(made, name).register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given[0]}))
    made(pixels)
    return seen


@pytest.mark.parametrize(("size", "pooled"), [(32, 1), (128, 1), (256, 2)])
@torch.no_grad()
def test_eyes_and_lips_are_cut_out_where_they_are_found_of_a_picture_that_is_not_too_fine(
    size: int, pooled: int
) -> None:
    made, pixels = encoder(), torch.rand(2, 3, size, size) * 2 - 1
    finder = made.finder[-1]
    finder.weight.zero_()  # type: ignore[operator, union-attr]
    # A tenth of the picture to the right for the eyes, and down for the lips; biases count ten times.
    finder.bias.copy_(torch.tensor([1, 0, 1, 0, 0, 1, 0, 1]) / 10)  # type: ignore[operator, union-attr]
    seen = inputs(made, pixels)
    boxes = torch.tensor(USUAL) + torch.tensor([[0.1, 0, 0.1, 0], [0, 0.1, 0, 0.1]])
    torch.testing.assert_close(made(pixels)[1], boxes.expand(2, -1, -1))
    shown = F.avg_pool2d(pixels, pooled)
    for name, box in (("eyes", boxes[0]), ("lips", boxes[1])):
        torch.testing.assert_close(seen[name], patches(shown, box.expand(2, -1), 64))
    assert seen["whole"].shape == (2, 3, 64, 64)
    if size > 64:
        torch.testing.assert_close(seen["whole"], F.avg_pool2d(pixels, size // 64))


def test_motion_does_not_teach_where_to_look_and_looking_does_not_teach_motion() -> None:
    made = encoder()
    motion, boxes = made(torch.rand(2, 3, 32, 32))
    motion.sum().backward()
    assert all(each.grad is None for each in made.finder.parameters())
    assert all(each.grad is not None for name, each in made.named_parameters() if not name.startswith("finder"))
    made.zero_grad()
    encoder_of_boxes = {name for name, each in made.named_parameters() if name.startswith("finder")}
    boxes.sum().backward()
    assert {name for name, each in made.named_parameters() if each.grad is not None} == encoder_of_boxes


def test_along_the_directions_w_holds_the_difference_of_two_poses_and_elsewhere_the_portrait_s_style() -> None:
    made = codec()
    directions, factors = made.dec.direction(), made.factors(frames())
    w = made.appearance(frames()[1]).w + made.motion_of(made.encode(frames()))
    torch.testing.assert_close(w @ directions, factors - factors[1], atol=1e-4, rtol=1e-5)
    (pixels,) = made.passes(frames()[1:2])
    style = made.enc.net_app(pixels)[0]
    rest = torch.eye(24) - directions @ directions.T
    torch.testing.assert_close(w @ rest, (style @ rest).expand(5, -1), atol=1e-4, rtol=1e-5)


def test_pictures_of_a_training_are_those_of_a_video() -> None:
    made = codec()
    rows = torch.arange(2).repeat(2)
    drivers = torch.tensor([0, 1, 1, 0])
    driven = made.driven(torch.cat([*made.passes(frames(2))]), rows, drivers)
    # The decoder's own numbers: pixels are rounded and clipped.
    expected = [
        made.dec(seen.w + made.motion_of(made.encode(frames(2)[driver : driver + 1])), seen)
        for row, driver in zip(rows.tolist(), drivers.tolist(), strict=True)
        for seen in (made.appearance(frames(2)[row]),)
    ]
    torch.testing.assert_close(driven, torch.cat(expected), atol=5e-3, rtol=1e-3)


def test_motion_that_is_known_is_not_read_again() -> None:
    made = codec()
    (pixels,) = made.passes(frames(2))
    rows = torch.arange(2)
    known = torch.randn(2, 4), torch.tensor(USUAL).expand(2, -1, -1)
    calls: list[int] = []
    assert made.motion is not None
    made.motion.register_forward_hook(lambda *_: calls.append(1))
    moved = made.driven(pixels, rows, rows.roll(1), known)
    assert not calls
    assert not torch.allclose(moved, made.driven(pixels, rows, rows.roll(1)))


def test_a_frame_is_read_without_the_portrait_s_encoder() -> None:
    made, calls = codec(), list[int]()
    made.enc.net_app.register_forward_hook(lambda *_: calls.append(1))
    made.encode(frames())
    assert not calls


def test_a_codec_has_one_way_of_reading_motion() -> None:
    names = codec().state_dict().keys()
    assert not any(name.startswith("enc.fc.") for name in names)
    released = MotionAutoencoder(size=32, style_dim=24, motion_dim=4, channels=(8, 8, 8, 6)).state_dict().keys()
    assert not any(name.startswith("motion.") for name in released)
    assert any(name.startswith("enc.fc.") for name in released)
