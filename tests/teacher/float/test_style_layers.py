"""Layers of the motion autoencoder against what they stand for, computed the long way."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fada.teacher.float.style_layers import (
    BLUR,
    ConvLayer,
    Doubling,
    Edges,
    EqualConv2d,
    EqualLinear,
    ModulatedConv2d,
    ResBlock,
    StyledConv,
    ToFlow,
    blur_kernel,
    seen_as_rows,
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(5)


def explicit(conv: ModulatedConv2d, x: Tensor, style: Tensor) -> Tensor:
    """Every row with weights of its own, in a convolution of its own (StyleGAN2, equations 1 and 3)."""
    rows = []
    for one, factors in zip(x, conv.modulation(style), strict=True):
        weight = conv.weight[0] * conv.scale * factors[None, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if conv.blur is None:
            rows.append(F.conv2d(one[None], weight, padding=1))
            continue
        wide = F.conv_transpose2d(one[None], weight.transpose(0, 1), stride=2)
        line = torch.tensor(BLUR, dtype=x.dtype)
        kernel = line[:, None] * line / line.sum() ** 2 * 4
        rows.append(torch.cat([F.conv2d(each, kernel[None, None], padding=1) for each in wide.split(1, dim=1)], dim=1))
    return torch.cat(rows)


@pytest.mark.parametrize("doubles", [False, True])
def test_a_shared_convolution_equals_weights_modulated_and_demodulated_row_by_row(doubles: bool) -> None:
    conv = ModulatedConv2d(6, 5, 3, 7, doubles).double()
    x, style = torch.randn(3, 6, 8, 8).double(), torch.randn(3, 7).double()
    made, demodulation = conv(x, style)
    torch.testing.assert_close(made * demodulation[:, :, None, None], explicit(conv, x, style))


def test_a_styled_convolution_adds_its_bias_after_demodulation_and_then_activates() -> None:
    layer = StyledConv(4, 3, 5).double()
    layer.activate.bias.data.normal_()
    x, style = torch.randn(2, 4, 6, 6).double(), torch.randn(2, 5).double()
    expected = F.leaky_relu(explicit(layer.conv, x, style) + layer.activate.bias, 0.2) * math.sqrt(2)
    torch.testing.assert_close(layer(x, style), expected)


def test_a_layer_adds_its_bias_and_then_activates() -> None:
    layer = ConvLayer(4, 3, 3).double()
    layer[1].bias.data.normal_()
    x = torch.randn(2, 4, 6, 6).double()
    expected = layer[1](F.conv2d(x, layer[0].weight / 6, padding=1))
    torch.testing.assert_close(layer(x), expected)


def test_a_residual_block_is_the_mean_energy_of_both_ways() -> None:
    block = ResBlock(4, 3).double()
    block.conv2[2].bias.data.normal_()
    x = torch.randn(2, 4, 8, 8).double()
    expected = (block.conv2(block.conv1(x)) + block.skip(x)) / math.sqrt(2)
    torch.testing.assert_close(block(x), expected)


def test_the_skip_computes_every_second_pixel_of_the_blurred_picture() -> None:
    block = ResBlock(4, 3).double()
    x = torch.randn(1, 4, 8, 8).double()
    blurred = F.conv2d(x, blur_kernel().double().expand(4, 1, 4, 4), padding=1, groups=4)
    expected = F.conv2d(blurred[:, :, ::2, ::2], block.skip[1].weight * block.skip[1].scale)
    torch.testing.assert_close(block.skip(x), expected)


@pytest.mark.parametrize(("edges", "border"), [("released", 0.5625), ("replicated", 1.0)])
def test_doubling_keeps_an_even_picture_and_ends_it_as_its_edges_say(edges: Edges, border: float) -> None:
    made = Doubling(edges)(torch.ones(1, 2, 4, 4))
    torch.testing.assert_close(made[0, 0, 1:-1, 1:-1], torch.ones(6, 6))
    assert float(made[0, 0, 0, 0]) == pytest.approx(border)


def test_doubling_as_released_is_zeros_between_pixels_and_the_blur() -> None:
    x = torch.randn(1, 1, 4, 4)
    apart = torch.zeros(1, 1, 8, 8)
    apart[..., ::2, ::2] = x
    expected = F.conv2d(F.pad(apart, (2, 1, 2, 1)), blur_kernel(4.0)[None, None])
    torch.testing.assert_close(Doubling("released")(x), expected)


def test_no_flow_moves_nothing_where_edges_are_replicated() -> None:
    to_flow, features = ToFlow(4, 3, "replicated"), torch.randn(1, 5, 8, 8)
    seen, mask = to_flow.warped(features, torch.zeros(2, 3, 8, 8))
    torch.testing.assert_close(seen, features.expand(2, -1, -1, -1))
    assert torch.equal(mask, torch.full((2, 1, 8, 8), 0.5))


def test_a_flow_of_one_pixel_to_the_right_shows_each_pixel_s_right_neighbour() -> None:
    to_flow, features = ToFlow(4, 3, "replicated"), torch.randn(1, 5, 8, 8)
    raw = torch.zeros(1, 3, 8, 8)
    raw[:, 0] = math.atanh(2 / 7)
    seen, _ = to_flow.warped(features, raw)
    torch.testing.assert_close(seen[..., :-1], features[..., 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[..., -1], features[..., -1])


@pytest.mark.parametrize("edges", ["released", "replicated"])
@pytest.mark.parametrize("portraits", [1, 3])
def test_rows_of_a_table_are_seen_as_grid_sample_sees_maps(edges: Edges, portraits: int) -> None:
    features = torch.randn(portraits, 4, 8, 8).double()
    grid = torch.rand(3, 8, 8, 2).double() * 3 - 1.5
    is_released = edges == "released"
    expected = F.grid_sample(
        features.expand(3, -1, -1, -1), grid, padding_mode="zeros" if is_released else "border",
        align_corners=not is_released,
    )  # fmt: skip
    torch.testing.assert_close(seen_as_rows(features, grid, edges), expected)


def test_flows_of_levels_add_up() -> None:
    to_flow = ToFlow(4, 3, "replicated")
    x, style, coarser = torch.randn(2, 4, 8, 8), torch.randn(2, 3), torch.randn(2, 3, 4, 4)
    factors = to_flow.conv.modulation(style) * to_flow.conv.scale
    own = torch.einsum("oc,bc,bchw->bohw", to_flow.conv.weight[0, :, :, 0, 0], factors, x)
    torch.testing.assert_close(to_flow(x, style, coarser), own + to_flow.upsample(coarser))


@pytest.mark.parametrize("layer", ["conv", "linear"])
def test_layers_that_learn_faster_start_alike_and_move_as_many_times_as_far(layer: str) -> None:
    def made(lr_mul: float) -> EqualConv2d | EqualLinear:
        torch.manual_seed(5)
        return EqualConv2d(6, 4, 3, lr_mul=lr_mul) if layer == "conv" else EqualLinear(6, 4, 0.3, lr_mul=lr_mul)

    x = torch.rand(2, 6, 3, 3) if layer == "conv" else torch.rand(2, 6)
    moved = []
    for network in (made(1.0), made(10.0)):
        before = network(x)
        torch.testing.assert_close(before, made(1.0)(x))
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
        before.sum().backward()
        optimiser.step()
        moved.append(network(x) - before)
    torch.testing.assert_close(moved[1], 10 * moved[0], rtol=1e-2, atol=1e-5)
