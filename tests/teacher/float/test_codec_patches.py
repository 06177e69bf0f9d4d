"""What teaches a motion encoder: patches of eyes and lips, and their boxes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fada.teacher.float.codec_losses import patches
from fada.teacher.float.codec_patches import PatchLosses, of_patches, unexplained
from fada.teacher.float.face_painter import DRAWN, FacePainter, regions
from fada.teacher.float.motion_encoder import REACH

# Two pairs: first frames of both, then second ones. The second pair stands still.
EYES = torch.tensor([[0.2, 0.3, 0.8, 0.5], [0.1, 0.3, 0.7, 0.5], [0.3, 0.35, 0.9, 0.55], [0.1, 0.3, 0.7, 0.5]])
LIPS = torch.tensor([[0.3, 0.6, 0.7, 0.8], [0.2, 0.6, 0.6, 0.8], [0.45, 0.65, 0.8, 0.9], [0.2, 0.6, 0.6, 0.8]])
TRUE = torch.stack([EYES, LIPS], dim=1)
PIXELS = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def losses(found: Tensor = TRUE, motion: Tensor | None = None) -> tuple[PatchLosses, FacePainter, dict[str, Tensor]]:
    torch.manual_seed(1)
    made, painter = PatchLosses(3), FacePainter(3)
    motion = torch.zeros(4, 3) if motion is None else motion
    return made, painter, made(painter, PIXELS, {"eye": EYES, "lip": LIPS}, motion, found)


def test_what_is_unexplained_is_a_share_of_what_changed() -> None:
    still, true = torch.zeros(1, 4), torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    assert unexplained(still, true, still).item() == 1.0
    assert unexplained(true, true, still).item() == 0.0
    assert unexplained(torch.tensor([[1.0, 0, 0, 0]]), true, still).item() == 0.25
    assert unexplained(still, still, still).item() == 0.0


def test_a_painter_that_has_learned_nothing_explains_nothing() -> None:
    _, _, found = losses()
    assert found["eye_motion"].item() == pytest.approx(1.0)
    assert found["lip_motion"].item() == pytest.approx(1.0)


def test_each_patch_is_compared_with_the_same_part_of_the_other_frame_s_face() -> None:
    made, painter, _ = losses()
    # A painter that answers white, whatever it is shown.
    painter.changes = lambda seen, moved: torch.cat([0 * seen[:, :, :2], 1 - seen], dim=2)  # type: ignore[method-assign]
    found = made(painter, PIXELS, {"eye": EYES, "lip": LIPS}, torch.zeros(4, 3), TRUE)
    # From the first frame to the second the eyes of the first pair, and so its head, move by 0.1 and 0.05.
    step = torch.tensor([0.1, 0.05, 0.1, 0.05])
    moved = torch.stack([step, 0 * step, -step, 0 * step])
    for place, name in enumerate(("eye", "lip")):
        boxes = regions(TRUE)[:, place]
        patch = patches(PIXELS, boxes, DRAWN)
        other = patches(PIXELS[[2, 3, 0, 1]], boxes + moved, DRAWN)
        expected = (1 - other).square().mean() / (patch - other).square().mean()
        assert found[f"{name}_motion"].item() == pytest.approx(float(expected), rel=1e-4)


def test_boxes_count_by_their_place_and_five_times_by_their_movement() -> None:
    assert losses()[2]["boxes"].item() == 0.0
    assert losses(TRUE + 0.1)[2]["boxes"].item() == pytest.approx(1.0, rel=1e-4)
    one = TRUE + torch.tensor([0.1, 0.1, 0.0, 0.0])[:, None, None]
    assert losses(one)[2]["boxes"].item() == pytest.approx(0.5 + 5 * 1.0, rel=1e-4)


def test_movement_of_boxes_is_a_linear_part_of_motion() -> None:
    motion = REACH * torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 1.0], [1.0, 2.0, 0.0], [3.0, 0.0, 1.0]])
    made, painter, found = losses(motion=motion)
    assert found["box_motion"].item() != pytest.approx(0.0, abs=1e-3)
    with torch.no_grad():
        # What the first pair's boxes do, in tenths, said by the first number. Weights are scaled by ten over the root
        # of three.
        made.box.weight.zero_()
        made.box.weight[:, 0] = torch.tensor([1, 0.5, 1, 0.5, 1.5, 0.5, 1, 1]) * math.sqrt(3) / 10
    again = made(painter, PIXELS, {"eye": EYES, "lip": LIPS}, motion, TRUE)
    assert again["box_motion"].item() == pytest.approx(0.0, abs=1e-6)


def test_the_loss_is_of_logarithms_and_of_boxes_found_wrongly() -> None:
    parts = {name: torch.tensor(value) for name, value in [("eye_motion", 0.5), ("lip_motion", 0.2)]}
    parts |= {"box_motion": torch.tensor(0.1), "boxes": torch.tensor(0.3)}
    expected = math.log(0.51) + math.log(0.21) + 0.5 * math.log(0.11) + 2 * 0.3
    assert of_patches(parts).item() == pytest.approx(expected, rel=1e-5)
