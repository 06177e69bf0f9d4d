"""Denoising nets of students as earlier versions saved them, guidance layers inside; what they become when opened.

Their names, places and settings are those that folders, differences and checkpoints of those versions hold.
"""

from __future__ import annotations

from typing import Annotated, Any

from diffusers.configuration_utils import register_to_config
from pydantic import Field
from torch import nn

from fada.pretrained.settings import Count, Settings
from fada.student.guidance import GuidanceLayers, GuidanceMode
from fada.teacher.dual_unet import settings as dual_unet
from fada.teacher.dual_unet.unets import EVERYWHERE, SD15_ATTENTION, SD15_CHANNELS, DenoisingUNet
from fada.teacher.hallo import settings as hallo
from fada.teacher.hallo.unets import HalloDenoisingUNet

BRANCHES = 3


class _Guided(Settings):
    """What folders of these nets say beside their teacher's."""

    guidance_mode: GuidanceMode = "tokens"
    guidance_tokens: Count = 4
    num_windows: Annotated[int, Field(ge=1, le=1000)] = 4


class _OfDualUNet(dual_unet.DenoisingUNet, _Guided):
    """The whole table."""


class _OfHallo(hallo.DenoisingUNet, _Guided):
    """Likewise."""


class StudentUNet(DenoisingUNet):
    """A dual UNet's."""

    folder_settings = _OfDualUNet

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        channels: tuple[int, ...] = SD15_CHANNELS,
        layers_per_block: int = 2,
        heads: int = 8,
        attention_levels: tuple[bool, ...] = SD15_ATTENTION,
        temporal_levels: tuple[bool, ...] = EVERYWHERE,
        norm_groups: int = 32,
        has_places: bool = False,
        audio_dim: int = 768,
        max_frames: int = 32,
        guidance_mode: GuidanceMode = "tokens",
        guidance_tokens: int = 4,
        num_windows: int = 4,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            channels=channels,
            layers_per_block=layers_per_block,
            heads=heads,
            attention_levels=attention_levels,
            temporal_levels=temporal_levels,
            norm_groups=norm_groups,
            has_places=has_places,
            audio_dim=audio_dim,
            max_frames=max_frames,
        )
        _add_layers(self, guidance_mode, guidance_tokens)


class HalloStudentUNet(HalloDenoisingUNet):
    """Hallo's."""

    folder_settings = _OfHallo

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        channels: tuple[int, ...] = SD15_CHANNELS,
        layers_per_block: int = 2,
        heads: int = 8,
        attention_levels: tuple[bool, ...] = SD15_ATTENTION,
        norm_groups: int = 32,
        token_dim: int = 768,
        audio_dim: int = 768,
        max_frames: int = 32,
        guidance_mode: GuidanceMode = "tokens",
        guidance_tokens: int = 4,
        num_windows: int = 4,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            channels=channels,
            layers_per_block=layers_per_block,
            heads=heads,
            attention_levels=attention_levels,
            norm_groups=norm_groups,
            token_dim=token_dim,
            audio_dim=audio_dim,
            max_frames=max_frames,
        )
        _add_layers(self, guidance_mode, guidance_tokens)


EARLIER: dict[type[nn.Module], type[nn.Module]] = {StudentUNet: DenoisingUNet, HalloStudentUNet: HalloDenoisingUNet}
"""What each is without its layers."""


def _add_layers(net: Any, mode: GuidanceMode, tokens: int) -> None:
    if mode == "none":
        return
    layers = new_layers(net, mode, tokens)
    for name, module in layers.named_children():
        if name != "layers":
            net.add_module(name, module)
    if mode != "time_embed":
        for block, layer in zip(blocks_of(net).values(), layers.layers, strict=True):
            block.add_module("guidance", layer)


def new_layers(net: Any, mode: GuidanceMode, tokens: int) -> GuidanceLayers:
    """Guidance layers of a mode for a denoising net of those versions."""
    widths, dim, heads, time_channels = net.sites()
    return GuidanceLayers(mode, tokens, BRANCHES, dim, heads, widths, time_channels)


def blocks_of(net: Any) -> dict[str, nn.Module]:
    """The blocks that had a guidance layer, by their names, in order of execution."""
    sites = net.audio_sites() if isinstance(net, HalloDenoisingUNet) else net.spatial_sites()
    names = {module: name for name, module in net.named_modules()}
    return {names[site.block]: site.block for site in sites}


def former_names(net: Any, layers: GuidanceLayers | None) -> dict[str, str]:
    """By the name that a parameter of guidance layers had in a student, the name that it has now."""
    if layers is None or not isinstance(net, DenoisingUNet | HalloDenoisingUNet):
        return {}
    blocks = list(blocks_of(net))
    names = {}
    for name in layers.state_dict():
        kind, _, rest = name.partition(".")
        number, _, inner = rest.partition(".")
        inside = f"{blocks[int(number)]}.guidance.{inner}" if kind == "layers" else name
        names[f"denoising_unet.{inside}"] = f"guidance_layers.{name}"
    return names


def apart(net: Any, layers: GuidanceLayers | None = None) -> tuple[Any, GuidanceLayers | None]:
    """A denoising net and its guidance layers as a student has them now; one that is not of old stays as it is."""
    kind = EARLIER.get(type(net))
    if kind is None:
        return net, layers
    config = {key: value for key, value in net.config.items() if not key.startswith("_")}
    mode, tokens, _ = (config.pop(name) for name in ("guidance_mode", "guidance_tokens", "num_windows"))
    weights, plain = net.state_dict(), kind(**config).to(net.dtype)
    plain.load_state_dict({name: weights[name] for name in plain.state_dict()})
    plain.train(net.training)
    if mode == "none":
        return plain, layers
    layers = new_layers(plain, mode, tokens).to(net.dtype)
    names = former_names(plain, layers).items()
    layers.load_state_dict(
        {now.removeprefix("guidance_layers."): weights[before.removeprefix("denoising_unet.")] for before, now in names}
    )
    return plain, layers.train(net.training)
