"""Finds faces with the mesh alone, without MediaPipe: the one face of a picture that it fills as prepared clips are
filled."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from fada.data.prepare.models import Face
from fada.eval.metrics.networks.face_mesh import SIDE, FaceMesh

LOOKS = 3
"""How often a picture is looked at: whole, then twice where the look before found the face."""
MARGIN = 1.5
"""Side of the square that is looked at, in sides of the square around the face: what the mesh was trained on."""
PRESENT = 0.5
"""Least presence of a face in the last look."""
_EYE_CORNERS = (33, 263)
_BLENDSHAPES = 52


class MeshFinder:
    """Asked picture by picture as `FaceFinder` is, and as deaf to time; a face's blendshapes are NaN."""

    def __init__(self, network: FaceMesh) -> None:
        self.network = network

    @torch.no_grad()
    def find(self, pixels: np.ndarray) -> list[Face]:
        """The face of a picture (H, W, 3) uint8, or none."""
        height, width = pixels.shape[:2]
        device = next(self.network.parameters()).device
        picture = torch.from_numpy(np.array(pixels)).to(device).permute(2, 0, 1)[None].float()
        middle, half, turn = torch.tensor([width / 2, height / 2]), max(width, height) / 2, torch.eye(2)
        for _ in range(LOOKS):
            marks, presence = self.network(_cut_out(picture, middle, half, turn))
            scale = half / (SIDE / 2)
            points = (marks[0].cpu() - SIDE / 2) * scale
            points[:, :2] = points[:, :2] @ turn.T + middle
            points[:, 2] += SIDE / 2 * scale
            middle, half, turn = _square_around(points[:, :2])
        if float(presence) < PRESENT:
            return []
        return [Face(points.numpy(), np.full(_BLENDSHAPES, np.nan, np.float32))]


def _cut_out(picture: Tensor, middle: Tensor, half: float, turn: Tensor) -> Tensor:
    """A turned square of a picture (1, 3, H, W), half a side around its middle, as (1, 3, 192, 192); black outside."""
    steps = (torch.arange(SIDE) + 0.5) / SIDE * 2 - 1
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    places = torch.stack([across, down], dim=-1) * half @ turn.T + middle
    size = torch.tensor([picture.shape[3], picture.shape[2]])
    grid = (places / size * 2 - 1)[None].to(picture.device)
    return functional.grid_sample(picture, grid, align_corners=False)


def _square_around(points: Tensor) -> tuple[Tensor, float, Tensor]:
    """Middle, half a side and turn (2, 2) of the square around a face (N, 2), upright by the corners of its eyes."""
    across = points[_EYE_CORNERS[1]] - points[_EYE_CORNERS[0]]
    cosine, sine = (across / across.norm()).tolist()
    turn = torch.tensor([[cosine, -sine], [sine, cosine]])
    upright = points @ turn
    least, most = upright.amin(dim=0), upright.amax(dim=0)
    return turn @ ((least + most) / 2), MARGIN * float((most - least).max()) / 2, turn
