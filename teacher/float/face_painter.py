"""Eyes and lips of another moment, drawn as a change of the portrait's, before the decoder warps it.

A decoder that warps maps has to find a brow, and to learn what moves it, through every level at once; it learned mouths
in thousands of steps, and brows and lids not at all. Two small networks that are shown a patch where the face is, and
told how far motion differs, learn the same in hundreds. What they draw is a change: where nothing happens the portrait
stays as sharp as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fada.diffusion.transfer import like
from fada.teacher.float.codec_losses import patches
from fada.teacher.float.motion_encoder import LR_MUL, REACH
from fada.teacher.float.style_layers import SLOPE, EqualConv2d, EqualLinear, whole

WIDTH = 24
"""Channels of the networks that draw patches."""
DRAWN = 48
"""Pixels of a patch along its longer side."""
FLOW = 0.1
"""Halves of a patch that a flow of one is."""
LIPS_ABOVE, LIPS_BELOW = 0.3, 0.45
"""How far the lips' patch reaches from their middle, in widths of their box: open mouths are longer than shut ones."""


def regions(boxes: Tensor) -> Tensor:
    """What is drawn anew (B, 2, 4), of boxes of eyes and lips (B, 2, 4): as high for shut mouths as for open ones."""
    eyes, (left, top, right, bottom) = boxes[:, 0], boxes[:, 1].unbind(1)
    middle, width = (top + bottom) / 2, right - left
    lips = torch.stack([left, middle - LIPS_ABOVE * width, right, middle + LIPS_BELOW * width], dim=1)
    return torch.stack([eyes, lips], dim=1)


class Redrawn(nn.Module):
    """How a patch changes to another moment of the same clip."""

    def __init__(self, motion_dim: int) -> None:
        super().__init__()
        shapes = ((5, 5), (WIDTH, 3), (WIDTH, 3))
        self.convs = nn.ModuleList(
            EqualConv2d(wide, WIDTH, kernel, padding=kernel // 2, lr_mul=LR_MUL) for wide, kernel in shapes
        )
        self.styles = nn.ModuleList(EqualLinear(motion_dim, 2 * WIDTH, lr_mul=LR_MUL) for _ in shapes)
        self.drawn = EqualConv2d(WIDTH, 5, 3, padding=1, lr_mul=LR_MUL)
        nn.init.zeros_(self.drawn.weight)

    def forward(self, patch: Tensor, moved: Tensor) -> Tensor:
        """Where lambda differs by `moved` (B, motion_dim): (B, 5, h, w) of a patch (B, 3, h, w), at first nothing.

        Two channels are a flow, to the right and down in halves of the patch; three are colours to add afterwards.
        """
        x = torch.cat([patch, _places(patch)], dim=1)
        for conv, style in zip(self.convs, self.styles, strict=True):
            gain, bias = style(moved / REACH)[:, :, None, None].chunk(2, dim=1)
            x = F.leaky_relu(conv(x), SLOPE) * (1 + gain) + bias
        drawn = self.drawn(x)
        return torch.cat([FLOW * drawn[:, :2], drawn[:, 2:]], dim=1)


class FacePainter(nn.Module):
    """Both patches, and where they belong in a picture."""

    def __init__(self, motion_dim: int) -> None:
        super().__init__()
        self.eye, self.lip = Redrawn(motion_dim), Redrawn(motion_dim)

    def seen(self, pixels: Tensor, drawn: Tensor) -> Tensor:
        """Patches (B, 2, 3, h, w) of pictures (B, 3, H, W) in regions (B, 2, 4)."""
        return torch.stack([patches(pixels, each, DRAWN) for each in drawn.unbind(1)], dim=1)

    def changes(self, seen: Tensor, moved: Tensor) -> Tensor:
        """Flows and colours (B, 2, 5, h, w) of patches (B or 1, 2, 3, h, w) where lambda differs by `moved` (B, M)."""
        eyes, lips = seen.expand(len(moved), -1, -1, -1, -1).unbind(1)
        return torch.stack([self.eye(eyes, moved), self.lip(lips, moved)], dim=1)

    def forward(self, seen: Tensor, drawn: Tensor, moved: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """A flow (B, 2, side, side), in halves of the picture, and colours (B, 3, side, side) to add after it.

        Args:
            seen, drawn: patches and regions of one portrait, or of B.
        """
        parts = []
        for change, box in zip(self.changes(seen, moved).unbind(1), drawn.unbind(1), strict=True):
            sides = torch.stack([box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]], dim=1)[:, :, None, None]
            parts.append(pasted(torch.cat([change[:, :2] * sides, change[:, 2:]], dim=1), box, side))
        flow, colours = (parts[0] + parts[1]).split([2, 3], dim=1)
        return flow, colours


def warped(pictures: Tensor, flow: Tensor) -> Tensor:
    """Pictures (B or 1, C, h, w), each pixel taken from where the flow (B, 2, h, w) points, in halves of a picture."""
    flow = whole(flow)
    # From -1 to 1 go the edges of a picture, and places its outer pixels' middles.
    inner = like([1 - 1 / pictures.shape[3], 1 - 1 / pictures.shape[2]], flow)[:, None, None]
    grid = (_places(flow)[:1] * inner + flow).permute(0, 2, 3, 1)
    seen = whole(pictures).expand(len(flow), -1, -1, -1)
    return F.grid_sample(seen, grid, padding_mode="border", align_corners=False).to(pictures.dtype)


def pasted(patch: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Pictures (B, C, side, side) that hold a patch (B, C, h, w) in a box (B or 1, 4), and nothing elsewhere."""
    middles = (torch.arange(side, device=boxes.device, dtype=boxes.dtype) + 0.5) / side
    left, top, right, bottom = (each[:, None] for each in boxes.unbind(1))
    x, y = (middles - left) / (right - left).clamp_min(1e-3), (middles - top) / (bottom - top).clamp_min(1e-3)
    grid = torch.stack([x[:, None].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], dim=3) * 2 - 1
    return F.grid_sample(whole(patch), whole(grid).expand(len(patch), -1, -1, -1), align_corners=False)


def _places(patch: Tensor) -> Tensor:
    """Where each pixel of a patch is, (B, 2, h, w) in [-1, 1], x and y."""
    height, width = patch.shape[2:]
    down = torch.linspace(-1, 1, height, device=patch.device, dtype=patch.dtype)
    across = torch.linspace(-1, 1, width, device=patch.device, dtype=patch.dtype)
    return torch.stack(torch.meshgrid(across, down, indexing="xy")).expand(len(patch), -1, -1, -1)
