"""What the attention mesh cuts out of its features, in numbers worked out by hand; whole: test_graphs.py."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fada.eval.metrics.networks.face_mesh import LEFT_EYE, LIPS, RIGHT_EYE, Block, Region, _cut_out

COLUMNS = torch.arange(48.0).expand(48, 48)
FEATURES = torch.stack([COLUMNS, COLUMNS.T, torch.ones(48, 48)])[None]
"""Of every place its column, its row, and 1."""


def patch(matrix: list[list[float]], middle: tuple[float, float]) -> Tensor:
    return _cut_out(FEATURES, torch.tensor([matrix]), torch.tensor([middle]))[0]


def test_an_upright_patch_is_sixteen_columns_and_rows_about_its_middle() -> None:
    found = patch([[1.0, 0.0], [0.0, 1.0]], (24.0, 30.0))
    # The graph's scale of 16 bits, 0.0425415 for 2 / 47, is 0.03 % short.
    torch.testing.assert_close(found[0, 5], torch.arange(16.0, 32.0), rtol=5e-4, atol=0)
    torch.testing.assert_close(found[1, :, 5], torch.arange(22.0, 38.0), rtol=5e-4, atol=0)


def test_a_patch_is_turned_and_stretched_as_its_matrix_says() -> None:
    # Across in the patch is down in the features, two rows a step; down is to the left.
    found = patch([[0.0, -1.0], [2.0, 0.0]], (24.0, 24.0))
    torch.testing.assert_close(found[1, 3], torch.arange(8.5, 40.0, 2), rtol=5e-4, atol=0.01)
    torch.testing.assert_close(found[0, :, 3], torch.arange(31.0, 15.0, -1), rtol=5e-4, atol=0)


def test_a_patch_is_black_where_the_features_end() -> None:
    left = patch([[1.0, 0.0], [0.0, 1.0]], (0.5, 24.0))[2]
    assert left[4].tolist() == [0.0] * 8 + [1.0] * 8
    below = patch([[1.0, 0.0], [0.0, 1.0]], (24.0, 47.5))[2]
    # Rows 39.5 to 46.5, then 47.5 and on, where the last row is 47.
    assert below[:, 4].tolist() == [1.0] * 8 + [0.0] * 8


def test_a_region_is_the_tilted_square_of_one_and_a_half_extents_around_its_points() -> None:
    # A rectangle of 20 x 10 about (50, 60), its long side level in the face, the face tilted by 30 degrees.
    cosine, sine = math.cos(math.pi / 6), math.sin(math.pi / 6)
    corners = torch.tensor([(-10.0, 0.0), (10.0, 0.0), (0.0, -5.0), (0.0, 5.0)])
    mesh = (corners @ torch.tensor([[cosine, sine], [-sine, cosine]]) + torch.tensor([50.0, 60.0]))[None]
    matrix, middle = Region([0, 1, 2, 3], (0, 1), [4])._square(mesh)
    assert middle[0].tolist() == pytest.approx([50, 60], abs=1e-4)
    across, down = 20 * 1.5 / 16, 10 * 1.5 / 16
    expected = [cosine * across, -sine * down, sine * across, cosine * down]
    assert matrix.flatten().tolist() == pytest.approx(expected, abs=1e-5)


def test_a_halving_block_pads_behind_alone_and_passes_maxima_on() -> None:
    block = Block(1, 2, halves=True)
    with torch.no_grad():
        block.depthwise.weight[:] = 1
        block.mix.weight[:] = torch.tensor([1.0, 10.0])[:, None, None, None]
        block.mix.bias[:] = 0
    x = torch.arange(1.0, 17.0).view(1, 1, 4, 4)
    # Sums over 3 x 3 from places (0, 0), (0, 2), (2, 0), (2, 2); maxima of 2 x 2 beside the first channel.
    sums = torch.tensor([[54.0, 45.0], [72.0, 54.0]])
    found = block(x)[0]
    torch.testing.assert_close(found[0], sums + torch.tensor([[6.0, 8.0], [14.0, 16.0]]))
    torch.testing.assert_close(found[1], 10 * sums)


def test_points_of_lips_and_eyes_are_each_named_once() -> None:
    assert [len(points) for points in (LIPS, LEFT_EYE, RIGHT_EYE)] == [80, 71, 71]
    assert len({*LIPS, *LEFT_EYE, *RIGHT_EYE}) == 222
