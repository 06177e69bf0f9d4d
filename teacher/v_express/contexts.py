"""Videos longer than the networks see at once: overlapping contexts whose predictions are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def context_slices(frames: int, size: int, overlap: int) -> list[slice]:
    """The contexts of a video: one where it is no longer than `size`, else as many as fill it exactly.

    Raises:
        ValueError: they do not fill it; the public script cuts such videos.
    """
    if frames <= size:
        return [slice(0, frames)]
    step = size - overlap
    missing = -(frames - size) % step
    if missing:
        raise ValueError(
            f"{frames} frames are not filled by contexts of {size} that share {overlap}: "
            f"take {frames + missing - step} or {frames + missing}"
        )
    return [slice(start, start + size) for start in range(0, frames - overlap, step)]


def mean_over_contexts(predict: Callable[[slice], Tensor], contexts: Sequence[slice]) -> Tensor:
    """Predictions (rows, F, ...) of contexts as one of the video: the mean where several see a frame, in float32.

    Averaging and guidance are linear, so their order does not matter: the public pipeline guides first.
    """
    if len(contexts) == 1:
        return predict(contexts[0])
    parts = [(frames, predict(frames)) for frames in contexts]
    first = parts[0][1]
    dtype = torch.promote_types(first.dtype, torch.float32)
    total = torch.zeros(len(first), contexts[-1].stop, *first.shape[2:], dtype=dtype, device=first.device)
    seen = torch.zeros(contexts[-1].stop, dtype=dtype, device=first.device)
    for frames, part in parts:
        total[:, frames] += part
        seen[frames] += 1
    return total / seen.reshape(-1, *[1] * (first.ndim - 2))
