"""Layers of a StyleGAN2-like encoder and decoder: equalised, blurred, modulated by a style.

Names and shapes of parameters are those of FLOAT's released file. How they are computed is not: a modulated convolution
scales its input by the style, runs one convolution for all frames, and scales its output, so a batch of frames shares
its weights; where the public code makes weights for every frame and runs a grouped convolution.
Source: Karras et al. 2020 (arXiv:1912.04958), Wang et al. 2022 (LIA, arXiv:2203.09043).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fada.diffusion.transfer import like

BLUR = (1.0, 3.0, 3.0, 1.0)
"""Of every change of resolution, along one side."""
SLOPE = 0.2
"""Of the leaky ReLU, which is followed by a gain of sqrt(2)."""
GAIN = math.sqrt(2.0)
EPSILON = 1e-8
"""Under the root of a demodulation."""
ROWS_FROM = 48
"""Channels of maps from which on warping them as rows of a table is faster."""

Edges = Literal["released", "replicated"]
"""What lies beyond a picture's edges: `released`: zeros, and warping by no flow moves every pixel but the middle a
little; `replicated`: the edge goes on, and no flow moves nothing."""


def blur_kernel(gain: float = 1.0) -> Tensor:
    """The blur's (4, 4) kernel, whose sum is `gain`."""
    line = torch.tensor(BLUR)
    square = line[:, None] * line[None, :]
    return square * (gain / square.sum())


def whole(x: Tensor) -> Tensor:
    """At least float32: places in a picture need more digits than bfloat16 has."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def filtered(x: Tensor, kernel: Tensor, padding: int, stride: int = 1) -> Tensor:
    """(B, C, H, W), every channel convolved with one kernel, zeros around it."""
    channels = x.shape[1]
    weight = kernel.flip(0, 1).to(x.dtype).expand(channels, 1, *kernel.shape)
    return F.conv2d(x, weight, stride=stride, padding=padding, groups=channels)


def channels_last(x: Tensor) -> Tensor:
    """The same (B, C, H, W), a pixel's channels side by side: on a CPU such convolutions take a third of the time."""
    return x.contiguous(memory_format=torch.channels_last)


class Blur(nn.Module):
    """The blur beside a convolution that changes the resolution."""

    kernel: Tensor

    def __init__(self, padding: int, gain: float = 1.0) -> None:
        super().__init__()
        self.padding = padding
        self.register_buffer("kernel", blur_kernel(gain))

    def forward(self, x: Tensor, stride: int = 1) -> Tensor:
        """Four times as wide a neighbourhood; with a stride only those pixels are computed."""
        return filtered(x, self.kernel, self.padding, stride)


class Doubling(nn.Module):
    """Twice the resolution: bilinear, as the blur's kernel makes it."""

    kernel: Tensor

    def __init__(self, edges: Edges) -> None:
        super().__init__()
        self.edges = edges
        self.register_buffer("kernel", blur_kernel(4.0))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 2H, 2W)."""
        if self.edges == "replicated":
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        # The same two weights, 3/4 and 1/4; of a pixel more on each side, which is zero.
        widened = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear", align_corners=False)
        return widened[..., 2:-2, 2:-2]


class EqualConv2d(nn.Module):
    """A convolution whose weights are of unit variance, and scaled when they are used.

    Args:
        lr_mul: how many times faster than others it learns: its weights are as many times smaller, and scaled back.
    """

    def __init__(
        self, wide: int, out: int, kernel: int, stride: int = 1, padding: int = 0, lr_mul: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, wide, kernel, kernel) / lr_mul)
        self.scale = lr_mul / math.sqrt(wide * kernel**2)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor, gain: float = 1.0, bias: Tensor | None = None) -> Tensor:
        """(B, C, H, W), times `gain`; a bias (1, out, 1, 1) is added before."""
        bias = None if bias is None else bias.flatten() * gain
        return F.conv2d(x, self.weight * (self.scale * gain), bias, self.stride, self.padding)


class EqualLinear(nn.Module):
    """A linear layer of the same kind."""

    def __init__(self, wide: int, out: int, bias: float = 0.0, lr_mul: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, wide) / lr_mul)
        self.bias = nn.Parameter(torch.full((out,), bias / lr_mul))
        self.scale, self.lr_mul = lr_mul / math.sqrt(wide), lr_mul

    def forward(self, x: Tensor) -> Tensor:
        """(B, wide) to (B, out)."""
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_mul if self.lr_mul != 1.0 else self.bias)


class FusedLeakyReLU(nn.Module):
    """Bias of an activation; the name is the field's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Bias, leaky ReLU and gain of (B, C, H, W)."""
        return F.leaky_relu(x + self.bias, SLOPE) * GAIN


