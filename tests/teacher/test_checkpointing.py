"""Activations that are computed again: which blocks, and that nothing else changes."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor

from fada.teacher.checkpointing import BLOCKS, Recomputed, checkpoint_activations, recomputed_blocks
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.inputs import ClipInputs


def learned(model: DualUNet, inputs: ClipInputs, latents: Tensor) -> tuple[dict[str, Tensor], list[str]]:
    """Gradients of a step, and the blocks whose forward pass ran, in order."""
    ran: list[str] = []
    for name, block in model.denoising_unet.named_modules():
        if isinstance(block, BLOCKS):
            # Of a layer that only its forward pass calls: the block's own hooks do not run a second time.
            inner = block.conv1 if isinstance(block, ResnetBlock2D) else block.transformer_blocks[0]
            inner.register_forward_pre_hook(lambda module, args, name=name: ran.append(name))
    half = torch.full((len(latents),), 0.5, dtype=torch.float64)
    model(inputs, latents, half, torch.tensor([2, 1])).square().sum().backward()
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}, ran


@pytest.mark.parametrize("which", ["all", "full_resolution"])
def test_blocks_run_twice_and_gradients_stay(
    dual_unet: DualUNet, inputs: ClipInputs, latents: Tensor, which: Recomputed
) -> None:
    plain = dual_unet.float().requires_grad_(True)
    again = copy.deepcopy(plain)
    checkpoint_activations(again, which)
    given = inputs.to(torch.float32)
    wanted, once = learned(plain, given, latents.float())
    found, ran = learned(again, given, latents.float())
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert torch.equal(found[name], gradient), name
    last = len(plain.denoising_unet.up_blocks) - 1
    ends = ("down_blocks.0.", f"up_blocks.{last}.")
    twice = {name for name in once if which == "all" or name.startswith(ends)}
    assert {name for name in set(ran) if ran.count(name) == 2 * once.count(name)} == twice
    assert {name for name in set(ran) if ran.count(name) == once.count(name)} == set(once) - twice


def test_no_block_is_meant_twice(dual_unet: DualUNet) -> None:
    for which in ("all", "full_resolution"):
        blocks = recomputed_blocks(dual_unet, which)  # type: ignore[arg-type]
        assert len({id(block) for block in blocks}) == len(blocks)
        assert not any(inner in blocks for block in blocks for inner in list(block.modules())[1:])
    assert len(recomputed_blocks(dual_unet, "full_resolution")) < len(recomputed_blocks(dual_unet, "all"))
