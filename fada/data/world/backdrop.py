"""What stands behind the person: a soft gradient, with spots, stripes or a window of light."""

import numpy as np

from fada.data.world.identity import Identity


def paint_backdrop(identity: Identity, size: int) -> np.ndarray:
    """The backdrop as float32 (3, size, size) in [0, 1]."""
    axis = (np.arange(size) + 0.5) / size
    x, y = axis[None, :], axis[:, None]
    rng = np.random.default_rng(identity.backdrop_seed)
    share = np.clip(y + 0.25 * identity.light * (0.5 - x), 0.0, 1.0)
    pattern = _pattern(identity.backdrop, x, y, rng)
    planes = [
        high + (low - high) * share + 0.10 * pattern for high, low in zip(identity.back, identity.back_low, strict=True)
    ]
    return np.clip(np.stack(planes), 0.0, 1.0).astype(np.float32)


def _pattern(kind: str, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A smooth pattern within about [-1, 1]."""
    if kind == "spots":
        total = np.zeros(np.broadcast_shapes(x.shape, y.shape))
        for _ in range(7):
            cx, cy, radius = rng.uniform(0, 1), rng.uniform(0, 0.9), rng.uniform(0.05, 0.13)
            distance = np.sqrt((x - cx) ** 2 + (y - cy) ** 2)
            total = total + rng.uniform(0.4, 1.0) * np.clip((radius - distance) / 0.03 + 0.5, 0.0, 1.0)
        return total
    if kind == "stripes":
        angle, period = rng.uniform(0, np.pi), rng.uniform(0.16, 0.34)
        return 0.28 * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    if kind == "window":
        cx = rng.choice([0.14, 0.86])
        pane = np.maximum(np.abs(x - cx) - 0.16, np.abs(y - 0.28) - 0.24)
        bars = np.minimum(np.abs(x - cx), np.abs(y - 0.28)) - 0.010
        return 1.6 * np.clip(0.5 - pane / 0.02, 0.0, 1.0) * np.clip(0.5 + bars / 0.012, 0.0, 1.0)
    return 0.5 * np.cos(np.pi * (x - 0.5)) * np.cos(np.pi * (y - 0.5)) + np.zeros_like(x + y)
