"""What Hallo's networks are told about a clip: the drawn inputs, and what is computed of them once per clip."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from fada.diffusion.transfer import moved
from fada.teacher.dual_unet.layers import Hook, KeysValues, each_pair
from fada.teacher.rows import rows_of, rows_that_hear, scale_rows

BankTiling = Literal["released", "fixed"]
"""How rows of the reference net meet frames and face tokens; see `writer_tokens` and `banks_of_frames`."""


@dataclass(frozen=True)
class HalloInputs:
    """Inputs of a batch of clips, drawn.

    reference: latents (B, C, h, w). motion: latents (B, M, C, h, w) of the frames before; None for first clips,
    which see the reference in their place. audio: windows of encoder states (B, F, window, layers, dim).
    face_embedding: (B, 512). face_region: picture (B, 3, H, W) in [0, 1] of where the face may be, in pixels. masks:
    per level of the UNet (B, 3, h, w) in [0, 1]: background, face without lips, lips; the first has latents' size.
    """

    reference: Tensor
    audio: Tensor
    face_embedding: Tensor
    face_region: Tensor
    masks: tuple[Tensor, ...]
    motion: Tensor | None = None


@dataclass(frozen=True)
class ReferenceFeatures:
    """What the reference net saw, per spatial site in order of execution.

    Normed tokens (B, 2, 1 + M, H W, C): of the null and of the real face tokens; the reference image first, then the
    motion frames.
    """

    sites: list[Tensor]


@dataclass(frozen=True)
class Conditions:
    """A clip's conditions, constant over denoising steps; per site, in order of execution.

    reference: keys and values (B, banks, H W, C) of the one or two banks that frames read. face: keys and values
    (B, 2, tokens, C), null and real. audio: per region keys and values (B, F, tokens, inner). motion: tokens
    (B, 2, H W, M, C), null and real. located: maps (B, C, h, w) of the face locator. masks: per level (B, 3, H W).
    """

    reference: list[KeysValues]
    face: list[KeysValues]
    audio: list[list[KeysValues]]
    motion: list[Tensor]
    located: Tensor
    masks: list[Tensor]

    def with_real_bank(self) -> Conditions:
        """The same, every frame reading the real branch's bank."""
        return replace(self, reference=each_pair(self.reference, lambda tensor: tensor[:, 1:]))

    def expand(self, clips: Tensor, branches: Tensor) -> RowConditions:
        """Conditions of rows: of clip `clips[i]` at branch `branches[i]`: 0 nothing, 1 reference, 2 audio too.

        Branch 0 is Hallo's unconditional branch: tokens of a zero face embedding, no face locator, zero audio tokens
        after their projection, self-attention without the bank, motion frames kept.
        """
        clips, branches = clips.cpu(), branches.cpu()
        has_reference = branches >= 1
        count, device = len(self.located), self.located.device
        pick = rows_of(clips, count, device)
        pick_heard = rows_that_hear(clips, branches >= 2, count, device)
        branch = (moved(clips, device), moved(has_reference.long(), device))

        def pick_branch(tensor: Tensor) -> Tensor:
            return tensor[branch]

        return RowConditions(
            each_pair(self.reference, rows_of(clips[has_reference], count, device)),
            each_pair(self.face, pick_branch),
            [each_pair(regions, pick_heard) for regions in self.audio],
            [pick_branch(tokens) for tokens in self.motion],
            scale_rows(pick(self.located), branch[1]),
            [pick(mask) for mask in self.masks],
            has_reference.nonzero().flatten().tolist(),
            (~has_reference).nonzero().flatten().tolist(),
        )


@dataclass(frozen=True)
class RowConditions:
    """Conditions of rows of one pass, each a clip at a branch; as `Conditions`, with these differences.

    reference: only of the rows `kept` that have one, in their order; `dropped` are the others. audio: of the last rows
    only where those before hear nothing. face (rows, tokens, C) and motion (rows, H W, M, C): of the row's branch. Rows
    may have, from outside, hooks: what is done to their hidden states per audio site, behind what is heard; and time:
    (rows, time_channels) to be added to the time embedding.
    """

    reference: list[KeysValues]
    face: list[KeysValues]
    audio: list[list[KeysValues]]
    motion: list[Tensor]
    located: Tensor
    masks: list[Tensor]
    kept: list[int]
    dropped: list[int]
    hooks: list[Hook] = field(default_factory=list)
    time: Tensor | None = None


def writer_tokens(null: Tensor, real: Tensor, images: int, tiling: BankTiling) -> Tensor:
    """Face tokens (B, 2, images, tokens, dim) for the rows of the reference net, from those of a clip (B, tokens, dim).

    `fixed`: a branch's tokens for all of its images. `released`: the public code repeats [null, real] along the rows,
    so that null and real alternate from image to image, whatever the branch.
    """
    pair = torch.stack((null, real), dim=1)
    rows = torch.arange(2 * images, device=null.device)
    index = rows % 2 if tiling == "released" else rows // images
    return pair[:, index].unflatten(1, (2, images))


def banks_of_frames(frames: int, banks: int, device: torch.device | str = "cpu") -> Tensor:
    """Which bank (frames,) each frame of a conditional row reads.

    `released` has two, null and real, in turn: the public code repeats the pair along the frames of both branches, and
    the conditional branch is the second. `fixed` has the real one only.
    """
    return (frames + torch.arange(frames, device=device)) % banks
