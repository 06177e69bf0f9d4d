"""The loop of every pipeline: one clip after another, the last frames of each being the motion frames of the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fada.data.audio_stream import AudioStates
from fada.data.face import FaceClues, stack_clues
from fada.diffusion.transfer import moved
from fada.engine.clock import Clock
from fada.media.image import square_resize
from fada.student.denoising import ClipDenoiser, Settings
from fada.student.overlap import wait_for
from fada.teacher.inputs import ClipInputs
from fada.teacher.vae import encode_frames

if TYPE_CHECKING:
    from fada.student.generation import AvatarPipeline

Clip = tuple[Tensor, int]
"""Latents (n, C, h, w) in float32 of a clip's frames, and the evaluations that it took."""


@torch.no_grad()
def denoised_clips(
    pipeline: AvatarPipeline,
    image: np.ndarray,
    face: FaceClues | None,
    states: AudioStates,
    settings: Settings,
    clock: Clock,
    on_step: Callable[[int], None] | None,
) -> Iterator[Clip]:
    """One clip after another, finished on its device, as long as there is sound."""
    config = pipeline.config
    with clock("reference"):
        reference = encode_frames(pipeline.vae, square_resize(image, config.size)[None])
    denoise = ClipDenoiser(pipeline.model, config.is_student, pipeline.scheduler.windows, config.gamma)
    generator = torch.Generator().manual_seed(settings.seed)
    before: Tensor | None = None
    index = 0
    while True:
        start = index * config.frames
        with clock("audio"):
            windows = states.windows(start, config.frames, config.context)
        if windows is None:
            return
        with clock("reference"):
            conditions = _conditions(pipeline, reference, face, before, windows)
        noise = moved(torch.randn(1, config.frames, *reference.shape[1:], generator=generator), pipeline.device)
        with clock("denoise"):
            told = _in_all(on_step, index * settings.steps)
            clip, nfe = denoise(noise, conditions, settings, index, told)
        count = config.frames if states.total is None else min(config.frames, states.total - start)
        latents = clip[0, :count].float()
        if config.motion_frames:
            known = latents if before is None else torch.cat((before, latents))
            before = known[-config.motion_frames :].clone()
        wait_for(pipeline.device)
        yield latents, nfe
        index += 1


def _conditions(
    pipeline: AvatarPipeline, reference: Tensor, face: FaceClues | None, before: Tensor | None, windows: Tensor
) -> Any:
    config = pipeline.config
    motion = has_motion = None
    if config.motion_frames:
        blank = reference.new_zeros(1, config.motion_frames, *reference.shape[1:])
        motion = blank if before is None else before[None].to(reference)
        has_motion = moved(torch.tensor([before is not None]), reference.device)
    known = None if face is None else stack_clues([face]).to(reference.device)
    model: Any = pipeline.model
    return model.prepare(model.inputs_of(ClipInputs(reference, windows[None], motion, has_motion, known)))


def _in_all(on_step: Callable[[int], None] | None, done: int) -> Callable[[int], None] | None:
    """Progress of one clip as progress of the whole video."""
    return None if on_step is None else lambda step: on_step(done + step)
