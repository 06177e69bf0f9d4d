"""Keypoints of drawn clips, from the truth in their meta: the geometry that the renderer painted by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fada.data.clips.keypoints import Keypoints, make_keypoints
from fada.data.world.face import eye_offset, nose_offset
from fada.data.world.identity import identity_from_meta
from fada.data.world.mouth import lip_boxes, lip_corners, look_of

_NEEDED = {"size", "head_centre", "mouth_centre", "aperture", "width", "person"}


def keypoints_of_truth(meta: Mapping[str, Any]) -> Keypoints | None:
    """Keypoints of a drawn clip; None where its meta holds no truth of a face.

    Eyes are the middles between their corners, whether open or closed and wherever they look; the nose is the middle of
    its round tip; mouth corners are where the painted lips end, lifted by a smile. All of it moves with the head, and
    with a shaking camera. The lips' box holds both lips and what is open between them.

    Clips of version 2 drawn before their truth told how far a smile lifts each corner have these two as not visible,
    on the height at which an even smile would lift them.

    Raises:
        ValueError: the truth is damaged; the message says what of it.
    """
    truth = meta.get("truth")
    if not isinstance(truth, Mapping) or not truth.keys() >= _NEEDED:
        return None
    try:
        return _keypoints(truth)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(f"truth: not that of a drawn face ({error}); draw the clip again") from error


def _keypoints(truth: Mapping[str, Any]) -> Keypoints:
    size = float(truth["size"])
    identity = identity_from_meta(truth["person"])
    head, mouth = (_column(truth, name, 2) / size for name in ("head_centre", "mouth_centre"))
    aperture, width = (_column(truth, name) for name in ("aperture", "width"))
    knows_corners = "corners" in truth or not truth.get("moves_freely")
    if "corners" in truth:
        corners = _column(truth, "corners", 2)
    else:
        smile = _column(truth, "expression") if truth.get("moves_freely") else np.zeros(len(head))
        corners = np.stack([smile, smile], axis=1)
    look = look_of(identity)
    above = np.array([eye_offset(identity, -1.0), eye_offset(identity, 1.0), nose_offset(identity)])
    points = np.concatenate([head[:, None] + above, mouth[:, None] + lip_corners(look, width, corners)], axis=1)
    boxes = np.concatenate([mouth, mouth], axis=1) + lip_boxes(look, aperture, width, corners)
    if not (np.isfinite(points).all() and np.isfinite(boxes).all()):
        raise ValueError("numbers that are not finite")
    return make_keypoints(points, boxes, np.array([True, True, True, knows_corners, knows_corners]))


def _column(truth: Mapping[str, Any], name: str, width: int | None = None) -> np.ndarray:
    """Numbers of every frame: (F,) or (F, width).

    Raises:
        ValueError: they are of another shape.
    """
    values = np.array(truth[name], np.float64)
    if values.ndim != (1 if width is None else 2) or (width is not None and values.shape[1] != width):
        raise ValueError(f"{name} has shape {values.shape}")
    return values
