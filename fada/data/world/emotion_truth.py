"""The emotion of drawn clips, from the truth in their meta."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fada.data.clips.emotion import soft_label


def emotion_of_truth(meta: Mapping[str, Any]) -> Tensor | None:
    """Soft label (7,) of a drawn clip; None where its world was drawn without emotions, or it is no drawn clip.

    Raises:
        ValueError: the truth is damaged; the message says what of it.
    """
    truth = meta.get("truth")
    emotion = truth.get("emotion") if isinstance(truth, Mapping) else None
    if emotion is None:
        return None
    try:
        return soft_label(emotion["label"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"truth: tells of no emotion ({error}); draw the clip again") from error
