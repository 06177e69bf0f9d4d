"""Whether the parts of a pipeline's folder belong together: each may be right in itself, and its neighbour's too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fada.pretrained.errors import ModelFolderError

_OF_BOTH_NETS = ("in_channels", "channels", "layers_per_block", "attention_levels")


def check_parts(pipeline: Any, folder: Any) -> None:
    """Raises ModelFolderError where a call would end in the middle: sizes of two parts that do not meet."""
    for what, given, wanted in _meetings(pipeline):
        given, wanted = (list(each) if isinstance(each, tuple) else each for each in (given, wanted))
        if given != wanted:
            raise ModelFolderError(f"{folder}: {what} is {given}, by the other parts {wanted}; copy or fetch it again")


def check_length(pipeline: Any) -> None:
    """Raises ModelFolderError where the denoising net knows fewer places in time than a clip has."""
    needed, known = pipeline.config.frames + pipeline.config.motion_frames, pipeline.denoising_unet.config.max_frames
    if needed > known:
        raise ModelFolderError(
            f"this {type(pipeline).__name__} has clips of {needed} frames (motion frames counted), its denoising_unet "
            f"knows {known} (max_frames); copy or fetch its folder again"
        )


def _meetings(pipeline: Any) -> Iterator[tuple[str, Any, Any]]:
    """What two parts say of the same: its name, what one says, what the others say.

    Of the audio encoder the projection itself says so, in words of its own.
    """
    call, net, reference = pipeline.config, pipeline.denoising_unet.config, pipeline.reference_unet.config
    audio, vae = pipeline.audio_projection.config, pipeline.vae
    yield from ((f"reference_unet's {name}", reference[name], net[name]) for name in _OF_BOTH_NETS)
    yield "audio_projection's token_dim", audio.token_dim, net.audio_dim
    yield "audio_projection's window", audio.window, 2 * call.context + 1
    if pipeline.guidance_layers is not None:
        layers, sites = pipeline.guidance_layers.config, pipeline.model.sites()
        known = {**sites._asdict(), "branches": len(pipeline.model.ladder)}
        for name, wanted in known.items():
            is_used = layers.mode != "time_embed" or name in ("branches", "time_channels")
            if is_used:
                yield f"guidance_layers' {name}", layers["sites" if name == "widths" else name], wanted
    halvings = len(net.channels) - 1
    if vae is not None:
        yield "vae's latent_channels", vae.config.latent_channels, net.in_channels
        halvings += len(vae.config.block_out_channels) - 1
    if pipeline.face_space is not None and vae is not None:
        side = call.size // 2 ** (len(vae.config.block_out_channels) - 1)
        yield "face_space's shape", pipeline.face_space.config.shape, [vae.config.latent_channels, side, side]
    yield f"rest of size {call.size} after {halvings} halvings", call.size % 2**halvings, 0
    if hasattr(pipeline, "face_projection"):
        for name in ("face_projection", "reference_unet"):
            yield f"{name}'s token_dim", getattr(pipeline, name).config.token_dim, net.token_dim
        yield "face_locator's out_channels", pipeline.face_locator.config.out_channels, net.channels[0]
