"""The image autoencoder: diffusers' AutoencoderKL, with latents scaled to unit variance; training of a small one."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from fada.data.sampling.seeds import sample_generator
from fada.engine.devices import has_bf16
from fada.pretrained.networks import load_network

LATENT_NOISE = 0.05
"""Noise on latents while a VAE is trained, so that its decoder bears the small errors of generated latents."""
DECODED_PIXELS = 2**20
"""Pixels decoded in one pass: SD's VAE keeps about a kilobyte for each at its widest."""
START_NOISE = 0.3
"""Deviation of the noise in a new VAE's near-identity weights, as a share of the whole."""


def new_vae(channels: tuple[int, ...], latent_channels: int) -> AutoencoderKL:
    """A small AutoencoderKL with one halving less than levels; without attention, which small images do not need.

    Groups of the norms hold at least eight channels where there are as many: a norm over one channel takes an image's
    mean colour away, and the decoder ends in a norm over the narrowest level.
    """
    levels = len(channels)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=max(1, math.gcd(*channels) // 8),
        mid_block_add_attention=False,
        scaling_factor=1.0,
        shift_factor=0.0,
    )
    start_near_identity(vae)
    return vae


def load_vae(folder: str | Path) -> AutoencoderKL:
    """The frozen autoencoder in a folder of this machine.

    Raises:
        FileNotFoundError: no config, or no weights in safetensors.
        ModelFolderError: it is none of Stable Diffusion 1.x's kind, or damaged.
    """
    return cast(AutoencoderKL, load_network(folder, AutoencoderKL).requires_grad_(False))


def start_near_identity(vae: AutoencoderKL) -> None:
    """Initial weights through which an image passes almost unchanged, but for its resolution.

    Every convolution copies its first channels (a Dirac kernel) with variance-keeping noise beside them, and residual
    branches start at zero. PyTorch's own start shrinks a signal by sqrt(3) in every convolution and scrambles it; a
    small VAE then learns no colour for hundreds of steps: 21.3 dB on held-out drawn faces after 300 steps, 27 dB of it
    in the mean colours of 16-pixel squares, where this start gave 24.5 and 41 dB.
    """
    for module in vae.modules():
        if isinstance(module, nn.Conv2d):
            noise = module.weight.data * math.sqrt(3.0)
            copies = nn.init.dirac_(torch.empty_like(noise))
            module.weight.data = math.sqrt(1 - START_NOISE**2) * copies + START_NOISE * noise
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            nn.init.zeros_(module.conv2.weight)
            nn.init.zeros_(module.conv2.bias)


@torch.no_grad()
def encode_frames(vae: AutoencoderKL, frames: np.ndarray, chunk: int = 64) -> Tensor:
    """Scaled latents (F, C, h, w) in float32 of uint8 frames (F, H, W, 3): the mean of the posterior.

    Passes of a float32 VAE run in bfloat16 where the device has it, several times as fast; its rounding is far below a
    VAE's own error. One in half precision runs as it is.
    """
    is_short = vae.dtype == torch.float32 and has_bf16(vae.device)
    parts = []
    for start in range(0, len(frames), chunk):
        pixels = to_network(frames[start : start + chunk]).to(vae.device, vae.dtype)
        with torch.autocast(vae.device.type, torch.bfloat16, enabled=is_short):
            parts.append(vae.encode(pixels).latent_dist.mean.float())
    return (torch.cat(parts) - shift(vae)) * vae.config.scaling_factor


@torch.no_grad()
def decode_latents(vae: AutoencoderKL, latents: Tensor) -> np.ndarray:
    """Frames (F, H, W, 3) uint8 of scaled latents (F, C, h, w), a few at a time so that memory stays bounded.

    A slice is of `DECODED_PIXELS` at most: four frames of 512 x 512, of small ones sixteen.
    """
    halvings = len(vae.config.block_out_channels) - 1
    frame = latents.shape[-2] * latents.shape[-1] * 4**halvings
    parts = []
    for part in latents.split(max(1, min(16, DECODED_PIXELS // frame))):
        pixels = vae.decode((part / vae.config.scaling_factor + shift(vae)).to(vae.device, vae.dtype)).sample
        parts.append(((pixels.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu())
    return torch.cat(parts).permute(0, 2, 3, 1).contiguous().numpy()


def shift(vae: AutoencoderKL) -> float:
    """What is subtracted from latents before they are scaled (SD 1.5: nothing)."""
    return float(vae.config.get("shift_factor") or 0.0)


def to_network(frames: np.ndarray) -> Tensor:
    """Pixels (F, 3, H, W) in [-1, 1] of frames (F, H, W, 3) uint8."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def train_vae(
    vae: AutoencoderKL,
    frames: np.ndarray,
    *,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    on_step: Callable[[int, float], None],
) -> None:
    """Train in place on uint8 frames (N, H, W, 3), as an autoencoder with a little noise on its latents.

    The loss is L1 and squared error of pixels and L1 of their differences, which keeps edges (mouth, eyes) sharp. Noise
    of `LATENT_NOISE` times the latents' deviation takes the posterior's place: sampling a fresh posterior, whose
    deviation starts at 1, drowns the latents for hundreds of steps. Weights stay in float32, passes run in bfloat16
    where the device has it.
    Afterwards `scaling_factor` and `shift_factor` bring latents to zero mean and unit variance.
    """
    optimizer = torch.optim.AdamW(vae.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=1e-4)
    vae.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        index = torch.randint(len(frames), (batch,), generator=sample_generator(seed, step, 0, "vae"))
        pixels = to_network(frames[index.numpy()]).to(vae.device)
        with torch.autocast(vae.device.type, torch.bfloat16, enabled=has_bf16(vae.device)):
            latents = vae.encode(pixels).latent_dist.mean
            noise = torch.randn(latents.shape, generator=sample_generator(seed, step, 0, "latents")).to(latents)
            restored = vae.decode(latents + LATENT_NOISE * latents.detach().std() * noise).sample.float()
        edges = sum(F.l1_loss(restored.diff(dim=dim), pixels.diff(dim=dim)) for dim in (2, 3))
        loss = F.l1_loss(restored, pixels) + 4 * F.mse_loss(restored, pixels) + 0.5 * edges
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        on_step(step + 1, float(loss.detach()))
    vae.eval().requires_grad_(False)
    sample = frames[:: max(1, len(frames) // 512)]
    latents = encode_frames(vae, sample)
    vae.register_to_config(shift_factor=float(latents.mean()), scaling_factor=1.0 / float(latents.std()))
