"""Activation checkpointing: memory for time, in networks that are trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from diffusers.models.resnet import ResnetBlock2D
from torch import nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from fada.teacher.dual_unet.layers import SpatialTransformer, TemporalTransformer
from fada.teacher.dual_unet.trunk import Trunk
from fada.teacher.hallo.attention import AudioModule, MotionModule
from fada.teacher.v_express.attention import VExpressTransformer

BLOCKS = (ResnetBlock2D, SpatialTransformer, TemporalTransformer, AudioModule, MotionModule, VExpressTransformer)
"""What is computed again as a whole: each keeps nothing but its input."""


Recomputed = Literal["all", "full_resolution"]
"""Blocks whose activations are computed again: all, or those at the latents' own resolution, which at Stable Diffusion
1.5's size hold four fifths of the activations and take two fifths of the operations."""


def checkpoint_activations(network: nn.Module, which: Recomputed = "all") -> None:
    """Let blocks of the network compute their activations again in the backward pass instead of keeping them.

    Names of parameters stay; without gradients nothing changes.
    """
    for block in recomputed_blocks(network, which):
        if not isinstance(block.forward, partial):
            block.forward = partial(recomputed, block.forward)


def recomputed(forward: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What `forward` answers; its activations are computed again in the backward pass.

    To its end: torch would stop at the last activation that is needed, by an exception that passes over the hooks with
    which ZeRO-3 gives a layer's gathered weights back. What lies behind it costs next to nothing.
    """
    with set_checkpoint_early_stop(False):
        return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **options)


def recomputed_blocks(network: nn.Module, which: Recomputed) -> list[nn.Module]:
    """The blocks that are meant; none lies in another."""
    parts: list[nn.Module] = [network]
    if which == "full_resolution":
        trunks = [module for module in network.modules() if isinstance(module, Trunk)]
        parts = [level for trunk in trunks for level in (trunk.down_blocks[0], trunk.up_blocks[-1])]
    return [block for part in parts for block in part.modules() if isinstance(block, BLOCKS)]
