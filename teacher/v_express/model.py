"""V-Express as one denoiser: conditions prepared once per clip, any set of branches in one batched pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from fada.diffusion.paths import NoisePath
from fada.diffusion.shapes import Latents, PerSample
from fada.diffusion.transfer import moved
from fada.teacher.denoiser import AvatarDenoiser, Sites
from fada.teacher.dual_unet.model import BRANCHES, OF_BOTH_NETS, part_of
from fada.teacher.frame_dropout import keep_frames
from fada.teacher.hallo.projections import FaceLocator
from fada.teacher.inputs import ClipInputs
from fada.teacher.v_express.attention import BranchWeights
from fada.teacher.v_express.audio_projection import AudioResampler
from fada.teacher.v_express.conditions import Conditions, VExpressInputs
from fada.teacher.v_express.contexts import context_slices, mean_over_contexts
from fada.teacher.v_express.keypoints import keypoint_pictures
from fada.teacher.v_express.unets import VExpressDenoisingUNet, VExpressReferenceUNet

PIXELS = 8
"""Pixels per latent cell: the keypoint guider halves its pictures three times."""
RELEASED_WEIGHTS = BranchWeights(0.95, 3.0)


class VExpress(AvatarDenoiser):
    """The five networks; branch 0 sees nothing, 1 the reference and the keypoints, 2 hears the audio too.

    Args:
        reference_weight, audio_weight: of these attentions, at every branch; training has 1 and 1.
        frames, overlap: of a context; longer videos are predicted in several, averaged where they overlap.

    Raises:
        ValueError: contexts longer than the motion modules can number, or that share all of their frames.
    """

    branches = BRANCHES
    encoders = ("reference_unet", "keypoint_guider")
    feature_encoders = ("reference_unet",)
    reference_unet: VExpressReferenceUNet
    denoising_unet: VExpressDenoisingUNet
    audio_projection: AudioResampler
    keypoint_guider: FaceLocator

    def __init__(
        self,
        reference_unet: VExpressReferenceUNet,
        denoising_unet: VExpressDenoisingUNet,
        audio_projection: AudioResampler,
        keypoint_guider: FaceLocator,
        path: NoisePath,
        guidance_layers: Any = None,
        *,
        reference_weight: float = RELEASED_WEIGHTS.reference,
        audio_weight: float = RELEASED_WEIGHTS.audio,
        frames: int = 24,
        overlap: int = 4,
    ) -> None:
        if not 0 <= overlap < frames:
            raise ValueError(f"contexts of {frames} frames cannot share {overlap}; overlap is 0 to frames - 1")
        if frames > denoising_unet.config.max_frames:
            raise ValueError(
                f"contexts of {frames} frames: the motion modules number {denoising_unet.config.max_frames}"
            )
        networks: dict[str, nn.Module] = {
            "reference_unet": reference_unet,
            "denoising_unet": denoising_unet,
            "audio_projection": audio_projection,
            "keypoint_guider": keypoint_guider,
        }
        super().__init__(networks, path, guidance_layers)
        self.reference_weight, self.audio_weight = reference_weight, audio_weight
        self.frames = frames
        self.overlap = overlap

    @property
    def dtype(self) -> torch.dtype:
        return self.denoising_unet.conv_in.weight.dtype

    def settings(self) -> dict[str, Any]:
        """What `__init__` takes beside networks and path."""
        names = ("reference_weight", "audio_weight", "frames", "overlap")
        return {name: getattr(self, name) for name in names}

    @property
    def weights(self) -> BranchWeights:
        """Of the reference's and the audio's attention."""
        return BranchWeights(self.reference_weight, self.audio_weight)

    def sites(self) -> Sites:
        """Behind every audio attention."""
        return self.denoising_unet.sites()

    def meetings(self, context: int) -> Iterator[tuple[str, Any, Any]]:
        """See `AvatarDenoiser.meetings`."""
        net, audio, reference = self.denoising_unet.config, self.audio_projection.config, self.reference_unet.config
        yield from ((f"reference_unet's {name}", reference[name], net[name]) for name in OF_BOTH_NETS)
        yield "audio_projection's token_dim", audio.token_dim, net.audio_dim
        yield f"rest of audio_projection's {audio.states} states by frame", audio.states % (2 * context + 1), 0
        yield "keypoint_guider's out_channels", self.keypoint_guider.config.out_channels, net.channels[0]

    def inputs_of(self, clips: ClipInputs) -> VExpressInputs:
        """The inputs with their keypoints drawn, and all states of a frame's window in one row.

        Raises:
            ValueError: the clips have no keypoints.
        """
        if clips.keypoints is None:
            raise ValueError(
                "V-Express is shown where eyes and nose are, but the keypoints are missing: shard clips that have "
                "landmarks (fada data prepare), or generate with the keypoints of the portrait or of a driving video"
            )
        height, width = (PIXELS * side for side in clips.reference.shape[-2:])
        pictures = keypoint_pictures(clips.keypoints, height, width)
        return VExpressInputs(clips.reference, clips.audio.flatten(2, 3), pictures, clips.kept)

    def features(self, inputs: VExpressInputs) -> list[Tensor]:
        """The reference net's banks (B, H W, C) per site, one pass per clip at t = 0."""
        return self.reference_unet(inputs.reference.to(self.dtype))

    def prepare(self, inputs: VExpressInputs, features: list[Tensor] | None = None) -> Conditions:
        """Conditions of a batch of clips; `features` of a shared, frozen reference net save its pass.

        Raises:
            ValueError: the inputs do not fit together, or contexts do not fill the frames.
        """
        _check(inputs, 2 ** (len(self.denoising_unet.down_blocks) - 1))
        context_slices(inputs.audio.shape[1], self.frames, self.overlap)
        pictures, kept = inputs.keypoints.to(self.dtype), inputs.kept
        shown = self.keypoint_guider(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2])
        conditions = self.denoising_unet.contexts(
            self.features(inputs) if features is None else features,
            self.audio_projection(inputs.audio.to(self.dtype)),
            shown if kept is None else keep_frames(shown, kept.keypoints),
        )
        return conditions if kept is None else replace(conditions, kept=kept.reference)

    def evaluate(self, latents: Latents, t: PerSample, conditions: Conditions, use_temporal: bool = True) -> Latents:
        """Prediction (rows, F, C, h, w) of noisy latents at times (rows,), context by context."""
        latents, timestep = latents.to(self.dtype), moved(self.path.network_timestep(t), latents.device)

        def predict(frames: slice) -> Tensor:
            seen = conditions.of_frames(frames)
            return self.denoising_unet(latents[:, frames], timestep, seen, self.weights, use_temporal)

        return mean_over_contexts(predict, context_slices(latents.shape[1], self.frames, self.overlap))

    def heard(self) -> tuple[int, int, int]:
        """The states of a window, as if they were of one layer."""
        config = self.audio_projection.config
        return config.states, 1, config.states_dim

    def chunk_frames(self, total: int | None, frames: int) -> int:
        """A video whose length is known is denoised at once, in as many contexts as fill it."""
        if total is None or total <= self.frames:
            return frames
        step = self.frames - self.overlap
        return self.frames + -(-(total - self.frames) // step) * step

    def passes(self, frames: int) -> int:
        """Contexts of a chunk."""
        return len(context_slices(frames, self.frames, self.overlap))

    def part(self, name: str) -> list[nn.Parameter]:
        """Parameters of one trainable part: reference, keypoints, spatial, audio or temporal.

        Raises:
            ValueError: there is no such part.
        """
        whole: dict[str, nn.Module] = {"reference": self.reference_unet, "keypoints": self.keypoint_guider}
        return part_of(name, self.denoising_unet, self.audio_projection, **whole)


def _check(inputs: VExpressInputs, multiple: int) -> None:
    """Raises ValueError where a clip's inputs do not fit together."""
    height, width = inputs.reference.shape[-2:]
    if height % multiple or width % multiple:
        raise ValueError(f"reference latents are {height} x {width}; both sides must be multiples of {multiple}")
    frames = inputs.audio.shape[1]
    wanted = (frames, 3, PIXELS * height, PIXELS * width)
    if tuple(inputs.keypoints.shape[1:]) != wanted:
        raise ValueError(
            f"keypoints have shape {tuple(inputs.keypoints.shape[1:])}; {frames} frames of audio and latents "
            f"of {height} x {width} need {wanted}"
        )
