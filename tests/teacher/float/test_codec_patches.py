"""What teaches a motion encoder: patches of eyes and lips, and their boxes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fada.teacher.float.codec_losses import patches
from fada.teacher.float.codec_patches import DRAWN, PatchLosses, Redrawn, of_patches, unexplained
from fada.teacher.float.motion_encoder import REACH

# Two pairs: first frames of both, then second ones. The second pair stands still.
EYES = torch.tensor([[0.2, 0.3, 0.8, 0.5], [0.1, 0.3, 0.7, 0.5], [0.3, 0.3, 0.9, 0.5], [0.1, 0.3, 0.7, 0.5]])
LIPS = torch.tensor([[0.3, 0.6, 0.7, 0.8], [0.2, 0.6, 0.6, 0.8], [0.3, 0.6, 0.7, 0.9], [0.2, 0.6, 0.6, 0.8]])
TRUE = torch.stack([EYES, LIPS], dim=1)


class Zeros(torch.nn.Module):
    """Draws nothing, whatever it is shown."""

    def forward(self, patch: Tensor, moved: Tensor) -> Tensor:
        return torch.zeros_like(patch)


def losses(found: Tensor = TRUE, motion: Tensor | None = None) -> tuple[PatchLosses, Tensor, dict[str, Tensor]]:
    torch.manual_seed(1)
    made, pixels = PatchLosses(3), torch.rand(4, 3, 32, 32) * 2 - 1
    made.eye = made.lip = Zeros()  # type: ignore[assignment]
    motion = torch.zeros(4, 3) if motion is None else motion
    return made, pixels, made(pixels, {"eye": EYES, "lip": LIPS}, motion, found)


def test_what_is_unexplained_is_a_share_of_what_changed() -> None:
    still, true = torch.zeros(1, 4), torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    assert unexplained(still, true, still).item() == 1.0
    assert unexplained(true, true, still).item() == 0.0
    assert unexplained(torch.tensor([[1.0, 0, 0, 0]]), true, still).item() == 0.25
    assert unexplained(still, still, still).item() == 0.0


def test_a_new_network_draws_the_patch_itself_and_learns_from_motion() -> None:
    torch.manual_seed(1)
    made, patch, moved = Redrawn(3), torch.rand(2, 3, 24, 48), torch.randn(2, 3)
    assert torch.equal(made(patch, moved), patch)
    torch.nn.init.normal_(made.drawn.weight)
    assert not torch.allclose(made(patch, moved), made(patch, moved.roll(1, 0)))
    # It knows where in the patch a pixel is: of an even one it draws no even one, also far from the edges.
    even = made(torch.zeros(1, 3, 24, 48), moved[:1])
    assert float(even[0, 0, 8:16, 8:40].detach().std()) > 1e-3


def test_each_patch_is_compared_with_the_other_frame_s_in_its_own_box() -> None:
    _, pixels, found = losses()
    for name, boxes in (("eye", EYES), ("lip", LIPS)):
        patch = patches(pixels, boxes, DRAWN)
        other = patch[[2, 3, 0, 1]]
        expected = other.square().mean() / (patch - other).square().mean()
        assert found[f"{name}_motion"].item() == pytest.approx(float(expected))


def test_boxes_count_by_their_place_and_five_times_by_their_movement() -> None:
    assert losses()[2]["boxes"].item() == 0.0
    assert losses(TRUE + 0.1)[2]["boxes"].item() == pytest.approx(1.0, rel=1e-4)
    one = TRUE + torch.tensor([0.1, 0.1, 0.0, 0.0])[:, None, None]
    assert losses(one)[2]["boxes"].item() == pytest.approx(0.5 + 5 * 1.0, rel=1e-4)


def test_movement_of_boxes_is_a_linear_part_of_motion() -> None:
    motion = REACH * torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 1.0], [1.0, 2.0, 0.0], [3.0, 0.0, 1.0]])
    made, pixels, found = losses(motion=motion)
    assert found["box_motion"].item() != pytest.approx(0.0, abs=1e-3)
    with torch.no_grad():
        # From the first frame to the second eyes move right by a tenth and lips' lower edge sinks by a tenth; the
        # first number says it of both. Weights are scaled by ten over the root of three.
        made.box.weight.zero_()
        made.box.weight[[0, 2, 7], 0] = math.sqrt(3) / 10
    again = made(pixels, {"eye": EYES, "lip": LIPS}, motion, TRUE)
    assert again["box_motion"].item() == pytest.approx(0.0, abs=1e-6)


def test_the_loss_is_of_logarithms_and_of_boxes_found_wrongly() -> None:
    parts = {name: torch.tensor(value) for name, value in [("eye_motion", 0.5), ("lip_motion", 0.2)]}
    parts |= {"box_motion": torch.tensor(0.1), "boxes": torch.tensor(0.3)}
    expected = math.log(0.51) + math.log(0.21) + 0.5 * math.log(0.11) + 2 * 0.3
    assert of_patches(parts).item() == pytest.approx(expected, rel=1e-5)
