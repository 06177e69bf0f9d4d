"""Measuring instrument for the drawn world: how a person's brows, lids and mouth corners are set, read from pixels.

The person is known, so the face is painted anew and fitted to the picture: brow lift and slant, lids, corners, and what
else moves beside them (gaze, opening and width of the mouth, place of the head), by damped least squares from the
likest of the emotions. What comes out is in the units of feeling.py, whatever made the picture.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from fada.data.world.backdrop import paint_backdrop
from fada.data.world.face import paint_frames
from fada.data.world.feeling import DIRECTIONS, FEATURES
from fada.data.world.identity import Identity, identity_from_meta
from fada.data.world.measure import measure_aperture
from fada.data.world.measure_head import at_rest, measure_head
from fada.data.world.mouth import look_of, opening

MOST_FRAMES = 12
"""Frames that are looked at, spread over the clip: an emotion comes and goes slowly."""
_SIDE = 64
"""Pictures are looked at in this size at least, and in less than twice of it."""
_BLINK = 0.6
"""Lids this far from the clip's median are those of a blink, or were not found, and say nothing of what is felt."""
_BLURS = (0.0, 0.003, 0.006, 0.009, 0.012, 0.016, 0.020, 0.025, 0.030)
"""Standard deviations of the softer versions of the painted faces, as shares of the side."""
_FIRST_BLUR = 0.006
_STARTS = np.concatenate([np.zeros((1, 4)), 0.5 * DIRECTIONS, DIRECTIONS])
_STEPS = {
    "brow": 0.3, "slant": 0.3, "lid": 0.2, "corner": 0.3, "gaze_x": 0.3, "gaze_y": 0.3, "width": 0.1, "aperture": 0.08,
    "head_x": 0.004, "head_y": 0.004,
}  # fmt: skip
"""What is fitted, and by how much it is changed to see what it does."""
_NAMES = tuple(_STEPS)
_LEAST = np.array([-2.5, -2.5, -2.2, -2.5, -1.2, -1.2, 0.0, 0.0, -0.1, -0.1])
_MOST = np.array([3.0, 2.5, 2.0, 2.5, 1.2, 1.2, 1.0, 1.15, 0.1, 0.1])
_TOGETHER = (
    ("brow", "corner"), ("slant", "width"), ("lid", "aperture"), ("gaze_x",), ("gaze_y",), ("head_x",), ("head_y",),
)  # fmt: skip
"""What is changed in one painting: of a pair the first shows above the middle of the head, the second below."""
_LOWER = {"corner", "width", "aperture"}
_TRIED = 3
"""Emotions, likest first, that are fitted to a few frames; the one that fits best goes on."""
_WORSE, _RIGHT = 1.3, 0.3
"""Frames are tried again whose error is so many times the clip's median, and more than so many grey levels."""
_ROUNDS = 6
_PRIOR = 2e-4
"""How strongly what cannot be seen is held where it is, against squared colour differences summed over pixels."""


@dataclass(frozen=True)
class ExpressionSeen:
    """frames: (N,) numbers of the frames that were looked at; features: (N, 4) in the order of `feeling.FEATURES`;
    error: (N,) mean absolute difference of what was painted, grey levels of 255."""

    frames: np.ndarray
    features: np.ndarray
    error: np.ndarray


def measure_expression(frames: np.ndarray, truth: Mapping[str, Any], most: int = MOST_FRAMES) -> ExpressionSeen:
    """How the face of a drawn clip is set in some of its frames.

    Args:
        frames: uint8 (F, H, H, 3), true or generated, at any size.
        truth: ``meta["truth"]`` of the drawn clip.
        most: frames that are looked at.

    Returns:
        On clean, blurred and noisy renders of 64 pixels features are off by some 0.03 in the mean.

    Raises:
        ValueError: the pictures are not square uint8 RGB, or there are more of them than the truth describes.
    """
    _check(frames, truth)
    identity = identity_from_meta(truth["person"])
    chosen = np.unique(np.linspace(0, len(frames) - 1, most).round().astype(int))
    small = _reduced(frames)
    size = small.shape[1]
    heads = measure_head(small[chosen], truth).offset / size
    largest = float(opening(look_of(identity), np.ones(1))[0]) * size
    apertures = measure_aperture(small, truth)[chosen] / largest
    fit = _Fit(small[chosen], identity, heads)
    start = np.zeros((len(chosen), len(_NAMES)))
    start[:, _NAMES.index("width")], start[:, _NAMES.index("aperture")] = 0.5, apertures
    start[:, -2:] = heads
    found, error = fit.refined(fit.likest(start))
    if fit.is_sharpened(found):
        found, error = fit.refined(found)
    found, error = fit.retried(found, error)
    features = found[:, : len(FEATURES)].copy()
    lid = features[:, FEATURES.index("lid")]
    # A view: what is felt moves lids slowly, so those of a blink are no part of it.
    lid[np.abs(lid - np.median(lid)) > _BLINK] = np.median(lid)
    return ExpressionSeen(chosen, features, error)


