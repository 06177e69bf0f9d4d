"""Cuts between scenes, found as frames come (PySceneDetect's content detector)."""

from __future__ import annotations

import numpy as np

_SIDE = 256
"""Cuts show in small pictures as well, at a fraction of the time."""
_THRESHOLD = 27.0
"""Of the mean change of brightness (the largest of red, green and blue) from frame to frame, of 255: PySceneDetect's
own default. Hue is left out: that of grey surfaces changes at random with compression."""


class CutFinder:
    """Asked frame after frame whether a new scene begins there."""

    def __init__(self) -> None:
        from scenedetect import ContentDetector

        self._detector = ContentDetector(threshold=_THRESHOLD, min_scene_len=1, luma_only=True)
        self._count = 0

    def begins_scene(self, pixels: np.ndarray) -> bool:
        """Whether this frame, uint8 (H, W, 3), is the first after a cut; False for the very first."""
        step = max(1, max(pixels.shape[:2]) // _SIDE)
        # OpenCV's order of colours.
        small = np.ascontiguousarray(pixels[::step, ::step, ::-1])
        found = self._detector.process_frame(self._count, small)
        self._count += 1
        return self._count - 1 in found and self._count > 1
