"""Frames to latents and back: the VAE of most families, or what a family brings for itself.

A family's own codec is a diffusers model with the methods of `Codec`; it lies where others have their VAE, in the
folder `vae/`. Everything else asks the functions of this module, which know both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from fada.engine.objective import Objective
from fada.family import families
from fada.pretrained.networks import load_network, read_config
from fada.teacher import vae as image_vae

LoadLpips = Callable[[Path, Path], nn.Module]
"""LPIPS of the files of its backbone and its heads: pictures (B, 3, H, W) twice to distances (B,)."""


@runtime_checkable
class Codec(Protocol):
    """What a family's own codec does; latents are of any rank, a row per frame."""

    def latent_shape(self, size: int) -> tuple[int, ...]:
        """Of one frame of size x size pixels."""
        ...

    def encode(self, frames: np.ndarray) -> Tensor:
        """Latents (F, ...) in float32 of frames (F, H, W, 3) uint8."""
        ...

    def appearance(self, portrait: np.ndarray) -> Any:
        """What decoding needs of the portrait (H, W, 3) beside latents; None where it needs nothing."""
        ...

    def decode(self, latents: Tensor, appearance: Any) -> np.ndarray:
        """Frames (F, H, W, 3) uint8 of latents (F, ...)."""
        ...


class HasDirections(Protocol):
    """What a codec does, beside, whose latents can be moved along directions that mean something."""

    directions: int
    """How many."""

    def along(self, latents: Tensor, direction: int, amount: float) -> Tensor:
        """Latents (F, ...), moved along a direction; an amount of 1 is about a deviation."""
        ...

    def within_reach(self, latents: Tensor, appearance: Any) -> Tensor:
        """Latents (F, ...) no further from the portrait's than faces go, of which frames are made; may be left out."""
        ...


@dataclass(frozen=True)
class CodecTraining:
    """How a family's own codec is trained (`train_codec` of its module).

    objective: holds the codec in its module, and draws its own batches.
    steps, lr: as in a recipe's stages.
    shown: what the codec makes of frames (F, H, W, 3) of one clip, for previews: the first is the portrait.
    finish: called when the module has its trained weights; gives the codec, frozen, with its latents scaled.
    """

    objective: Objective
    steps: int
    lr: float
    shown: Callable[[np.ndarray], np.ndarray]
    finish: Callable[[], Any]


def load_codec(folder: str | Path) -> Any:
    """The frozen VAE, or a family's own codec, in a folder of this machine; which of them its config says.

    Raises:
        FileNotFoundError: no config, or no weights in safetensors.
        ModelFolderError: it is none of them, or damaged.
    """
    own = {
        family.networks.CODEC.__name__: family.networks.CODEC
        for family in families().values()
        if hasattr(family.networks, "CODEC")
    }
    named = read_config(Path(folder)).get("_class_name")
    if named not in own:
        return image_vae.load_vae(folder)
    return load_network(folder, own[named]).requires_grad_(False)


def is_own(codec: Any) -> bool:
    """Whether it is a family's own, not a VAE of diffusers (which has methods of the same names)."""
    return hasattr(codec, "latent_shape") and hasattr(codec, "appearance")


def pixels_per_cell(codec: Any) -> int:
    """Along one side, of latents that are maps; 1 for a family's own codec, whose latents have no sides."""
    return 1 if is_own(codec) else int(2 ** (len(codec.config.block_out_channels) - 1))


def latent_shape(codec: Any, size: int) -> tuple[int, ...]:
    """Of one frame of size x size pixels: (C, h, w) of a VAE."""
    if is_own(codec):
        return tuple(codec.latent_shape(size))
    side = size // pixels_per_cell(codec)
    return int(codec.config.latent_channels), side, side


def encode_frames(codec: Any, frames: np.ndarray) -> Tensor:
    """Latents (F, ...) in float32 of frames (F, H, W, 3) uint8."""
    if not is_own(codec):
        return image_vae.encode_frames(codec, frames)
    with torch.no_grad():
        return codec.encode(frames).float()


def appearance_of(codec: Any, portrait: np.ndarray) -> Any:
    """What decoding needs of a portrait beside latents, once for a whole video."""
    if not is_own(codec):
        return None
    with torch.no_grad():
        return codec.appearance(portrait)


def decode_latents(codec: Any, latents: Tensor, appearance: Any = None) -> np.ndarray:
    """Frames (F, H, W, 3) uint8 of latents (F, ...)."""
    if not is_own(codec):
        return image_vae.decode_latents(codec, latents)
    with torch.no_grad():
        return codec.decode(latents, appearance)
