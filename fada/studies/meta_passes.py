"""Passes on the meta device: shapes alone, for what they would cost in operations and keep in memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from fada.assembly.settings import recompute, recomputed
from fada.data.clips.emotion import EMOTIONS
from fada.data.clips.face import FaceClues
from fada.data.clips.keypoints import Keypoints
from fada.pretrained.networks import read_component
from fada.pretrained.shipped import located
from fada.recipe.schema import Recipe
from fada.teacher.checkpointing import recomputed_blocks
from fada.teacher.codec import latent_shape
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.inputs import ClipInputs


@dataclass(frozen=True)
class PassCosts:
    """Of one pass over one clip of a recipe.

    forward, with_cfg: floating-point operations of the teacher's denoising net, and of the student's; reference: of
    the reference net. recomputed: operations that a student's backward pass computes again, as a share of a forward
    pass. kept: bytes that are kept for the backward pass.
    """

    forward: float
    with_cfg: float
    reference: float
    recomputed: float
    kept: float


@dataclass(frozen=True)
class MetaClip:
    """One clip on the meta device: its latents, what a model is given of it, and the reference net's features."""

    latents: torch.Tensor
    inputs: Any
    features: Any


def pass_costs(recipe: Recipe, teacher: AvatarDenoiser, student: AvatarDenoiser) -> PassCosts:
    """Costs of networks on the meta device; leaves the student as the recipe trains it."""
    counter = FlopCounterMode(display=False)
    latents, inputs = _meta_inputs(recipe, teacher)
    with torch.device("meta"), torch.no_grad(), counter:
        clip = MetaClip(latents, inputs, teacher.features(inputs))
    forward, _ = forward_flop(teacher, clip)
    which = recomputed(recipe)
    blocks = [] if which is None else recomputed_blocks(student.denoiser, which)
    with_cfg, again = forward_flop(student, clip, blocks)
    if which is not None:
        recompute(recipe, student)
    kept = activation_bytes(recipe, student, clip)
    return PassCosts(forward, with_cfg, float(counter.get_total_flops()), again / with_cfg, kept)


def forward_flop(model: AvatarDenoiser, clip: MetaClip, blocks: Sequence[nn.Module] = ()) -> tuple[float, float]:
    """Floating-point operations of one pass of the denoising net over one clip; and of some blocks in it alone, none of
    them within another."""
    counter = FlopCounterMode(display=False)
    started, inside = 0, 0

    def begin(*_: Any) -> None:
        nonlocal started
        started = counter.get_total_flops()

    def end(*_: Any) -> None:
        nonlocal inside
        inside += counter.get_total_flops() - started

    hooks = [
        hook for block in blocks for hook in (block.register_forward_pre_hook(begin), block.register_forward_hook(end))
    ]
    with torch.no_grad():
        _one_pass(model, clip, counter)
    for hook in hooks:
        hook.remove()
    return float(counter.get_total_flops()), float(inside)


def activation_bytes(recipe: Recipe, model: AvatarDenoiser, clip: MetaClip) -> float:
    """What autograd keeps of one pass of the denoising net over one clip, weights not counted."""
    kept: dict[int, torch.UntypedStorage] = {}
    weights = {weight.untyped_storage()._cdata for weight in model.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor

    _one_pass(model, clip, saved_tensors_hooks(keep, lambda tensor: tensor))
    total = sum(storage.nbytes() for storage in kept.values())
    # Shapes run in float32 on the meta device; autocast keeps almost all of them in half of that.
    return total / (1 if recipe.engine.precision == "fp32" else 2)


def _one_pass(model: Any, clip: MetaClip, watcher: AbstractContextManager[Any]) -> None:
    """One pass of the denoising net over one clip on the meta device, with `watcher` open."""
    with torch.device("meta"):
        with torch.no_grad():
            conditions = model.prepare(clip.inputs, clip.features)
        t = torch.ones(1, dtype=torch.float64)
        with watcher:
            rows = model.expand(conditions, *(torch.tensor([index], device="cpu") for index in (0, model.scale_count)))
            rows = model.with_scales(rows, torch.ones(1, model.scale_count))
            model.evaluate(clip.latents, t, rows)


def _meta_inputs(recipe: Recipe, model: Any) -> tuple[torch.Tensor, Any]:
    clip = recipe.clip
    shape = recipe_latent(recipe)
    audio = (1, clip.frames, *model.heard())
    motion = torch.zeros(1, clip.motion_frames, *shape, device="meta") if clip.motion_frames else None
    latents = torch.zeros(1, clip.frames, *shape, device="meta")
    face = FaceClues(*(torch.zeros(1, width, device="meta") for width in (512, 4, 4)))
    points = Keypoints(
        torch.zeros(1, clip.frames, 5, 2, device="meta"),
        torch.zeros(1, clip.frames, 5, dtype=torch.bool, device="meta"),
        torch.zeros(1, clip.frames, 4, device="meta"),
    )
    heard = torch.zeros(audio, device="meta")
    emotion = torch.zeros(1, len(EMOTIONS), device="meta")
    inputs = ClipInputs(latents[:, 0], heard, motion, face=face, keypoints=points, emotion=emotion)
    if motion is not None and recipe.teacher.family.hears_motion:
        before = torch.zeros(1, clip.motion_frames, *model.heard(), device="meta")
        inputs = replace(inputs, motion_audio=before)
    return latents, model.inputs_of(inputs)


def recipe_latent(recipe: Recipe) -> tuple[int, ...]:
    """Shape of a frame's latents, of the family's own codec or of the recipe's VAE."""
    networks = recipe.teacher.family.networks
    if hasattr(networks, "new_codec"):
        return latent_shape(networks.new_codec(recipe), recipe.clip.size)
    side = recipe.clip.size // _downscale(recipe)
    return _channels(recipe), side, side


def _downscale(recipe: Recipe) -> int:
    """Pixels per latent cell, of the VAE that is trained or named; Stable Diffusion's where the named is not here."""
    if recipe.vae.path is None:
        return recipe.vae.downscale
    folder = located(recipe.vae.path)
    if not folder.is_dir():
        return 8
    _, settings = read_component(folder, [AutoencoderKL])
    return int(2 ** (len(settings.get("block_out_channels", (0,))) - 1))


def _channels(recipe: Recipe) -> int:
    """Of a latent, by the VAE that is trained or named; by the recipe where the named is not here."""
    folder = None if recipe.vae.path is None else located(recipe.vae.path)
    if folder is None or not folder.is_dir():
        return recipe.vae.latent_channels
    return int(read_component(folder, [AutoencoderKL])[1].get("latent_channels", recipe.vae.latent_channels))


def codec_cost(recipe: Recipe) -> tuple[int, float]:
    """Weights of the family's own codec, and operations of what a training step runs forward, on average."""
    networks = recipe.teacher.family.networks
    flop = 0.0
    with torch.device("meta"):
        codec = networks.new_codec(recipe)
        for share, run in networks.passes_of_step(recipe, codec):
            with FlopCounterMode(display=False) as counter:
                run()
            flop += share * counter.get_total_flops()
    return sum(weight.numel() for weight in codec.parameters()), flop
