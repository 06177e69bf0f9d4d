"""What V-Express's networks are told about a clip: the raw inputs, and what is computed of them once per clip."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor

from fada.diffusion.transfer import moved
from fada.teacher.dual_unet.layers import Hook, KeysValues, each_pair
from fada.teacher.frame_dropout import KeptFrames
from fada.teacher.rows import rows_of, scale_rows


@dataclass(frozen=True)
class VExpressInputs:
    """Inputs of a batch of clips.

    reference: latents (B, C, h, w). audio: windows of encoder states (B, F, states, dim), see `audio_windows`.
    keypoints: pictures (B, F, 3, 8 h, 8 w) in [0, 1] of eyes and nose, see `draw_keypoints`.
    kept: in training, which frames keep their reference and keypoint features.
    """

    reference: Tensor
    audio: Tensor
    keypoints: Tensor
    kept: KeptFrames | None = None


@dataclass(frozen=True)
class Conditions:
    """Conditions of clips, or of rows (a clip at a branch), constant over denoising steps.

    reference: per site keys and values (rows, H W, C). audio: per site keys and values (rows, F, tokens, C). keypoints:
    maps (rows, F, C, h, w), added after `conv_in`. Rows may have, from outside, hooks: what is done to their hidden
    states per site, behind what is heard; and time: (rows, time_channels) to be added to the time embedding. kept:
    (rows, F) booleans, which frames see the reference; None: all do.
    """

    reference: list[KeysValues]
    audio: list[KeysValues]
    keypoints: Tensor
    hooks: list[Hook] = field(default_factory=list)
    time: Tensor | None = None
    kept: Tensor | None = None

    def expand(self, clips: Tensor, branches: Tensor) -> Conditions:
        """Conditions of rows: of clip `clips[i]` at branch `branches[i]`: 0 nothing, 1 looks, 2 hears too.

        Branch 0 is V-Express's unconditional branch: a bank of zeros, zero audio tokens after their projection, no
        keypoint maps. Keys and values have no bias, so zero tokens are zero keys and values.
        """
        clips, branches, device = clips.cpu(), branches.cpu(), self.keypoints.device
        pick = rows_of(clips, len(self.keypoints), device)
        sees, hears = (moved(branches >= least, device) for least in (1, 2))

        def pick_seen(tensor: Tensor) -> Tensor:
            return scale_rows(pick(tensor), sees)

        def pick_heard(tensor: Tensor) -> Tensor:
            return scale_rows(pick(tensor), hears)

        return Conditions(
            each_pair(self.reference, pick_seen),
            each_pair(self.audio, pick_heard),
            pick_seen(self.keypoints),
            kept=None if self.kept is None else pick(self.kept),
        )

    def of_frames(self, frames: slice) -> Conditions:
        """The conditions of some of the frames, as views."""
        audio = each_pair(self.audio, lambda tensor: tensor[:, frames])
        kept = None if self.kept is None else self.kept[:, frames]
        return replace(self, audio=audio, keypoints=self.keypoints[:, frames], kept=kept)
