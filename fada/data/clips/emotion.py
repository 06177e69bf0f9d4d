"""Emotions as models are given them: soft labels over seven classes, in the order of FLOAT's public code.

Where a sample's label comes from is sample_emotion.py. torch is loaded where a model's label is made: processes that
draw clips do without.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""The classes in their order."""
NEUTRAL = EMOTIONS.index("neutral")
_SLACK = 1e-3
"""By how much shares may miss 1: classifiers round."""


def emotion_of(named: Mapping[str, float]) -> Tensor:
    """Soft label (7,) float32 of shares by name; what they leave to 1 is neutral's.

    Raises:
        ValueError: as `shares_of`.
    """
    import torch

    return torch.tensor(shares_of(named), dtype=torch.float32)


def shares_of(named: Mapping[str, float]) -> list[float]:
    """The same as seven numbers, without torch.

    Raises:
        ValueError: a name is no emotion's, a share is no number in [0, 1], or they are over 1 together.
    """
    label = [0.0] * len(EMOTIONS)
    for name, share in named.items():
        if name not in EMOTIONS:
            raise ValueError(f"emotion: no emotion named {str(name)[:64]!r}; choose from {', '.join(EMOTIONS)}")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ValueError(f"emotion: {name}: must be a share between 0 and 1, got {share!r}; 0.8 is most of it")
        label[EMOTIONS.index(name)] += float(share)
    total = math.fsum(label)
    if total > 1 + _SLACK:
        said = " and ".join(f"{name}={share:g}" for name, share in named.items())
        raise ValueError(f"emotion: shares must be 1 together at most, got {said} = {total:g}; lower one of them")
    label[NEUTRAL] += max(0.0, 1 - total)
    return label


def soft_label(values: Any) -> Tensor:
    """Values as a soft label (7,) float32.

    Raises:
        ValueError: they are not seven shares in the order of `EMOTIONS` that sum to 1.
    """
    import torch

    try:
        label = torch.as_tensor(values).detach().float().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"emotion: must be shares by name or {len(EMOTIONS)} numbers, got {type(values).__name__}; "
                         "give {'happy': 0.8}") from error  # fmt: skip
    if label.shape != (len(EMOTIONS),):
        raise ValueError(
            f"emotion: a soft label has {len(EMOTIONS)} shares ({', '.join(EMOTIONS)}), got shape {tuple(label.shape)}"
        )
    total = float(label.sum())
    if not (bool((label >= 0).all()) and abs(total - 1) <= _SLACK):
        raise ValueError(
            f"emotion: shares must be at least 0 and sum to 1, got {[round(share, 4) for share in label.tolist()]} "
            f"with sum {total:g}; divide them by their sum"
        )
    return label


def asked_emotion(asked: Mapping[str, float] | Tensor | None) -> Tensor:
    """The soft label (7,) of what a call asks for: shares by name, a soft label, or neutral where nothing is said.

    Raises:
        ValueError: as `emotion_of` and `soft_label`.
    """
    if asked is None:
        return emotion_of({})
    return emotion_of(asked) if isinstance(asked, Mapping) else soft_label(asked)
