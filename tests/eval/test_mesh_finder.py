"""The mesh's looks at a picture: where it finds points in its cut-outs, they are in the picture."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fada.eval.bench.footage import FaceReader
from fada.eval.bench.mesh_finder import LOOKS, MeshFinder

HEIGHT, WIDTH = 48, 64
PICTURE = np.stack([*np.meshgrid(4 * np.arange(WIDTH), 4 * np.arange(HEIGHT)), np.zeros((HEIGHT, WIDTH))], axis=-1)
"""Red and green say where one is: four levels a pixel."""


class Reads(nn.Module):
    """In the mesh's place: always sees its points at the same places of what it is shown, and reads levels there."""

    def __init__(self, presence: float = 1.0) -> None:
        super().__init__()
        self.presence = nn.Parameter(torch.tensor([presence]))
        random = np.random.default_rng(0)
        self.points = torch.tensor(random.integers(70, 120, (478, 2))).float() + 0.5
        # The eyes are 40 pixels apart and tilted, so that every look turns what the next one sees.
        self.points[33], self.points[263] = torch.tensor([75.5, 80.5]), torch.tensor([107.5, 104.5])
        self.seen: list[Tensor] = []

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        assert faces.shape == (1, 3, 192, 192)
        across, down = self.points.long().unbind(dim=1)
        # A pixel's middle is half a pixel behind its place in the row.
        self.seen.append(faces[0, :2, down, across].T / 4 + 0.5)
        depths = torch.full((478, 1), 5.0)
        return torch.cat([self.points, depths], dim=1)[None], self.presence


def test_points_are_where_the_picture_says_that_they_are() -> None:
    network = Reads()
    (face,) = MeshFinder(network).find(PICTURE.astype(np.uint8))
    assert len(network.seen) == LOOKS
    np.testing.assert_allclose(face.points[:, :2], network.seen[-1], atol=1e-3)
    # Depths are on the scale of the rest.
    eyes = math.dist(face.points[33, :2], face.points[263, :2])
    assert face.points[:, 2] == pytest.approx(np.full(478, 5 * eyes / 40), rel=1e-4)
    assert np.isnan(face.blendshapes).all()


def test_every_look_is_the_upright_square_of_one_and_a_half_faces() -> None:
    network = Reads()
    MeshFinder(network).find(PICTURE.astype(np.uint8))
    # The first look is a square of the longer side: a third of a pixel for each of 192.
    first, second, third = network.seen
    np.testing.assert_allclose(first, network.points / 3 - torch.tensor([0, (WIDTH - HEIGHT) / 2]), atol=1e-3)
    # 40 pixels between the eyes at (4, 3) / 5: every look turns by that angle more.
    cosine, sine = 0.8, 0.6
    upright = first.numpy() @ np.array([[cosine, -sine], [sine, cosine]])
    side = 1.5 * np.ptp(upright, axis=0).max()
    steps = [(one[263] - one[33]).tolist() for one in (second, third)]
    tilts = [math.atan2(down, across) for across, down in steps]
    assert tilts == pytest.approx([turns * math.atan2(sine, cosine) for turns in (2, 3)], abs=1e-3)
    assert math.hypot(*steps[0]) == pytest.approx(40 / 192 * side, rel=1e-3)


def test_below_half_a_presence_there_is_no_face() -> None:
    assert MeshFinder(Reads(0.49)).find(PICTURE.astype(np.uint8)) == []
    assert len(MeshFinder(Reads(0.51)).find(PICTURE.astype(np.uint8))) == 1


def test_a_reader_counts_a_face_without_blendshapes_as_found() -> None:
    face = FaceReader(MeshFinder(Reads())).read(np.stack([PICTURE.astype(np.uint8)] * 2))
    assert face.found.tolist() == [True, True]
    assert np.isfinite(face.whole().lip_opening).all()
    assert FaceReader(MeshFinder(Reads(0.1))).read(PICTURE[None].astype(np.uint8)).found.tolist() == [False]
