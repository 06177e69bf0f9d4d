"""What is wrong with clips of quality B: the flaws of found footage, each with a magnitude that is recorded."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, shift

from fada.data.world.motion import Motion

KINDS = ("shifted_audio", "camera_jitter", "blur", "noise", "changing_background", "frozen_mouth")
"""What set B of a drawn world has."""
FURTHER_KINDS = ("short", "upscaled", "restless_head", "passing_hand")
"""Further flaws, for judging filters."""


@dataclass(frozen=True)
class Flaw:
    """One flaw; what the magnitude means depends on the kind."""

    kind: str
    magnitude: float
    """shifted_audio: frames the sound comes late (negative: early); camera_jitter and blur: standard deviation as a
    share of the side; noise: standard deviation in grey levels of 255; changing_background: share of the colour that
    changes; frozen_mouth: the aperture it is held at; short: seconds that are left; upscaled: times that a smaller
    picture was enlarged; restless_head: mean way per frame as a share of the side; passing_hand: its radius as a share
    of the side."""

    def to_meta(self) -> dict[str, str | float]:
        """The flaw as JSON values."""
        return {"kind": self.kind, "magnitude": round(self.magnitude, 4)}


def draw_flaws(rng: np.random.Generator, frames: int) -> list[Flaw]:
    """One or two different flaws of moderate size."""
    count = int(rng.integers(1, 3))
    kinds = [KINDS[number] for number in sorted(rng.choice(len(KINDS), size=count, replace=False))]
    return [Flaw(kind, _magnitude(kind, rng)) for kind in kinds]


def draw_flaw(kind: str, rng: np.random.Generator) -> Flaw:
    """One flaw of a kind, of moderate size.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in KINDS + FURTHER_KINDS:
        raise ValueError(f"no flaw {kind!r}; choose from {', '.join(KINDS + FURTHER_KINDS)}")
    return Flaw(kind, _magnitude(kind, rng))


def _magnitude(kind: str, rng: np.random.Generator) -> float:
    if kind == "shifted_audio":
        return float(rng.integers(3, 9) * rng.choice([-1, 1]))
    low, high = {
        "camera_jitter": (0.006, 0.016),
        "blur": (0.008, 0.017),
        "noise": (5.0, 14.0),
        "changing_background": (0.35, 0.8),
        "frozen_mouth": (0.0, 0.35),
        "short": (0.8, 1.6),
        "upscaled": (2.5, 4.0),
        "restless_head": (0.02, 0.04),
        "passing_hand": (0.09, 0.13),
    }[kind]
    return float(rng.uniform(low, high))


def shift_of(flaws: list[Flaw]) -> int:
    """Frames by which the sound comes late."""
    return next((int(flaw.magnitude) for flaw in flaws if flaw.kind == "shifted_audio"), 0)


def flaw_motion(motion: Motion, flaws: list[Flaw]) -> Motion:
    """The motion as shown: a frozen mouth keeps one shape."""
    for flaw in flaws:
        if flaw.kind == "frozen_mouth":
            still = np.full_like(motion.aperture, flaw.magnitude)
            motion = replace(motion, aperture=still, width=np.full_like(motion.width, motion.width.mean()))
        elif flaw.kind == "restless_head":
            motion = replace(motion, head=motion.head + _swing(len(motion.head), flaw.magnitude))
    return motion


def _swing(frames: int, step: float) -> np.ndarray:
    """A head that swings from side to side twice a second, by `step` per frame on average; (F, 2)."""
    phase = 2.0 * np.pi * 2.0 * np.arange(frames) / 25.0
    # The mean absolute step of a sine of amplitude 1 is 4 per period of 12.5 frames.
    return np.stack([step * 12.5 / 4.0 * np.sin(phase), np.zeros(frames)], axis=1)


def flaw_frames(pixels: np.ndarray, flaws: list[Flaw], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The frames with flaws, and how far the camera moved the picture, px (F, 2), x right, y down."""
    size = pixels.shape[1]
    camera = np.zeros((len(pixels), 2))
    if not flaws:
        return pixels, camera
    out = pixels.astype(np.float32)
    for flaw in flaws:
        if flaw.kind == "camera_jitter":
            camera = np.clip(rng.standard_normal((len(out), 2)), -2.0, 2.0) * flaw.magnitude * size
            for frame, (x, y) in zip(out, camera, strict=True):
                frame[:] = shift(frame, (y, x, 0.0), order=1, mode="nearest")
    for flaw in flaws:
        if flaw.kind == "blur":
            out = gaussian_filter(out, (0.0, flaw.magnitude * size, flaw.magnitude * size, 0.0), mode="nearest")
        elif flaw.kind == "passing_hand":
            _pass_hand(out, flaw.magnitude)
        elif flaw.kind == "upscaled":
            out = _enlarged(out, flaw.magnitude)
        elif flaw.kind == "noise":
            out = out + rng.standard_normal(out.shape).astype(np.float32) * flaw.magnitude
    return np.clip(out + 0.5, 0.0, 255.0).astype(np.uint8), camera


def _pass_hand(out: np.ndarray, radius: float) -> None:
    """A skin-coloured disc with a darker rim that crosses the face once, from side to side, through the eyes."""
    size = out.shape[1]
    y, x = np.mgrid[:size, :size] / size
    for number, frame in enumerate(out):
        along = number / max(1, len(out) - 1)
        centre = (1.3 * along - 0.15, 0.42 + 0.9 * (along - 0.5) ** 2)
        distance = np.hypot(x - centre[0], y - centre[1])
        frame[distance < radius] = (168.0, 120.0, 96.0)
        frame[distance < 0.82 * radius] = (224.0, 172.0, 140.0)


def _enlarged(out: np.ndarray, times: float) -> np.ndarray:
    size = out.shape[1]
    small = max(8, round(size / times))

    def resized(frame: np.ndarray, side: int) -> np.ndarray:
        image = Image.fromarray(np.clip(frame + 0.5, 0.0, 255.0).astype(np.uint8))
        return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), np.float32)

    return np.stack([resized(resized(frame, small), size) for frame in out])


def flaw_backdrop(backdrop: np.ndarray, frames: int, flaws: list[Flaw], rng: np.random.Generator) -> np.ndarray:
    """The backdrop (3, H, W) as (3, F, H, W): a changing one drifts between colours and jumps at times."""
    flaw = next((flaw for flaw in flaws if flaw.kind == "changing_background"), None)
    if flaw is None:
        return np.broadcast_to(backdrop[:, None], (3, frames, *backdrop.shape[1:]))
    anchors = rng.uniform(0.1, 0.9, (4, 3))
    position = np.cumsum(0.02 + (rng.uniform(size=frames) < 0.04) * 0.9) % 4.0
    number = position.astype(int)
    colour = anchors[number] + (anchors[(number + 1) % 4] - anchors[number]) * (position % 1.0)[:, None]
    return ((1.0 - flaw.magnitude) * backdrop[:, None] + flaw.magnitude * colour.T[:, :, None, None]).astype(np.float32)
