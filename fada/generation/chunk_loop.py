"""The loop of every pipeline: one clip after another, the last frames of each being the motion frames of the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fada.data.audio.stream import AudioStates
from fada.data.clips.face import FaceClues, stack_clues
from fada.data.clips.keypoints import Keypoints, stack_keypoints
from fada.diffusion.transfer import moved
from fada.engine.clock import Clock
from fada.generation.denoising import ClipDenoiser, Settings
from fada.generation.overlap import wait_for
from fada.media.image import square_resize
from fada.teacher.codec import encode_frames
from fada.teacher.inputs import ClipInputs

if TYPE_CHECKING:
    from fada.generation.avatar_pipeline import AvatarPipeline

Clip = tuple[Tensor, int, int]
"""Latents (n, C, h, w) in float32 of a chunk's frames, the evaluations that each of its clips took, and how many clips
it had: one, or as many as there are contexts."""


@dataclass(frozen=True)
class Told:
    """What a call is told: the portrait's face, keypoints (5, 2), or (F, 5, 2) of every frame, and an emotion (7,)."""

    face: FaceClues | None = None
    keypoints: Keypoints | None = None
    emotion: Tensor | None = None

    def keypoints_of(self, start: int, frames: int) -> Keypoints | None:
        """Of some frames (F, 5, 2): a still portrait's in all of them, the last ones in frames behind the last."""
        if self.keypoints is None:
            return None
        if self.keypoints.points.ndim == 2:
            return Keypoints(*(torch.stack([each] * frames) for each in self.keypoints.tensors().values()))
        index = torch.arange(start, start + frames).clamp(max=len(self.keypoints.points) - 1)
        return Keypoints(*(each[index] for each in self.keypoints.tensors().values()))


@torch.no_grad()
def denoised_clips(
    pipeline: AvatarPipeline,
    image: np.ndarray,
    told: Told,
    states: AudioStates,
    settings: Settings,
    clock: Clock,
    on_step: Callable[[int], None] | None,
    frames: int,
) -> Iterator[Clip]:
    """One chunk of so many frames after another, finished on its device, as long as there is sound."""
    config = pipeline.config
    with clock("reference"):
        reference = encode_frames(pipeline.vae, square_resize(image, config.size)[None])
    denoise = ClipDenoiser(pipeline.model, config.is_student, pipeline.scheduler.windows, config.gamma)
    generator = torch.Generator().manual_seed(settings.seed)
    before = heard_before = None
    index = 0
    while True:
        start = index * frames
        with clock("audio"):
            windows = states.windows(start, frames, config.context)
        if windows is None:
            return
        with clock("reference"):
            conditions = _conditions(pipeline, reference, told, before, heard_before, windows, start)
        noise = moved(torch.randn(1, frames, *reference.shape[1:], generator=generator), pipeline.device)
        with clock("denoise"):
            said = _in_all(on_step, index * settings.steps)
            clip, nfe = denoise(noise, conditions, settings, index, said)
        count = frames if states.total is None else min(frames, states.total - start)
        latents = clip[0, :count].float()
        if config.motion_frames:
            before = _last(before, latents, config.motion_frames)
            if pipeline.family.hears_motion:
                heard_before = _last(heard_before, windows[:count], config.motion_frames)
        wait_for(pipeline.device)
        yield latents, nfe, pipeline.model.passes(frames)
        index += 1


def _last(before: Tensor | None, made: Tensor, frames: int) -> Tensor:
    """The last so many frames of what was made before and is made now."""
    known = made if before is None else torch.cat((before, made))
    return known[-frames:].clone()


def _conditions(
    pipeline: AvatarPipeline,
    reference: Tensor,
    told: Told,
    before: Tensor | None,
    heard_before: Tensor | None,
    windows: Tensor,
    start: int,
) -> Any:
    config = pipeline.config
    motion = has_motion = motion_audio = emotion = None
    if config.motion_frames:
        blank = reference.new_zeros(1, config.motion_frames, *reference.shape[1:])
        motion = blank if before is None else before[None].to(reference)
        has_motion = moved(torch.tensor([before is not None]), reference.device)
        if pipeline.family.hears_motion:
            silent = windows.new_zeros(config.motion_frames, *windows.shape[1:])
            motion_audio = (silent if heard_before is None else heard_before)[None]
    face = None if told.face is None else stack_clues([told.face]).to(reference.device)
    points = told.keypoints_of(start, len(windows))
    keypoints = None if points is None else stack_keypoints([points]).to(reference.device)
    if told.emotion is not None:
        emotion = moved(told.emotion[None], reference.device)
    inputs = ClipInputs(
        reference,
        windows[None],
        motion,
        has_motion,
        face,
        keypoints,
        emotion=emotion,
        motion_audio=motion_audio,
    )
    model: Any = pipeline.model
    return model.prepare(model.inputs_of(inputs))


def _in_all(on_step: Callable[[int], None] | None, done: int) -> Callable[[int], None] | None:
    """Progress of one clip as progress of the whole video."""
    return None if on_step is None else lambda step: on_step(done + step)
