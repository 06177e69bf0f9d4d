"""Where eyes and nose are, as the pictures that V-Express is shown: the V of the V-Kps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fada.teacher.hallo.projections import FaceLocator

if TYPE_CHECKING:
    from fada.data.clips.keypoints import Keypoints

GUIDER_CHANNELS = (16, 32, 96, 256)
DRAWN = 3
"""Of the keypoints of a clip, the first so many: the mouth is what the sound shall tell."""
RADIUS = 4
"""Of a point, and half the width of a stick, in pixels."""
STICK_BRIGHTNESS = 0.6
EDGE = 0.6
"""What a polygon's own border adds to an ellipse, in pixels."""


def keypoint_guider(out_channels: int = 320) -> FaceLocator:
    """The network of `v_kps_guider.bin`: the layers and names of Hallo's face locator, both ControlNet's, wider."""
    return FaceLocator(out_channels, GUIDER_CHANNELS)


def keypoint_pictures(keypoints: Keypoints, height: int, width: int) -> Tensor:
    """Pictures (..., 3, height, width) in [0, 1] of the eyes and the nose of keypoints (..., 5, 2).

    What is not visible is not drawn, nor a stick to it: the public code draws all, and was trained where all is seen.
    """
    shown = slice(0, DRAWN)
    x, y = keypoints.points[..., shown, :].unbind(-1)
    return draw_keypoints(torch.stack((x * width, y * height), -1), height, width, keypoints.visible[..., shown])


def draw_keypoints(points: Tensor, height: int, width: int, visible: Tensor | None = None) -> Tensor:
    """Pictures (..., 3, height, width) in [0, 1] of points (..., 3, 2): left eye, right eye, nose, as pixels (x, y).

    Each point has its colour (red, green, blue) and both eyes a darker stick in theirs to the nose, an ellipse that is
    8 pixels wide; on black. What is drawn later covers: sticks, then points.

    Args:
        visible: (..., 3) booleans; points that are not, and sticks that end in one, are not drawn.

    Source: draw_v_kps_image in datasets/utils.py of tencent-ailab/V-Express. It fills polygons of whole pixels, so
    borders differ: 2 % of what is drawn.
    """
    rows = torch.arange(height, device=points.device)[:, None]
    columns = torch.arange(width, device=points.device)
    points = points.float()
    picture = torch.zeros(*points.shape[:-2], 3, height, width, device=points.device)

    def paint(covered: Tensor, colour: int, brightness: float) -> None:
        fill = torch.zeros(3, 1, 1, device=points.device)
        fill[colour] = brightness
        picture.copy_(torch.where(covered[..., None, :, :], fill, picture))

    def offsets(centre: Tensor) -> tuple[Tensor, Tensor]:
        x, y = centre.trunc()[..., None, None].unbind(-3)
        return columns - x, rows - y

    def seen(index: int) -> Tensor | bool:
        return True if visible is None else visible[..., index, None, None]

    for eye in range(2):
        x_end, y_end = (points[..., eye, :] - points[..., 2, :]).unbind(-1)
        angle = torch.atan2(y_end, x_end).rad2deg().trunc().deg2rad()[..., None, None]
        half = (torch.hypot(x_end, y_end) / 2).trunc()[..., None, None]
        x, y = offsets((points[..., eye, :] + points[..., 2, :]) / 2)
        along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
        inside = (along / (half + EDGE)) ** 2 + (across / (RADIUS + EDGE)) ** 2 <= 1
        paint(inside & seen(eye) & seen(2), eye, int(255 * STICK_BRIGHTNESS) / 255)
    for index in range(3):
        x, y = offsets(points[..., index, :])
        paint((x**2 + y**2 <= RADIUS**2) & seen(index), index, 1.0)
    return picture
