"""The dual UNet as one denoiser: conditions prepared once per clip, any set of rungs in one batched pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from fada.diffusion.paths import NoisePath
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.dual_unet.unets import Conditions, DenoisingUNet, ReferenceFeatures, ReferenceUNet

RUNGS = ("nothing", "reference", "audio")


@dataclass(frozen=True)
class ClipConditions:
    """Inputs of a batch of clips.

    reference: latents (B, C, H, W); audio: windows of encoder states (B, F, window, layers, dim);
    motion: latents (B, M, C, H, W) of the frames before, or None; has_motion: (B,) booleans, None means all have.
    """

    reference: Tensor
    audio: Tensor
    motion: Tensor | None = None
    has_motion: Tensor | None = None

    def to(self, dtype: torch.dtype) -> ClipConditions:
        """The same inputs in another floating-point type."""
        return replace(
            self,
            reference=self.reference.to(dtype),
            audio=self.audio.to(dtype),
            motion=None if self.motion is None else self.motion.to(dtype),
        )


class DualUNet(nn.Module):
    """Reference net, audio projection and denoising net; rung 0 sees nothing, 1 the reference, 2 the audio too."""

    ladder: Sequence[str] = RUNGS

    def __init__(
        self,
        reference_unet: ReferenceUNet,
        denoising_unet: DenoisingUNet,
        audio_projection: AudioProjection,
        path: NoisePath,
    ) -> None:
        super().__init__()
        self.reference_unet = reference_unet
        self.denoising_unet = denoising_unet
        self.audio_projection = audio_projection
        self.path = path

    @property
    def dtype(self) -> torch.dtype:
        return self.denoising_unet.conv_in.weight.dtype

    def features(self, inputs: ClipConditions) -> ReferenceFeatures:
        """The reference net's features, one pass per clip."""
        return self.reference_unet(inputs.reference.to(self.dtype), _cast(inputs.motion, self.dtype))

    def prepare(self, inputs: ClipConditions, features: ReferenceFeatures | None = None) -> Conditions:
        """Conditions of a batch of clips; `features` of a shared, frozen reference net save its pass."""
        features = self.features(inputs) if features is None else features
        audio_tokens = self.audio_projection(inputs.audio.to(self.dtype))
        return self.denoising_unet.contexts(features, audio_tokens, inputs.has_motion)

    def forward(
        self, inputs: ClipConditions, latents: Tensor, t: Tensor, rung: Tensor, use_temporal: bool = True
    ) -> Tensor:
        """Prediction of a training batch, from its raw inputs: one call, so that wrappers see all of it."""
        return self.evaluate(latents, t, self.prepare(inputs).at_rungs(rung), use_temporal)

    def evaluate(self, latents: Tensor, t: Tensor, conditions: Conditions, use_temporal: bool = True) -> Tensor:
        """Prediction (B, F, C, H, W) of noisy latents at times (B,), one pass."""
        timestep = self.path.network_timestep(t).to(latents.device)
        return self.denoising_unet(latents.to(self.dtype), timestep, conditions, use_temporal)

    def predict(self, latents: Tensor, t: Tensor, conditions: Conditions, rungs: Sequence[int]) -> list[Tensor]:
        """Predictions (B, F, C, H, W) at several rungs, in one batched pass."""
        batch, count = latents.shape[0], len(rungs)
        rung = torch.tensor(list(rungs), device=latents.device).repeat_interleave(batch)
        stacked = self.predict_at(latents.repeat(count, 1, 1, 1, 1), t.repeat(count), conditions.repeat(count), rung)
        return list(stacked.chunk(count))

    def predict_at(self, latents: Tensor, t: Tensor, conditions: Conditions, rung: Tensor) -> Tensor:
        """Prediction (B, F, C, H, W) with each sample at its own rung (B,)."""
        return self.evaluate(latents, t, conditions.at_rungs(rung))

    def part(self, name: str) -> list[nn.Parameter]:
        """Parameters of one trainable part: reference, spatial, audio or temporal.

        Raises:
            ValueError: there is no such part.
        """
        groups = {"reference": list(self.reference_unet.parameters()), "spatial": [], "audio": [], "temporal": []}
        groups["audio"] += self.audio_projection.parameters()
        for key, parameter in self.denoising_unet.named_parameters():
            if "motion_modules." in key:
                groups["temporal"].append(parameter)
            elif ".attn2." in key or (".norm2." in key and "transformer_blocks" in key):
                groups["audio"].append(parameter)
            else:
                groups["spatial"].append(parameter)
        if name not in groups:
            raise ValueError(f"no part named {name!r}; choose from {', '.join(groups)}")
        return groups[name]


def _cast(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if tensor is None else tensor.to(dtype)