def _check(frames: np.ndarray, truth: Mapping[str, Any]) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1] != frames.shape[2] or frames.shape[3] != 3:
        raise ValueError(f"frames must be uint8 (F, H, H, 3), got {frames.dtype} {frames.shape}")
    if len(frames) > len(truth["aperture"]):
        raise ValueError(
            f"the truth describes {len(truth['aperture'])} frames, got {len(frames)}; cut the frames to the clip"
        )


def _reduced(frames: np.ndarray) -> np.ndarray:
    """Large pictures in means of whole squares, down to `_SIDE` at least: painting them anew costs by the pixel."""
    times = max(1, frames.shape[1] // _SIDE)
    side = frames.shape[1] // times
    kept = frames[:, : side * times, : side * times].astype(np.float32)
    means = kept.reshape(len(frames), side, times, side, times, 3).mean((2, 4))
    return np.clip(means + 0.5, 0.0, 255.0).astype(np.uint8) if times > 1 else frames


class _Fit:
    """Paints the person as parameters (N, 10) say, and compares the face with pictures."""

    def __init__(self, frames: np.ndarray, identity: Identity, heads: np.ndarray) -> None:
        self.identity, self.size = identity, frames.shape[1]
        centre = np.array(identity.centre)
        middle = (centre + heads.mean(0)) * self.size
        across, above, below = 0.80 * identity.head[0], 0.20, 0.53 * identity.head[1] + 0.10
        self.rows = self._slice(middle[1] - above * self.size, middle[1] + below * self.size)
        self.columns = self._slice(middle[0] - across * self.size, middle[0] + across * self.size)
        self.seen = frames[:, self.rows, self.columns].astype(np.float32) / 255.0
        heights = (np.arange(self.rows.start, self.rows.stop) + 0.5) / self.size
        self.is_lower = heights[None] > (centre[1] + heads[:, 1])[:, None]
        backdrop = paint_backdrop(identity, self.size)
        self.backdrop, self.blur = backdrop[:, None], 0.0

    def _slice(self, low: float, high: float) -> slice:
        return slice(max(0, round(low)), min(self.size, round(high)))

    def painted(self, parameters: np.ndarray) -> np.ndarray:
        """(N, h, w, 3) in [0, 1] of the face, as soft as the pictures are."""
        return self.softened(self.whole(parameters), self.blur)

    def softened(self, whole: np.ndarray, blur: float) -> np.ndarray:
        """The face of whole pictures (N, H, H, 3), softened."""
        if blur:
            whole = gaussian_filter(whole, (0.0, blur * self.size, blur * self.size, 0.0), mode="nearest")
        part: np.ndarray = whole[:, self.rows, self.columns]
        return part

    def whole(self, parameters: np.ndarray) -> np.ndarray:
        """(N, H, H, 3) in [0, 1], sharp."""
        value = dict(zip(_NAMES, parameters.T, strict=True))
        rest = at_rest(parameters[:, -2:])
        motion = replace(
            rest,
            brow=value["brow"],
            slant=value["slant"],
            lid=value["lid"],
            corners=np.stack([value["corner"], value["corner"]], axis=1),
            gaze=parameters[:, 4:6],
            width=value["width"],
            aperture=value["aperture"],
        )
        backdrops = np.broadcast_to(self.backdrop, (3, len(parameters), self.size, self.size))
        return paint_frames(self.identity, motion, backdrops).astype(np.float32) / np.float32(255.0)

    def likest(self, start: np.ndarray) -> np.ndarray:
        """The start with the features of the emotion that the clip is likest; the blur that fits it best is kept."""
        self.blur = _FIRST_BLUR
        some = np.unique(np.linspace(0, len(start) - 1, 5).round().astype(int))
        starts = [np.concatenate([np.tile(features, (len(start), 1)), start[:, 4:]], axis=1) for features in _STARTS]
        errors = [float(_squares(self.painted(each[some]), self.seen[some]).sum()) for each in starts]
        best, least, blur = start, np.inf, self.blur
        for number in np.argsort(errors)[:_TRIED]:
            tried = self._looking(starts[number])
            part, found = self._of(some), tried[some]
            for _ in range(3):
                # Only a fitted face tells how sharp the picture is: a wrong gaze looks better when it is blurred.
                found, error = part.refined(found, rounds=4)
                part.is_sharpened(found)
            if np.median(error) < least:
                best, least, blur = tried, float(np.median(error)), part.blur
            if least < _RIGHT:
                break
        self.blur = blur
        return best

    def retried(self, found: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Parameters and errors, of frames that fit worse than the others after another start: as the others feel."""
        worse = np.flatnonzero((error > _WORSE * np.median(error)) & (error > _RIGHT))
        if not len(worse):
            return found, error
        part, start = self._of(worse), found[worse]
        start[:, :4] = np.median(found, axis=0)[:4]
        again, other = part.refined(part._looking(start))
        is_better = other < error[worse]
        found, error = found.copy(), error.copy()
        found[worse[is_better]], error[worse[is_better]] = again[is_better], other[is_better]
        return found, error

    def _of(self, some: np.ndarray) -> _Fit:
        """The same for some of the frames."""
        part = copy.copy(self)
        part.seen, part.is_lower = self.seen[some], self.is_lower[some]
        return part

    def _looking(self, start: np.ndarray) -> np.ndarray:
        """The start of each frame with the gaze and the lids, closing ones too, that it is likest."""
        lid, gaze = _NAMES.index("lid"), _NAMES.index("gaze_x")
        tries = []
        for way, closing in product((-0.7, 0.0, 0.7), (0.0, 1.0, 2.2)):
            tried = start.copy()
            tried[:, lid], tried[:, gaze] = np.maximum(start[:, lid] - closing, _LEAST[lid]), way
            tries.append(tried)
        errors = np.stack([_squares(self.painted(each), self.seen) for each in tries])
        each = np.arange(len(start))
        chosen: np.ndarray = np.stack(tries)[errors.argmin(0), each]
        return chosen

    def is_sharpened(self, parameters: np.ndarray) -> bool:
        """Whether another blur than before fits faces with these parameters best, which is kept.

        The better half of the frames decides: one that is not fitted yet says nothing.
        """
        sharp, before = self.whole(parameters), self.blur
        half = (len(parameters) + 1) // 2
        errors = [np.sort(_squares(self.softened(sharp, blur), self.seen))[:half].sum() for blur in _BLURS]
        self.blur = _BLURS[int(np.argmin(errors))]
        return self.blur != before

    def refined(self, parameters: np.ndarray, rounds: int = _ROUNDS) -> tuple[np.ndarray, np.ndarray]:
        """Parameters that fit each frame best, from here; and the mean absolute difference (N,)."""
        start, count = parameters, len(parameters)
        drawn = self.painted(parameters)
        damping = np.full(count, 1e-3)
        for turn in range(rounds):
            if turn % 2 == 0:
                slopes = self._slopes(parameters, drawn)
            apart = (self.seen - drawn).reshape(count, -1)
            products = slopes @ slopes.transpose(0, 2, 1)
            diagonal = np.einsum("npp->np", products)
            left = products + (damping[:, None] * diagonal + _PRIOR)[:, :, None] * np.eye(len(_NAMES))
            right = (slopes @ apart[:, :, None])[:, :, 0] + _PRIOR * (start - parameters) / _scales()
            # In units of the steps, so that all are alike.
            change = np.linalg.solve(left, right[:, :, None])[:, :, 0] * _scales()
            tried = np.clip(parameters + change, _LEAST, _MOST)
            again = self.painted(tried)
            is_better = _squares(again, self.seen) < _squares(drawn, self.seen)
            parameters = np.where(is_better[:, None], tried, parameters)
            drawn = np.where(is_better[:, None, None, None], again, drawn)
            damping = np.where(is_better, damping * 0.3, damping * 10.0)
        return parameters, 255.0 * np.abs(drawn - self.seen).mean((1, 2, 3))

    def _slopes(self, parameters: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """(N, 10, values) what a step of each parameter does to the picture."""
        count = len(parameters)
        slopes = np.zeros((count, len(_NAMES), *drawn.shape[1:]), np.float32)
        lower = self.is_lower[:, :, None, None]
        for names in _TOGETHER:
            at = [_NAMES.index(name) for name in names]
            moved = parameters.copy()
            # Toward the middle of its range: beyond its ends a parameter does nothing.
            signs = np.where(parameters[:, at] > 0.5 * (_LEAST + _MOST)[at], -1.0, 1.0)
            moved[:, at] += signs * _scales()[at]
            change = self.painted(moved) - drawn
            for place, name, sign in zip(at, names, signs.T, strict=True):
                is_there = 1.0 if len(names) == 1 else lower if name in _LOWER else ~lower
                slopes[:, place] = change * is_there * sign[:, None, None, None]
        return slopes.reshape(count, len(_NAMES), -1)


def _scales() -> np.ndarray:
    return np.array(list(_STEPS.values()))


def _squares(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    total: np.ndarray = np.square(one - two).sum((1, 2, 3))
    return total