class ConvLayer(nn.Sequential):
    """Perhaps a blur, then a convolution with activation; halves the resolution where it blurs."""

    def __init__(self, wide: int, out: int, kernel: int, halves: bool = False) -> None:
        convolution = EqualConv2d(wide, out, kernel, 2 if halves else 1, 0 if halves else kernel // 2)
        super().__init__(*([Blur((kernel + 1) // 2)] if halves else []), convolution, FusedLeakyReLU(out))

    def forward(self, x: Tensor, gain: float = GAIN) -> Tensor:
        """(B, C, H, W) to (B, out, H, W), or half as wide.

        Gain and bias go into the convolution: a leaky ReLU of a multiple is the multiple.
        """
        *blur, convolution, activation = self
        x = blur[0](x) if blur else x
        return F.leaky_relu(convolution(x, gain, activation.bias), SLOPE, inplace=True)


class Halving(nn.Sequential):
    """Blur, then a 1x1 convolution of every second pixel: the blur computes no others."""

    def __init__(self, wide: int, out: int) -> None:
        super().__init__(Blur(1), EqualConv2d(wide, out, 1))

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """(B, C, H, W) to (B, out, H/2, W/2)."""
        blur, convolution = self
        return convolution(blur(x, stride=2), gain)


class ResBlock(nn.Module):
    """Two convolutions and a skip, to half the resolution."""

    def __init__(self, wide: int, out: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(wide, wide, 3)
        self.conv2 = ConvLayer(wide, out, 3, halves=True)
        self.skip = Halving(wide, out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, out, H/2, W/2): the sum of both, by sqrt(2)."""
        return self.conv2(self.conv1(x), gain=1.0) + self.skip(x, gain=1 / GAIN)


class ModulatedConv2d(nn.Module):
    """A convolution whose input channels are scaled by a style."""

    def __init__(self, wide: int, out: int, kernel: int, style_dim: int, doubles: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, out, wide, kernel, kernel))
        self.modulation = EqualLinear(style_dim, wide, bias=1.0)
        self.scale = 1 / math.sqrt(wide * kernel**2)
        self.padding = kernel // 2
        self.blur = Blur(1, gain=4.0) if doubles else None

    def forward(self, x: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """What a convolution with each row's own weights would give, before its demodulation, and that: (B, out).

        Args:
            x: (B, C, H, W). style: (B, style_dim).
        """
        factors = self.modulation(style)
        weight = self.weight[0] * self.scale
        demodulation = torch.rsqrt(F.linear(factors.square(), weight.square().sum((2, 3))) + EPSILON)
        x = x * factors[:, :, None, None].to(x.dtype)
        if self.blur is None:
            return F.conv2d(x, weight, padding=self.padding), demodulation
        return self.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)), demodulation


class Noise(nn.Module):
    """StyleGAN's noise, which FLOAT never adds; its weight is in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1), requires_grad=False)


class StyledConv(nn.Module):
    """A modulated, demodulated convolution with bias and activation."""

    def __init__(self, wide: int, out: int, style_dim: int, doubles: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(wide, out, 3, style_dim, doubles)
        self.noise = Noise()
        self.activate = FusedLeakyReLU(out)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(B, C, H, W) to (B, out, H, W), or to twice the resolution."""
        x, demodulation = self.conv(x, style)
        # The activation's gain goes into both: a leaky ReLU of a multiple is the multiple.
        gain = (demodulation * GAIN)[:, :, None, None].to(x.dtype)
        return F.leaky_relu(torch.addcmul((self.activate.bias * GAIN).to(x.dtype), x, gain), SLOPE, inplace=True)


class ToRGB(nn.Module):
    """A level's part of the picture."""

    def __init__(self, wide: int, edges: Edges, doubles: bool = True) -> None:
        super().__init__()
        if doubles:
            self.upsample = Doubling(edges)
        self.conv = ConvLayer(wide, 3, 1)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def projected(self, features: Tensor) -> Tensor:
        """(B, C, h, w) to (B, 3, h, w), before bias and activation; linear in a pixel, so it may be warped later."""
        return self.conv[0](features)

    def forward(self, projected: Tensor, coarser: Tensor | None) -> Tensor:
        """The picture so far (B, 3, h, w) of this level's part and the coarser levels' picture."""
        picture = self.conv[1](projected) + self.bias
        return picture if coarser is None else picture + self.upsample(coarser)


class ToFlow(nn.Module):
    """Where each pixel of a level comes from in the portrait's features, and how much of it is taken.

    Args:
        unit: of the level's flow, as a share of half a picture.
    """

    def __init__(self, wide: int, style_dim: int, edges: Edges, unit: float = 1.0) -> None:
        super().__init__()
        self.upsample = Doubling(edges)
        self.conv = ModulatedConv2d(wide, 3, 1, style_dim)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.edges, self.unit = edges, unit

    def forward(self, x: Tensor, style: Tensor, coarser: Tensor | None) -> Tensor:
        """Flow (before tanh) and mask (before sigmoid), (B, 3, h, w) in float32, of all levels so far.

        Three rows of weights per frame are cheaper than a scaled copy of the features.
        """
        units = like([self.unit, self.unit, 1.0], self.bias)
        weight = self.conv.weight[0, :, :, 0, 0] * (units[:, None] * self.conv.scale)
        rows = weight * self.conv.modulation(style)[:, None]
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
        raw = torch.bmm(pixels, rows.transpose(1, 2).to(x.dtype)).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        raw = whole(raw) + self.bias * units[:, None, None]
        return raw if coarser is None else raw + self.upsample(coarser)

    def warped(self, features: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Features (1 or B, C, h, w) seen through the flow, (B, C, h, w), and the mask (B, 1, h, w)."""
        side = raw.shape[-1]
        line = torch.linspace(-1, 1, side, device=raw.device, dtype=raw.dtype)
        grid = torch.tanh(raw[:, :2]).permute(0, 2, 3, 1) + torch.stack(torch.meshgrid(line, line, indexing="xy"), 2)
        features, mask = whole(features), torch.sigmoid(raw[:, 2:])
        if features.is_cpu and features.shape[1] >= ROWS_FROM and not torch.is_grad_enabled():
            return seen_as_rows(features, grid, self.edges), mask
        is_released = self.edges == "released"
        seen = F.grid_sample(
            features.expand(len(raw), -1, -1, -1), grid, mode="bilinear",
            padding_mode="zeros" if is_released else "border", align_corners=not is_released,
        )  # fmt: skip
        return channels_last(seen), mask


def seen_as_rows(features: Tensor, grid: Tensor, edges: Edges) -> Tensor:
    """What F.grid_sample gives of wide maps, in a third of its time on a CPU: four rows of a table, weighted.

    Args:
        features: (1 or B, C, h, w). grid: (B, h, w, 2), x and y, -1 and 1 at the edges.
    """
    side, channels = grid.shape[1], features.shape[1]
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    is_released = edges == "released"
    # In pixels: between middles of the outer pixels, or between their outer edges.
    place = ((grid + 1) * side - 1) / 2 if is_released else ((grid + 1) * ((side - 1) / 2)).clamp(0, side - 1)
    corner = place.floor()
    share = place - corner
    first, second = corner.long(), corner.long() + 1
    lower, upper = 1 - share, share
    if is_released:
        lower, upper = lower * _is_inside(first, side), upper * _is_inside(second, side)
    first, second = first.clamp(0, side - 1), second.clamp(0, side - 1)
    (left, top), (right, bottom) = first.unbind(-1), second.unbind(-1)
    (by_left, by_top), (by_right, by_bottom) = lower.unbind(-1), upper.unbind(-1)
    if len(features) > 1:
        top, bottom = (each + side * torch.arange(len(grid))[:, None, None] for each in (top, bottom))
    rows = torch.stack([top * side + left, top * side + right, bottom * side + left, bottom * side + right], -1)
    weights = torch.stack([by_top * by_left, by_top * by_right, by_bottom * by_left, by_bottom * by_right], -1)
    seen = F.embedding_bag(rows.view(-1, 4), table, per_sample_weights=weights.view(-1, 4), mode="sum")
    return seen.view(*grid.shape[:3], channels).permute(0, 3, 1, 2)


def _is_inside(places: Tensor, side: int) -> Tensor:
    return (places >= 0) & (places < side)
