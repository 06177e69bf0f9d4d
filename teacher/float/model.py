"""FLOAT as one denoiser: conditions prepared once per clip, any set of branches in one batched pass.

Its time runs the other way: the public code goes from noise at 0 to data at 1, and its velocity is data minus noise.
Here 1 is noise, and a flow's prediction is noise minus data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from fada.diffusion.paths import NoisePath
from fada.diffusion.shapes import Branches, Frames, Latents, PerSample
from fada.diffusion.transfer import moved
from fada.teacher.denoiser import AvatarDenoiser, Sites
from fada.teacher.float.audio_projection import FloatAudioProjection
from fada.teacher.float.conditions import Conditions, FloatInputs, Rows
from fada.teacher.float.settings import EMOTIONS
from fada.teacher.float.transformer import VectorField
from fada.teacher.inputs import ClipInputs
from fada.teacher.rows import rows_of, scale_rows


class Float(AvatarDenoiser):
    """Branch 0 is told of neither, 1 of the sound, 2 of the emotion too; all know portrait and motion frames."""

    branches = ("nothing", "audio", "emotion")
    denoiser_name = "vector_field"
    cell = 1
    vector_field: VectorField
    audio_projection: FloatAudioProjection

    def __init__(
        self,
        vector_field: VectorField,
        audio_projection: FloatAudioProjection,
        path: NoisePath,
        guidance_layers: Any = None,
    ) -> None:
        networks: dict[str, nn.Module] = {"vector_field": vector_field, "audio_projection": audio_projection}
        super().__init__(networks, path, guidance_layers)

    def sites(self) -> Sites:
        """See `VectorField.sites`."""
        return self.vector_field.sites()

    @property
    def latent_channels(self) -> int:
        return int(self.vector_field.config.latent_dim)

    def meetings(self, context: int) -> Iterator[tuple[str, Any, Any]]:
        """See `AvatarDenoiser.meetings`."""
        audio = self.audio_projection.config
        yield "audio_projection's dim", audio.dim, self.vector_field.config.audio_dim
        yield "audio_projection's window", audio.window, 2 * context + 1

    def inputs_of(self, clips: ClipInputs) -> FloatInputs:
        """The inputs with zeros for what there is none of: motion frames, their sound, an emotion that is not used.

        Raises:
            ValueError: the model uses the emotion, and the clips have none.
        """
        count, reference = len(clips.reference), clips.reference
        motion, heard = clips.motion, clips.motion_audio
        if motion is None:
            motion = reference.new_zeros(count, 0, reference.shape[-1])
        if heard is None:
            heard = clips.audio.new_zeros(count, motion.shape[1], *clips.audio.shape[2:])
        emotion = clips.emotion if self.vector_field.config.uses_emotion else reference.new_zeros(count, EMOTIONS)
        if emotion is None:
            raise ValueError(
                "FLOAT is told of the emotion, but the clips have none: draw or shard clips with it, or train with "
                "teacher.network.uses_emotion=false"
            )
        return FloatInputs(reference, torch.cat([heard, clips.audio], dim=1), emotion, motion, clips.has_motion)

    def features(self, inputs: FloatInputs) -> None:
        """There is nothing that teacher and student could share."""

    def prepare(self, inputs: FloatInputs, features: Any = None) -> Conditions:
        """Conditions of a batch of clips; of clips without motion frames, zeros stand for these and their sound."""
        reference, motion = inputs.reference.to(self.dtype), inputs.motion.to(self.dtype)
        audio = self.audio_projection(inputs.audio.to(self.dtype))
        before, heard = audio.split([motion.shape[1], audio.shape[1] - motion.shape[1]], dim=1)
        if self.is_relative:
            motion = motion - reference[:, None]
        if inputs.has_motion is not None:
            # Of clips without motion frames these are zeros, or the portrait.
            motion, before = (scale_rows(each, inputs.has_motion) for each in (motion, before))
        tokens = self.vector_field.embed_motion(motion)
        return Conditions(reference, heard, before, inputs.emotion.to(self.dtype), tokens)

    def expand(self, conditions: Conditions, clips: Branches, branches: Branches) -> Rows:
        """See `AvatarDenoiser.expand`. The sound of motion frames belongs to all branches."""
        clips, branches, device = clips.cpu(), branches.cpu(), conditions.reference.device
        pick = rows_of(clips, len(conditions.reference), device)
        hears, feels = (moved(branches >= least, device) for least in (1, 2))
        audio = torch.cat([pick(conditions.motion_audio), scale_rows(pick(conditions.audio), hears)], dim=1)
        emotion = scale_rows(pick(conditions.emotion), feels)
        reference = pick(conditions.reference)
        told = self.vector_field.embed_conditions(reference, audio, emotion)
        return Rows(told, pick(conditions.motion), reference if self.is_relative else None)

    def evaluate(
        self, latents: Latents, t: PerSample, conditions: Rows, use_temporal: bool = True, shows_motion: bool = False
    ) -> Frames:
        """Prediction (rows, F, D) of noisy latents at times (rows,), 1 noise.

        Args:
            use_temporal: single frames have no others to attend to.
            shows_motion: (rows, M + F, D) instead, with the network's own answer for motion frames in front.
        """
        time = moved((1.0 - t.double()).float(), latents.device)
        before = conditions.motion.shape[1] if shows_motion else 0
        origin = None if conditions.origin is None else conditions.origin[:, None].float()
        if origin is not None:
            latents = latents - self.path.add_noise(origin, torch.zeros_like(origin), t)
        answer = self.vector_field(
            latents.to(self.dtype), time, conditions.told, conditions.motion, conditions.hooks, conditions.time,
            shows_motion,
        )  # fmt: skip
        remembered, answer = answer.split([before, answer.shape[1] - before], dim=1)
        if self.path.is_flow:
            answer = -answer
        if origin is not None:
            # A path is linear: what it makes of a sum is the sum of what it makes of each.
            answer = answer + self.path.training_target(origin, torch.zeros_like(origin), t)
            remembered = remembered + origin
        return torch.cat([remembered, answer], dim=1) if before else answer

    @property
    def is_relative(self) -> bool:
        """Whether latents are differences from the portrait's for the network."""
        return bool(self.vector_field.config.relative)

    def part(self, name: str) -> list[nn.Parameter]:
        """Parameters of one trainable part: audio or vector_field.

        Raises:
            ValueError: there is no such part.
        """
        parts: dict[str, nn.Module] = {"audio": self.audio_projection, "vector_field": self.vector_field}
        if name not in parts:
            raise ValueError(f"no part named {name!r}; choose from {', '.join(parts)}")
        return list(parts[name].parameters())
