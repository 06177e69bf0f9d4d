"""The dual UNet as one denoiser: conditions prepared once per clip, any set of branches in one batched pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fada.diffusion.paths import NoisePath
from fada.diffusion.shapes import Latents, PerSample
from fada.diffusion.transfer import moved
from fada.teacher.denoiser import AvatarDenoiser, Sites
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.dual_unet.unets import Conditions, DenoisingUNet, ReferenceFeatures, ReferenceUNet
from fada.teacher.inputs import ClipInputs

OF_BOTH_NETS = ("in_channels", "channels", "layers_per_block", "attention_levels")
"""Settings of a denoising net that a reference net shares."""
BRANCHES = ("nothing", "reference", "audio")


class DualUNet(AvatarDenoiser):
    """Reference net, audio projection and denoising net; branch 0 sees nothing, 1 the reference, 2 the audio too."""

    branches = BRANCHES
    encoders = ("reference_unet",)
    feature_encoders = ("reference_unet",)
    reference_unet: ReferenceUNet
    denoising_unet: DenoisingUNet
    audio_projection: AudioProjection

    def __init__(
        self,
        reference_unet: ReferenceUNet,
        denoising_unet: DenoisingUNet,
        audio_projection: AudioProjection,
        path: NoisePath,
        guidance_layers: Any = None,
    ) -> None:
        networks: dict[str, nn.Module] = {
            "reference_unet": reference_unet,
            "denoising_unet": denoising_unet,
            "audio_projection": audio_projection,
        }
        super().__init__(networks, path, guidance_layers)

    @property
    def dtype(self) -> torch.dtype:
        return self.denoising_unet.conv_in.weight.dtype

    def sites(self) -> Sites:
        """Behind every audio attention."""
        return self.denoising_unet.sites()

    def meetings(self, context: int) -> Iterator[tuple[str, Any, Any]]:
        """See `AvatarDenoiser.meetings`."""
        net, audio = self.denoising_unet.config, self.audio_projection.config
        yield from ((f"reference_unet's {name}", self.reference_unet.config[name], net[name]) for name in OF_BOTH_NETS)
        yield "audio_projection's token_dim", audio.token_dim, net.audio_dim
        yield "audio_projection's window", audio.window, 2 * context + 1

    def inputs_of(self, clips: ClipInputs) -> ClipInputs:
        """The clips as they are: this family is told nothing else."""
        return clips

    def features(self, inputs: ClipInputs) -> ReferenceFeatures:
        """The reference net's features, one pass per clip."""
        return self.reference_unet(inputs.reference.to(self.dtype), _cast(inputs.motion, self.dtype))

    def prepare(self, inputs: ClipInputs, features: ReferenceFeatures | None = None) -> Conditions:
        """Conditions of a batch of clips; `features` of a shared, frozen reference net save its pass."""
        features = self.features(inputs) if features is None else features
        audio_tokens = self.audio_projection(inputs.audio.to(self.dtype))
        return self.denoising_unet.contexts(features, audio_tokens, inputs.has_motion)

    def evaluate(self, latents: Latents, t: PerSample, conditions: Conditions, use_temporal: bool = True) -> Latents:
        """Prediction (B, F, C, H, W) of noisy latents at times (B,), one pass; images need no temporal layers."""
        timestep = moved(self.path.network_timestep(t), latents.device)
        return self.denoising_unet(latents.to(self.dtype), timestep, conditions, use_temporal)

    def part(self, name: str) -> list[nn.Parameter]:
        """Parameters of one trainable part: reference, spatial, audio or temporal.

        Raises:
            ValueError: there is no such part.
        """
        return part_of(name, self.denoising_unet, self.audio_projection, reference=self.reference_unet)


def part_of(
    name: str, denoising_unet: nn.Module, audio_projection: nn.Module, **whole: nn.Module
) -> list[nn.Parameter]:
    """Parameters of a part, where the denoising net has Stable Diffusion 1.5's names and hears sound in its `attn2`.

    Args:
        whole: networks that are each a part of their own, by its name.

    Raises:
        ValueError: there is no such part.
    """
    groups = {part: list(network.parameters()) for part, network in whole.items()}
    groups |= {"spatial": [], "audio": list(audio_projection.parameters()), "temporal": []}
    for key, parameter in denoising_unet.named_parameters():
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
