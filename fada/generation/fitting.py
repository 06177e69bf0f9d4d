"""Whether the parts of a pipeline's folder belong together: each may be right in itself, and its neighbour's too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fada.pretrained.errors import ModelFolderError
from fada.teacher.codec import is_own, latent_shape, pixels_per_cell


def check_parts(pipeline: Any, folder: Any) -> None:
    """Raises ModelFolderError where a call would end in the middle: sizes of two parts that do not meet."""
    for what, given, wanted in _meetings(pipeline):
        given, wanted = (list(each) if isinstance(each, tuple) else each for each in (given, wanted))
        if given != wanted:
            raise ModelFolderError(f"{folder}: {what} is {given}, by the other parts {wanted}; copy or fetch it again")


def check_length(pipeline: Any) -> None:
    """Raises ModelFolderError where the denoising net knows fewer places in time than a clip has."""
    needed, known = pipeline.config.frames + pipeline.config.motion_frames, pipeline.model.max_frames
    if known is not None and needed > known:
        raise ModelFolderError(
            f"this {type(pipeline).__name__} has clips of {needed} frames (motion frames counted), its denoising_unet "
            f"knows {known} (max_frames); copy or fetch its folder again"
        )


def _meetings(pipeline: Any) -> Iterator[tuple[str, Any, Any]]:
    """What two parts say of the same: its name, what one says, what the others say.

    Of the audio encoder the projection itself says so, in words of its own.
    """
    call, vae, model = pipeline.config, pipeline.vae, pipeline.model
    yield from model.meetings(call.context)
    yield from _of_guidance_layers(model)
    if vae is None or is_own(vae):
        cell = model.cell
    else:
        yield "vae's latent_channels", vae.config.latent_channels, model.latent_channels
        cell = pixels_per_cell(vae) * model.cell
        if pipeline.face_space is not None:
            yield "face_space's shape", pipeline.face_space.config.shape, latent_shape(vae, call.size)
    if pipeline.audio_encoder is not None:
        yield "audio_encoder's fps", pipeline.audio_encoder.fps, call.fps
    yield f"rest of size {call.size} after {cell.bit_length() - 1} halvings", call.size % cell, 0


def _of_guidance_layers(model: Any) -> Iterator[tuple[str, Any, Any]]:
    if model.guidance_layers is None:
        return
    layers, sites = model.guidance_layers.config, model.sites()
    yield "guidance_layers' branches", layers.branches, len(model.branches)
    if layers.mode == "time_embed":
        yield "guidance_layers' time_channels", layers.time_channels, sites.time_channels
        return
    yield "guidance_layers' sites", layers.sites, sites.widths
    yield "guidance_layers' heads", layers.heads, sites.heads
    if layers.mode == "tokens":
        yield "guidance_layers' dim", layers.dim, sites.dim
