"""Eyes and lips, drawn anew in a portrait."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fada.teacher.float.codec_losses import patches
from fada.teacher.float.face_painter import FLOW, FacePainter, Redrawn, pasted, regions, warped
from fada.teacher.float.motion_autoencoder import MotionAutoencoder

BOXES = torch.tensor([[[0.25, 0.25, 0.75, 0.5], [0.375, 0.625, 0.625, 0.75]]])


def test_eyes_are_drawn_in_their_box_and_lips_in_one_as_high_for_a_shut_mouth_as_for_an_open_one() -> None:
    shut, wide = BOXES, BOXES + torch.tensor([[[0, 0, 0, 0], [0, -0.05, 0, 0.05]]])
    for boxes in (shut, wide):
        torch.testing.assert_close(regions(boxes)[0, 0], BOXES[0, 0])
        torch.testing.assert_close(regions(boxes)[0, 1], torch.tensor([0.375, 0.6125, 0.625, 0.8]))


def test_a_new_network_changes_nothing_and_learns_from_motion_and_from_where_a_pixel_is() -> None:
    torch.manual_seed(1)
    made, patch, moved = Redrawn(3), torch.rand(2, 3, 24, 48), 12 * torch.randn(2, 3)
    assert torch.equal(made(patch, moved), torch.zeros(2, 5, 24, 48))
    torch.nn.init.normal_(made.drawn.weight)
    drawn = made(patch, moved)
    assert not torch.allclose(drawn, made(patch, moved.roll(1, 0)))
    even = made(torch.zeros(1, 3, 24, 48), moved[:1]).detach()
    # Far from the edges an even patch is changed from left to right, and from top to bottom.
    middle = even[0, 2, 6:18, 6:42]
    assert float(middle.diff(dim=0).abs().mean()) > 1e-4
    assert float(middle.diff(dim=1).abs().mean()) > 1e-4
    # Flows are counted in tenths.
    made.drawn.weight.data[:2] = made.drawn.weight.data[2:4]
    drawn = made(patch, moved)
    torch.testing.assert_close(drawn[:, :2], FLOW * drawn[:, 2:4])


@pytest.mark.parametrize("shape", [(24, 48), (16, 16)])
def test_a_flow_takes_each_pixel_from_where_it_points(shape: tuple[int, int]) -> None:
    picture = torch.rand(1, 3, *shape)
    assert torch.allclose(warped(picture, torch.zeros(1, 2, *shape)), picture, atol=1e-5)
    flow = torch.zeros(2, 2, *shape)
    # Three pixels from the right in the first picture, two from below in the second.
    flow[0, 0], flow[1, 1] = 3 * 2 / shape[1], 2 * 2 / shape[0]
    right, below = warped(picture, flow)
    torch.testing.assert_close(right[:, :, :-3], picture[0, :, :, 3:], atol=1e-5, rtol=0)
    torch.testing.assert_close(right[:, :, -3:], picture[0, :, :, -1:].expand(-1, -1, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(below[:, :-2], picture[0, :, 2:], atol=1e-5, rtol=0)


def test_a_patch_is_pasted_where_it_was_cut_out_and_nowhere_else() -> None:
    boxes = BOXES[:, 0]
    picture = pasted(torch.ones(1, 3, 12, 24), boxes, 48)
    inside = torch.zeros(48, 48)
    inside[12:24, 12:36] = 1
    torch.testing.assert_close(picture[0, 0], inside)
    # Of smooth pictures the patch is the picture's own again.
    smooth = torch.linspace(-1, 1, 48).expand(1, 3, 48, 48)
    again = pasted(patches(smooth, boxes, 24), boxes, 48)
    torch.testing.assert_close(again[0, :, 14:22, 14:34], smooth[0, :, 14:22, 14:34], atol=1e-4, rtol=0)


def test_a_flow_in_a_patch_is_the_same_movement_in_the_picture() -> None:
    painter = FacePainter(3)
    # Half a patch to the right, which is a quarter of the picture for the eyes, an eighth for the lips.
    change = torch.zeros(1, 2, 5, 24, 48)
    change[:, :, 0], change[:, 1, 1], change[:, 0, 2] = 1.0, 0.5, 0.25
    painter.changes = lambda seen, moved: change  # type: ignore[method-assign]
    flow, colours = painter(torch.zeros(1, 2, 3, 24, 48), BOXES, torch.zeros(1, 3), 64)
    assert flow[0, :, 24, 32].tolist() == pytest.approx([0.5, 0.0])
    assert flow[0, :, 44, 32].tolist() == pytest.approx([0.25, 0.0625])
    assert colours[0, :, 24, 32].tolist() == pytest.approx([0.25, 0.0, 0.0])
    assert float(colours[0, :, 44].abs().max()) == 0.0
    assert float(flow[0, :, :12].abs().max()) == 0.0


def test_each_part_is_drawn_by_its_own_network_from_its_own_patch() -> None:
    painter = FacePainter(3)
    seen, moved = torch.rand(1, 2, 3, 24, 48), torch.randn(4, 3)
    for each in (painter.eye, painter.lip):
        torch.nn.init.normal_(each.drawn.weight)
    drawn = painter.changes(seen, moved)
    torch.testing.assert_close(drawn[2, 0], painter.eye(seen[:, 0], moved[2:3])[0])
    torch.testing.assert_close(drawn[3, 1], painter.lip(seen[:, 1], moved[3:4])[0])


def codec() -> MotionAutoencoder:
    torch.manual_seed(3)
    shape = {"size": 32, "style_dim": 24, "motion_dim": 4, "channels": (8, 8, 8, 6), "edges": "replicated"}
    return MotionAutoencoder(**shape, fills=True, finds_face=True).eval().requires_grad_(False)  # type: ignore[arg-type]


def decoded(made: MotionAutoencoder, flow: Tensor, colours: Tensor) -> Tensor:
    """A picture of a portrait that is drawn anew by this much."""
    portrait = (torch.rand(32, 32, 3, generator=torch.Generator().manual_seed(2)) * 255).byte().numpy()
    seen = made.appearance(portrait)
    told: list[Tensor] = []

    def paint(patch: Tensor, drawn: Tensor, moved: Tensor, side: int) -> tuple[Tensor, Tensor]:
        told.append(moved)
        return flow, colours

    made.dec.painter.forward = paint  # type: ignore[union-attr, method-assign, assignment]
    moved = made.dec.direction() @ torch.tensor([1.0, 2.0, 3.0, 4.0])
    along = seen.w @ made.dec.direction()
    picture = made.dec(seen.w + moved, seen)
    torch.testing.assert_close(told[0], along + torch.tensor([[1.0, 2.0, 3.0, 4.0]]), atol=1e-4, rtol=0)
    return picture


def test_what_is_drawn_is_a_movement_of_the_portrait_and_colours_that_are_added_to_the_picture() -> None:
    still, none = torch.zeros(1, 2, 32, 32), torch.zeros(1, 3, 32, 32)
    before = decoded(codec(), still, none)
    # A new decoder warps a little; an even colour is the same everywhere.
    torch.testing.assert_close(decoded(codec(), still, none + 0.25), before + 0.25, atol=1e-5, rtol=0)
    made = codec()
    taken: list[Tensor] = []
    made.dec.to_flows[-1].warped = lambda seen, raw: taken.append(seen) or (seen, torch.ones(1, 1, 32, 32))  # type: ignore[union-attr, assignment]
    flow = still.clone()
    flow[:, 0] = 2 * 2 / 32
    for each in (still, flow):
        decoded(made, each, none + 0.5)
    torch.testing.assert_close(taken[1][:, :3, :, :-2], taken[0][:, :3, :, 2:], atol=1e-5, rtol=0)
    torch.testing.assert_close(taken[1][:, 3:], none + 0.5)


def test_in_bfloat16_pixels_stay_where_they_are() -> None:
    # The last pixels' places need more digits than it has.
    picture = torch.rand(1, 3, 256, 256).bfloat16()
    torch.testing.assert_close(warped(picture, torch.zeros(1, 2, 256, 256).bfloat16()), picture, atol=5e-3, rtol=0)
    box, size = torch.tensor([[0.0, 0.0, 1.0, 0.5]]), 48
    torch.testing.assert_close(patches(picture[:, :, :size, :size], box, size)[0], picture[0, :, :24, :48])
    pasted_again = pasted(picture[:, :, :24, :48], box, size)
    torch.testing.assert_close(pasted_again[0, :, :24], picture[0, :, :24, :48].float(), atol=5e-3, rtol=0)
