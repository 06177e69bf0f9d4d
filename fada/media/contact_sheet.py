"""Contact sheets: one row of evenly spaced frames per clip, with its label, in one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fada.media.error import MediaError
from fada.media.image import write_png

__all__ = ["contact_sheet", "write_png"]

_GAP = 4
_BACKGROUND = (24, 24, 24)
_TEXT = (235, 235, 235)


def contact_sheet(
    rows: Sequence[np.ndarray], labels: Sequence[str] | None = None, columns: int = 8, scale: float = 1.0
) -> np.ndarray:
    """One picture with a labelled row per clip.

    Args:
        rows: clips, uint8 (F, H, W, 3); sizes may differ between rows.
        labels: one text per row, written above it.
        columns: frames per row, evenly spaced from first to last; a shorter clip shows each frame once.
        scale: factor on the size of each frame.

    Returns:
        uint8 (H, W, 3).

    Raises:
        MediaError: no rows, a wrong number of labels, or a row of another shape.
    """
    if not rows:
        raise MediaError("a contact sheet needs at least one row of frames, got none")
    if labels is not None and len(labels) != len(rows):
        raise MediaError(f"a contact sheet needs one label per row, got {len(labels)} labels for {len(rows)} rows")
    strips = [_strip(row, columns, scale) for row in rows]
    font = ImageFont.load_default(size=14)
    label_height = 20 if labels is not None else 0
    width = max(strip.width for strip in strips) + 2 * _GAP
    height = sum(strip.height + label_height + _GAP for strip in strips) + _GAP
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    top = _GAP
    for index, strip in enumerate(strips):
        if labels is not None:
            draw.text((_GAP, top), labels[index], fill=_TEXT, font=font)
        sheet.paste(strip, (_GAP, top + label_height))
        top += strip.height + label_height + _GAP
    return np.array(sheet)


def _strip(frames: np.ndarray, columns: int, scale: float) -> Image.Image:
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or len(frames) == 0:
        raise MediaError(f"a row must be uint8 frames of shape (F, H, W, 3), got {frames.dtype} {frames.shape}")
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(columns, len(frames))).round().astype(int))
    height, width = max(1, round(frames.shape[1] * scale)), max(1, round(frames.shape[2] * scale))
    strip = Image.new("RGB", (len(chosen) * (width + _GAP) - _GAP, height), _BACKGROUND)
    for column, index in enumerate(chosen):
        frame = Image.fromarray(np.ascontiguousarray(frames[index]))
        if scale != 1.0:
            frame = frame.resize((width, height), Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST)
        strip.paste(frame, (column * (width + _GAP), 0))
    return strip
