"""Who a drawn person is: shapes, colours and voice. Lengths are shares of the picture's side, colours RGB in [0, 1]."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fada.data.world.speech import Voice, draw_voice

Colour = tuple[float, float, float]

HAIR_STYLES = ("buzz", "side_part", "fringe", "bob", "long", "curly", "bun", "quiff", "bald")
NECKLINES = ("round", "v", "collar")
BACKDROPS = ("gradient", "spots", "stripes", "window")

# Light to dark; between neighbours the tone is interpolated.
_SKINS = ((250, 220, 200), (241, 200, 172), (226, 176, 140), (200, 146, 108), (160, 108, 76), (118, 78, 56))
_HAIRS = (
    (38, 30, 30),
    (66, 44, 34),
    (104, 66, 42),
    (150, 100, 56),
    (206, 164, 98),
    (160, 72, 38),
    (150, 148, 150),
    (112, 44, 84),
    (44, 62, 104),
)
_IRISES = ((84, 54, 36), (58, 40, 30), (70, 110, 150), (86, 128, 92), (120, 104, 60), (96, 110, 122))


@dataclass(frozen=True)
class Identity:
    """Everything about a person and the place that does not change within a clip."""

    name: str
    voice: Voice
    centre: tuple[float, float]
    head: tuple[float, float]
    """Half width and half height of the head."""
    jaw: float
    """0 round, 1 narrow chin."""
    eye_gap: float
    """Distance of each eye from the middle line."""
    eye: tuple[float, float]
    """Half width and half height of the eye opening."""
    brow_thickness: float
    brow_tilt: float
    nose: tuple[float, float]
    """Half width and length."""
    mouth_scale: float
    lip: tuple[float, float]
    """Thickness of the upper and the lower lip."""
    hair_style: str
    hair_shift: float
    """Where the parting lies, in [-1, 1]."""
    has_glasses: bool
    has_earrings: bool
    neckline: str
    backdrop: str
    backdrop_seed: int
    light: float
    """Side the light comes from: -1 left, 1 right."""
    skin: Colour
    lip_colour: Colour
    hair: Colour
    brow_colour: Colour
    iris: Colour
    cloth: Colour
    trim: Colour
    back: Colour
    back_low: Colour

    def to_meta(self) -> dict[str, Any]:
        """The identity as JSON values."""
        return asdict(self)


def identity_from_meta(meta: dict[str, Any]) -> Identity:
    """The identity that `to_meta` wrote, also after it was JSON."""
    lists = {name: tuple(value) for name, value in meta.items() if isinstance(value, list)}
    return Identity(**{**meta, **lists, "voice": Voice(**meta["voice"])})


def draw_identity(name: str, rng: np.random.Generator) -> Identity:
    """A random person. Equal generators give equal persons."""
    tone = rng.uniform(0.0, len(_SKINS) - 1.001)
    skin = _between(np.array(_SKINS[int(tone)]) / 255.0, np.array(_SKINS[int(tone) + 1]) / 255.0, tone % 1.0)
    hair = np.array(_HAIRS[int(rng.integers(len(_HAIRS)))]) / 255.0 * rng.uniform(0.9, 1.1)
    lip_tint = np.array([0.74, 0.20, 0.26]) * rng.uniform(0.85, 1.1)
    hue, cloth_hue = rng.uniform(), rng.uniform()
    value = rng.uniform(0.45, 0.92)
    return Identity(
        name=name,
        voice=draw_voice(rng),
        centre=(0.5, float(rng.uniform(0.475, 0.50))),
        head=(float(rng.uniform(0.235, 0.285)), float(rng.uniform(0.325, 0.36))),
        jaw=float(rng.uniform(0.0, 1.0)),
        eye_gap=float(rng.uniform(0.098, 0.122)),
        eye=(float(rng.uniform(0.046, 0.058)), float(rng.uniform(0.024, 0.034))),
        brow_thickness=float(rng.uniform(0.010, 0.021)),
        brow_tilt=float(rng.uniform(-0.30, 0.08)),
        nose=(float(rng.uniform(0.026, 0.042)), float(rng.uniform(0.100, 0.128))),
        mouth_scale=float(rng.uniform(0.90, 1.12)),
        lip=(float(rng.uniform(0.016, 0.024)), float(rng.uniform(0.021, 0.031))),
        hair_style=HAIR_STYLES[int(rng.choice(len(HAIR_STYLES), p=_style_shares()))],
        hair_shift=float(rng.uniform(-1.0, 1.0)),
        has_glasses=bool(rng.uniform() < 0.18),
        has_earrings=bool(rng.uniform() < 0.2),
        neckline=NECKLINES[int(rng.integers(len(NECKLINES)))],
        backdrop=BACKDROPS[int(rng.integers(len(BACKDROPS)))],
        backdrop_seed=int(rng.integers(1 << 30)),
        light=float(rng.choice([-1.0, 1.0]) * rng.uniform(0.4, 1.0)),
        skin=_colour(skin),
        lip_colour=_colour(_between(skin * np.array([0.95, 0.72, 0.72]), lip_tint, rng.uniform(0.40, 0.75))),
        hair=_colour(hair),
        brow_colour=_colour(_between(hair * 0.75, skin * 0.4, 0.3)),
        iris=_colour(np.array(_IRISES[int(rng.integers(len(_IRISES)))]) / 255.0),
        cloth=_hsv(cloth_hue, rng.uniform(0.15, 0.7), rng.uniform(0.25, 0.85)),
        trim=_hsv(cloth_hue + rng.uniform(0.3, 0.7), rng.uniform(0.0, 0.5), rng.uniform(0.6, 0.95)),
        back=_hsv(hue, rng.uniform(0.12, 0.5), value),
        back_low=_hsv(hue + rng.uniform(-0.12, 0.12), rng.uniform(0.12, 0.5), value * rng.uniform(0.55, 0.8)),
    )


def _style_shares() -> np.ndarray:
    shares = np.array([0.08, 0.15, 0.13, 0.14, 0.15, 0.12, 0.1, 0.1, 0.03])
    return shares / shares.sum()


def _between(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    return first + share * (second - first)


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = np.clip(values, 0.0, 1.0)
    return (float(red), float(green), float(blue))


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    """RGB of a hue (any real number, period 1), saturation and value in [0, 1]."""
    offsets = (hue * 6.0 + np.array([5.0, 3.0, 1.0])) % 6.0
    return _colour(value - value * saturation * np.clip(np.minimum(offsets, 4.0 - offsets), 0.0, 1.0))
