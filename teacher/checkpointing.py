"""Activation checkpointing: memory for time, in networks that are trained."""

from __future__ import annotations

from functools import partial

from diffusers.models.resnet import ResnetBlock2D
from torch import nn
from torch.utils.checkpoint import checkpoint

from fada.teacher.dual_unet.layers import SpatialTransformer, TemporalTransformer
from fada.teacher.hallo.attention import AudioModule, MotionModule

BLOCKS = (ResnetBlock2D, SpatialTransformer, TemporalTransformer, AudioModule, MotionModule)
"""What is computed again as a whole: each keeps nothing but its input."""


def checkpoint_activations(network: nn.Module) -> None:
    """Let every block of the network compute its activations again in the backward pass instead of keeping them.

    Names of parameters stay; without gradients nothing changes.
    """
    for block in network.modules():
        if isinstance(block, BLOCKS) and not isinstance(block.forward, partial):
            block.forward = partial(  # type: ignore[method-assign]
                checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False
            )
