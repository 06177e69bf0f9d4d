"""What the sound leaves open (version 2 of the world): several ways that are all right, of which a clip shows one.

Head postures, gaze, blinks, brows and expression are drawn without regard to the sound. Mouths follow it, as loudly as
it is; half of them only partly, as in footage that is dubbed or talked over, so that a model of such clips is sure
of the mouth only under guidance.
"""

from dataclasses import dataclass, replace

import numpy as np

from fada.data.world.identity import HAIR_STYLES, Identity
from fada.data.world.motion import FPS, Motion, at_frames, blinks, mouth_shape
from fada.data.world.speech import Speech, plan_speech

POSTURES = np.array([[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
"""Ways to hold the head, or to look: straight, to either side, up, down."""
HEAD_REACH = np.array([0.034, 0.022])
"""How far a posture moves the head, as a share of the side."""
GAZES = np.concatenate([POSTURES, POSTURES[1:] @ np.array([[0.7, 0.7], [-0.7, 0.7]])])
EXPRESSIONS = np.array([[-1.0], [0.0], [0.0], [1.0]])
BROWS = np.array([[0.0], [0.0], [1.0]])
LOOSE_SHARE = 0.5
"""Share of clips whose mouth follows another speech as well, by four tenths or more."""
LEFT_OUT_HAIR = ("curly", "bun", "quiff")
"""Looks that a restricted set A does not show; glasses are another."""


@dataclass(frozen=True)
class Reach:
    """How far a set of clips goes.

    effort: smallest and largest loudness of the speech, which opens the mouth as far.
    posture: factor on head postures.
    """

    effort: tuple[float, float]
    posture: float


FULL = Reach((0.5, 1.0), 1.0)
NARROW = Reach((0.45, 0.65), 0.6)
"""A set A that leaves something out."""
BEYOND = Reach((0.85, 1.0), 1.0)
"""What such a set leaves out."""


def draw_effort(reach: Reach, rng: np.random.Generator) -> float:
    """How loudly a clip's person speaks, in [0, 1]."""
    return float(rng.uniform(*reach.effort))


def move_freely(speech: Speech, frames: int, effort: float, reach: Reach, rng: np.random.Generator) -> Motion:
    """A motion that goes with `speech`, one of many; frame f shows the moment (f + 0.5) / 25 s."""
    voiced, width = mouth_shape(speech, frames)
    voiced = effort * voiced
    other, other_width = mouth_shape(plan_speech(rng, frames / FPS), frames)
    loose = float(rng.uniform(0.4, 1.0)) if rng.uniform() < LOOSE_SHARE else 0.0
    head = _held(frames, POSTURES, (0.5, 1.6), 0.24, rng) * HEAD_REACH * reach.posture
    nod = 0.010 * (at_frames(speech.loudness, frames, 0.16) - 0.35)
    expression = _held(frames, EXPRESSIONS, (0.7, 2.4), 0.40, rng)[:, 0] * rng.uniform(0.6, 1.0)
    brow = _held(frames, BROWS, (0.4, 1.4), 0.16, rng)[:, 0]
    smirk = float(rng.uniform(-0.5, 0.5))
    return Motion(
        aperture=voiced + loose * (effort * other - voiced),
        width=width + loose * (other_width - width),
        brow=np.clip(brow + 0.2 * at_frames(speech.loudness, frames, 0.10), 0.0, 1.0),
        blink=blinks(frames, rng),
        head=head + np.stack([np.zeros(frames), nod], axis=1),
        voiced=voiced,
        gaze=_held(frames, GAZES, (0.3, 1.2), 0.04, rng),
        expression=expression,
        corners=expression[:, None] * np.array([1.0 + smirk, 1.0 - smirk]),
    )


def plain_look(identity: Identity, rng: np.random.Generator) -> Identity:
    """The person without a look that a restricted set leaves out."""
    kept = [style for style in HAIR_STYLES if style not in LEFT_OUT_HAIR]
    style = kept[int(rng.integers(len(kept)))]
    hair = identity.hair_style if identity.hair_style in kept else style
    return replace(identity, hair_style=hair, has_glasses=False)


def rare_look(identity: Identity, rng: np.random.Generator) -> Identity:
    """The person with a look that a restricted set leaves out."""
    style = LEFT_OUT_HAIR[int(rng.integers(len(LEFT_OUT_HAIR)))]
    hair = identity.hair_style if identity.hair_style in LEFT_OUT_HAIR else style
    return replace(identity, hair_style=hair, has_glasses=identity.has_glasses or bool(rng.uniform() < 0.5))


def _held(
    frames: int, ways: np.ndarray, seconds: tuple[float, float], change: float, rng: np.random.Generator
) -> np.ndarray:
    """(F, D) one of `ways` (N, D) after the other, each held for a time between `seconds`; `change` seconds apart."""
    middles = (np.arange(frames) + 0.5) / FPS
    at = int(rng.integers(len(ways)))
    values = np.tile(ways[at], (frames, 1))
    moment = rng.uniform(-seconds[1], seconds[1])
    while moment < middles[-1] + change:
        then = (at + int(rng.integers(1, len(ways)))) % len(ways)
        done = np.clip((middles - moment) / change + 0.5, 0.0, 1.0)
        values += (done * done * (3.0 - 2.0 * done))[:, None] * (ways[then] - ways[at])
        at = then
        moment += rng.uniform(*seconds)
    return values
