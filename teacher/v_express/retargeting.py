"""Keypoints of a driving video moved onto another face: V-Express's naive retargeting, and going without."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from fada.data.clips.keypoints import Keypoints
from fada.teacher.v_express.keypoints import DRAWN as SHOWN

Retargeting = Literal["still", "unchanged", "naive"]
"""`still`: the portrait's own points in every frame, nothing is driven. `unchanged`: the driving video's points as they
are. `naive`: see `retarget_naively`. The public script calls them fix_face, no_retarget and naive_retarget."""
_LEAST = 1e-6
"""Shortest side of a face, in the points' unit."""


def retarget(portrait: Tensor, driving: Tensor | None, way: Retargeting, frames: int) -> Tensor:
    """Points (frames, 3, 2) of eyes and nose for a video of a portrait.

    Args:
        portrait: (3, 2) left eye, right eye, nose, x and y in one unit: pixels, or shares of a square picture.
        driving: (N, 3, 2) in the same unit, of a video of the same picture size, brought to `frames` by
            `stretch_keypoints`; not needed for `still`.

    Raises:
        ValueError: there is no such way, no driving points for it, or a face whose points lie on a line or on each
            other.
    """
    if way not in get_args(Retargeting):
        raise ValueError(f"retargeting: no way {way!r}; choose from {', '.join(get_args(Retargeting))}")
    if way == "still":
        return portrait.expand(frames, -1, -1)
    if driving is None or not len(driving):
        raise ValueError(f"retargeting: {way} needs the keypoints of a driving video; give them, or take still")
    stretched = stretch_keypoints(driving, frames)
    return stretched if way == "unchanged" else retarget_naively(portrait, stretched)


def retargeted(portrait: Keypoints, driving: Keypoints | None, way: Retargeting, frames: int) -> Keypoints:
    """Keypoints (frames, ...) for a video of a portrait, whose own are (5, ...); see `retarget`.

    Mouths are not driven: they stay the portrait's.
    """
    own = portrait.points[:SHOWN]
    moved = retarget(own, None if driving is None else driving.points[:, :SHOWN], way, frames)
    points = torch.cat([moved, portrait.points[SHOWN:].expand(frames, -1, -1)], dim=1)
    inside = ((points >= 0) & (points <= 1)).all(-1)
    return Keypoints(points, inside, portrait.lip_box.expand(frames, -1))


def retarget_naively(portrait: Tensor, driving: Tensor) -> Tensor:
    """The driving video's points (F, 3, 2), sized like the portrait's face, that begin with the portrait's nose.

    The frame is taken that looks aside as the portrait does: whose ratio of the nose's distances from left and right
    eye is nearest to the portrait's (the first of equals). All x are multiplied by what makes that frame's eyes as far
    apart as the portrait's, all y by what makes its nose as far from the line between the eyes; then everything is
    shifted so that the nose of frame 0 lies on the portrait's.

    Args:
        portrait: (3, 2). driving: (F, 3, 2).

    Raises:
        ValueError: points of the portrait or of the taken frame lie on a line or on each other.

    Source: retarget_kps in pipelines/utils.py of tencent-ailab/V-Express, with only_offset False. Its search compares
    each frame's difference with the last taken frame's ratio, which is about 1, instead of its difference, so that it
    takes the last frame of nearly any video; ours takes the nearest.
    """
    difference = (_aside(driving) - _aside(portrait)).abs()
    taken = driving[int(difference.argmin())]
    scale = _size(portrait, "the portrait's") / _size(taken, "the driving video's")
    scaled = driving * scale
    return scaled - scaled[0, 2] + portrait[2]


def stretch_keypoints(points: Tensor, frames: int) -> Tensor:
    """Points (N, K, 2) of a video as those of one of `frames`: longer ones are cut, shorter ones stretched by straight
    lines between middles of frames, as the public script does."""
    cut = points[:frames]
    if len(cut) == frames:
        return cut
    columns = cut.flatten(1).T[None]
    stretched = F.interpolate(columns, frames, mode="linear", align_corners=False)
    return stretched[0].T.unflatten(1, points.shape[1:])


def _aside(points: Tensor) -> Tensor:
    """The nose's distance from the left eye over that from the right one, of faces (..., 3, 2)."""
    left, right = ((points[..., eye, :] - points[..., 2, :]).norm(dim=-1) for eye in (0, 1))
    return left / (right + _LEAST)


def _size(points: Tensor, whose: str) -> Tensor:
    """Width and height (2,) of a face (3, 2): between the eyes, and from the nose to the line between them."""
    between = points[1] - points[0]
    width = between.norm()
    share = ((points[2] - points[0]) @ between / (between @ between).clamp(min=_LEAST**2)).clamp(0, 1)
    height = (points[2] - points[0] - share * between).norm()
    if min(float(width), float(height)) < _LEAST:
        raise ValueError(
            f"retargeting: {whose} eyes and nose lie on a line or on each other ({points.tolist()}), which says "
            "nothing of the face's size; take a picture that shows the face from the front"
        )
    return torch.stack([width, height])
