"""Measuring instruments for the drawn world: how far a mouth is open, read from the pixels.

The colours of lips, teeth, tongue and skin are known, and so is where the mouth sits. The middle columns of the mouth
are compared with the same columns painted at many openings, and the best one is refined between its neighbours. This
stays meaningful on blurred and noisy pictures, where naming every pixel's colour does not.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from fada.data.world.canvas import Canvas
from fada.data.world.measure_head import measure_head
from fada.data.world.mouth import JAW_SHARE, MouthLook, opening, paint_mouth, skin_light

_HALF_STRIP = 0.020
"""Half width of the columns looked at, as a share of the side."""
_ABOVE, _BELOW = 0.045, 0.165
"""Rows looked at around the closed lips, as shares of the side."""
_SEARCH = 0.040
"""How far the mouth may lie from its known height: generated heads sway in their own way."""
_LARGEST = 1.15
"""Largest aperture looked for: pictures may open the mouth wider than any truth."""
_APERTURES, _SHIFTS = 47, 25
_BLURS = (0.008, 0.016, 0.024)
"""Standard deviations of the softer versions of the painted mouths, as shares of the side."""
_GAINS = (0.9, 1.0, 1.1)


def measure_aperture(frames: np.ndarray, truth: Mapping[str, Any]) -> np.ndarray:
    """Height of the mouth opening in pixels, one value per frame.

    Args:
        frames: uint8 (F, H, W, 3) square pictures of the clip whose truth this is, true or generated, at any size.
        truth: ``meta["truth"]`` of the drawn clip: colours, shape and where the mouth is in each frame.

    Returns:
        float64 (F,), in pixels of `frames`; on clean renders at 64 pixels the error stays below half a pixel.

    Raises:
        ValueError: the pictures are not square uint8 RGB, or there are more of them than the truth describes.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1] != frames.shape[2] or frames.shape[3] != 3:
        raise ValueError(f"frames must be uint8 (F, H, H, 3), got {frames.dtype} {frames.shape}")
    centres = np.asarray(truth["mouth_centre"], dtype=np.float64)
    if len(frames) > len(centres):
        raise ValueError(f"the truth describes {len(centres)} frames, got {len(frames)}; cut the frames to the clip")
    size = frames.shape[1]
    centres = centres[: len(frames)] * (size / truth["size"])
    if truth.get("moves_freely"):
        # Where the true head is says nothing of where a generated one is.
        true_heads = np.asarray(truth["head"], dtype=np.float64)[: len(frames)] * (size / truth["size"])
        centres = centres - true_heads + measure_head(frames, truth).offset
    look = MouthLook(**truth["mouth_look"])
    apertures = np.linspace(0.0, _LARGEST, _APERTURES)
    rows = np.arange(round(-_ABOVE * size), round(_BELOW * size) + 1)
    shifts = np.linspace(-1.0, 1.0, _SHIFTS) * (_SEARCH * size + 0.5)
    bank = _paint_bank(look, apertures, shifts, rows, size)
    observed, offsets = _mouth_columns(frames, centres, rows, size)
    # Generated pictures are often softer or darker than the truth: the clip as a whole decides how much.
    softer = [bank] + [gaussian_filter1d(bank, blur * size, axis=2, mode="nearest") for blur in _BLURS]
    versions = (_squared_errors(observed, gain * soft) for soft in softer for gain in _GAINS)
    errors = min(versions, key=lambda version: version.min(axis=(1, 2)).sum())
    # A mouth far from its known height must fit clearly better to be believed.
    distance = (shifts[None, :] - offsets[:, None]) / (_SEARCH * size)
    errors += 6e-3 * len(rows) * np.square(distance)[:, None, :]
    # Height and opening are found together, then the opening is refined at that height.
    along = errors.min(axis=2)
    return opening(look, _refine(apertures, along)) * size


def _paint_bank(look: MouthLook, apertures: np.ndarray, shifts: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    """Columns (apertures, shifts, rows, 3) of painted mouths, averaged across the strip."""
    half = _strip(size)
    columns = 2 * half + 1
    count = len(apertures) * len(shifts)
    aperture, shift = (grid.reshape(-1) for grid in np.meshgrid(apertures, shifts, indexing="ij"))
    below_head = look.height + (rows[None, :] - shift[:, None]) / size
    chin = look.chin + JAW_SHARE * opening(look, aperture)[:, None]
    light = skin_light(np.zeros(1), below_head / chin, look.light)
    skin = np.array(look.skin)[:, None, None, None] * light[None, :, :, None]
    canvas = Canvas(np.broadcast_to(skin, (3, count, len(rows), columns)), size)
    # The middle of the strip's middle pixel is the mouth's middle; row number 0 of `rows` is the one that holds it.
    point = np.stack([np.full(count, half + 0.5), shift - rows[0] + 0.5], axis=1) / size
    paint_mouth(canvas, point, look, aperture, np.full(count, 0.5))
    return canvas.pixels.mean(axis=3).transpose(1, 2, 0).reshape(len(apertures), len(shifts), len(rows), 3)


def _strip(size: int) -> int:
    return max(1, round(_HALF_STRIP * size))


def _mouth_columns(
    frames: np.ndarray, centres: np.ndarray, rows: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The strips' mean colours (F, rows, 3) in [0, 1], and each mouth's known height within its pixel row."""
    pixel = np.floor(centres).astype(int)
    half = _strip(size)
    row = np.clip(pixel[:, 1:2] + rows, 0, size - 1)
    column = np.clip(pixel[:, 0:1] + np.arange(-half, half + 1), 0, size - 1)
    strips = frames[np.arange(len(frames))[:, None, None], row[:, :, None], column[:, None, :]]
    return strips.mean(axis=2) / 255.0, centres[:, 1] - pixel[:, 1] - 0.5


def _squared_errors(observed: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """(F, apertures, shifts) sum of squared colour differences."""
    flat = bank.reshape(-1, bank.shape[2] * 3).astype(np.float64)
    seen = observed.reshape(len(observed), -1)
    errors = np.square(seen).sum(1)[:, None] - 2.0 * seen @ flat.T + np.square(flat).sum(1)
    return errors.reshape(len(observed), *bank.shape[:2])


def _refine(grid: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Where the errors (F, grid) are least: the vertex of the parabola through the best point and its neighbours."""
    best = errors.argmin(axis=1)
    inner = np.clip(best, 1, len(grid) - 2)
    each = np.arange(len(errors))
    left, middle, right = errors[each, inner - 1], errors[each, inner], errors[each, inner + 1]
    curvature = left - 2.0 * middle + right
    step = np.where(curvature > 1e-12, 0.5 * (left - right) / np.maximum(curvature, 1e-12), 0.0)
    is_inner = best == inner
    step = np.where(is_inner, np.clip(step, -1.0, 1.0), (best - inner).astype(np.float64))
    return grid[inner] + step * (grid[1] - grid[0])
