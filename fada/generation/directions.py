"""What a codec's directions move: one row of pictures for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from fada.media.contact_sheet import contact_sheet
from fada.media.image import square_resize
from fada.teacher.codec import appearance_of, decode_latents, encode_frames

if TYPE_CHECKING:
    from fada.generation.avatar_pipeline import AvatarPipeline

AMOUNTS = (-2.0, -1.0, 0.0, 1.0, 2.0)


@torch.no_grad()
def directions_sheet(pipeline: AvatarPipeline, portrait: np.ndarray, amounts: Sequence[float] = AMOUNTS) -> np.ndarray:
    """A portrait (H, W, 3) uint8, moved by each of the amounts along each direction: a row per direction.

    Raises:
        ValueError: the pipeline's codec has no directions.
    """
    pipeline.check_motion({0: 0.0})
    codec = pipeline.vae
    shown = square_resize(portrait, pipeline.config.size)
    appearance, still = appearance_of(codec, shown), encode_frames(codec, shown[None])
    rows = []
    for direction in range(codec.directions):
        moved = torch.cat([codec.along(still, direction, amount) for amount in amounts])
        rows.append(decode_latents(codec, moved, appearance))
    labels = [f"direction {number}: " + ", ".join(f"{amount:+g}" for amount in amounts) for number in range(len(rows))]
    return contact_sheet(rows, labels, columns=len(amounts), scale=max(1.0, 96 / shown.shape[0]))
