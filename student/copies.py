"""A student: its teacher's networks, copied where they learn, and beside them layers that carry the guidance scales."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from fada.student.guidance import GuidanceLayers, GuidanceMode, check_mode
from fada.student.network import former_names
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.dual_unet.trunk import Trunk


def student_of(teacher: AvatarDenoiser, mode: GuidanceMode, tokens: int) -> AvatarDenoiser:
    """A student that starts as the teacher's copy, bit for bit the teacher's conditional prediction.

    The networks that only prepare conditions (`encoders`) are the teacher's own objects: frozen, they are shared; copy
    them to train them.

    Args:
        mode: how it is told the guidance scales; a teacher with such layers, a student itself, hands them on.
        tokens: learnable tokens per branch, for mode `tokens`.
    """
    check_mode(mode)
    networks = {name: getattr(teacher, name) for name in teacher.names}
    own = {name: _copied(network) for name, network in networks.items() if name not in teacher.encoders}
    layers = None if mode == "none" else _layers(teacher, mode, tokens)
    student = type(teacher)(**{**networks, **own}, path=teacher.path, guidance_layers=layers, **teacher.settings())
    student.former_names = former_names(student.denoiser, layers)
    return student


def _copied(network: Any) -> Any:
    """A network of its own with the same weights.

    Denoising nets are made anew: what a seed draws for them comes before what it draws for guidance layers, as in runs
    of earlier versions, which go on as they began.
    """
    if not isinstance(network, Trunk):
        return copy.deepcopy(network)
    config = {key: value for key, value in network.config.items() if not key.startswith("_")}  # type: ignore[attr-defined]
    kind: Any = type(network)
    made = kind(**config).to(network.conv_in.weight.dtype)
    made.load_state_dict(network.state_dict())  # type: ignore[attr-defined]
    return made


def _layers(teacher: AvatarDenoiser, mode: GuidanceMode, tokens: int) -> GuidanceLayers:
    widths, dim, heads, time_channels = teacher.sites()
    made = GuidanceLayers(mode, tokens, len(teacher.branches), dim, heads, widths, time_channels).to(teacher.dtype)
    before = teacher.guidance_layers
    if before is not None and dict(before.config) == dict(made.config):
        made.load_state_dict(before.state_dict())
    return made


def neutral_scales(batch: int, scales: int, device: torch.device | None = None) -> Tensor:
    """Scales of one: the plain conditional prediction."""
    return torch.ones(batch, scales, device=device)
