"""A whole drawn clip from (seed, index, split): identity, speech, motion, frames, flaws and the truth about them."""

from dataclasses import asdict
from typing import Any, Literal

import numpy as np

from fada.data.clip import Clip
from fada.data.world.backdrop import paint_backdrop
from fada.data.world.face import head_points, mouth_points, paint_frames
from fada.data.world.flaws import draw_flaw, draw_flaws, flaw_backdrop, flaw_frames, flaw_motion, shift_of
from fada.data.world.identity import Identity, draw_identity
from fada.data.world.motion import FPS, Motion, move
from fada.data.world.mouth import INSIDE, MAX_OPENING, TEETH, TONGUE, WIDEST, half_width, look_of, opening
from fada.data.world.speech import SAMPLE_RATE, Speech, plan_speech, synthesise

SPLITS = ("train", "test")
QUALITIES = ("A", "B")
VERSION = 1
"""Raised when equal arguments give other clips than before."""
MARGIN = 10
"""Frames of speech planned before and after the clip, so that shifted sound is real sound and not padding."""

_IDENTITY, _SPEECH, _MOTION, _SOUND, _FLAWS = range(5)


def make_clip(
    seed: int,
    index: int,
    *,
    size: int = 64,
    frames: int = 50,
    quality: Literal["A", "B"] = "A",
    split: Literal["train", "test"] = "train",
    flaw: str | None = None,
) -> Clip:
    """The clip number `index` of a split; equal arguments give equal bytes.

    Identity, speech and motion depend on (seed, split, index) only: sizes and qualities of one index show the same
    person saying the same. Train and test draw from separate random streams, so no person or sound is in both.

    Args:
        seed: of the world, at least 0.
        index: of the clip in its split, at least 0.
        size: side of the square frames in pixels, at least 32.
        frames: length at 25 frames per second.
        quality: "A" clean, "B" with one or two flaws (meta["flaws"], meta["flaw_details"]).
        split: "train" or "test".
        flaw: the kind of the only flaw of a clip of quality B; None draws one or two of the usual kinds.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check(seed, index, size, frames, quality, split)
    identity, speech, motion = plan_clip(seed, index, frames, split)
    sound = synthesise(speech, identity.voice, _stream(seed, split, index, _SOUND))
    rng = _stream(seed, split, index, _FLAWS)
    flaws = [] if quality == "A" else draw_flaws(rng, frames) if flaw is None else [draw_flaw(flaw, rng)]
    frames = next((round(each.magnitude * FPS) for each in flaws if each.kind == "short"), frames)
    shown = flaw_motion(motion.cut(MARGIN, frames), flaws)
    backdrops = flaw_backdrop(paint_backdrop(identity, size), frames, flaws, rng)
    pixels, camera = flaw_frames(paint_frames(identity, shown, backdrops), flaws, rng)
    per_frame = SAMPLE_RATE // FPS
    # Sound that comes `shift` frames late is, at frame f, the sound of frame f - shift.
    first = (MARGIN - shift_of(flaws)) * per_frame
    heard = motion.cut(MARGIN - shift_of(flaws), frames)
    meta = {
        "identity": identity.name,
        "quality": quality,
        "split": split,
        "flaws": [flaw.kind for flaw in flaws],
        "flaw_details": [flaw.to_meta() for flaw in flaws],
        "world": {"seed": seed, "index": index, "version": VERSION},
        "truth": _truth(identity, shown, heard, camera, size),
    }
    for each in flaws:
        if each.kind == "upscaled":
            meta["crop"] = {"side": round(size / each.magnitude, 2)}
    return Clip(clip_key(seed, index, split), pixels, sound[first : first + frames * per_frame], meta=meta)


def clip_key(seed: int, index: int, split: str) -> str:
    """The key of a drawn clip; also the name of the person in it, for each clip shows another one."""
    return f"{split}-s{seed}-{index:06d}"


def plan_clip(seed: int, index: int, frames: int, split: str) -> tuple[Identity, Speech, Motion]:
    """Identity, speech and motion of a clip, MARGIN frames longer at both ends, before anything is drawn."""
    long = frames + 2 * MARGIN
    identity = draw_identity(clip_key(seed, index, split), _stream(seed, split, index, _IDENTITY))
    speech = plan_speech(_stream(seed, split, index, _SPEECH), long / FPS)
    return identity, speech, move(speech, long, _stream(seed, split, index, _MOTION))


def _stream(seed: int, split: str, index: int, purpose: int) -> np.random.Generator:
    """A random stream of its own for every purpose: a change in one does not move the others."""
    return np.random.default_rng([seed, SPLITS.index(split), index, purpose])


def _check(seed: int, index: int, size: int, frames: int, quality: str, split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if quality not in QUALITIES:
        raise ValueError(f"quality must be one of {', '.join(QUALITIES)}, got {quality!r}")
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must be at least 0, got seed {seed} and index {index}")
    if size < 32:
        raise ValueError(f"size must be at least 32 pixels (the mouth is a tenth of it), got {size}")
    if frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames}")


def _truth(identity: Identity, shown: Motion, heard: Motion, camera: np.ndarray, size: int) -> dict[str, Any]:
    """What the renderer knows, as JSON values; pixel coordinates count from the upper left corner of the picture."""
    mouth = mouth_points(identity, shown) * size + camera
    reach = (identity.mouth_scale * (WIDEST + 0.014)) * size
    tall = identity.mouth_scale * MAX_OPENING
    box = np.array([-reach, -(0.28 * tall + identity.lip[0]) * size, reach, (0.72 * tall + identity.lip[1]) * size])
    return {
        "size": size,
        "aperture": _numbers(shown.aperture),
        "aperture_px": _numbers(opening(look_of(identity), shown.aperture) * size),
        "width": _numbers(shown.width),
        "width_px": _numbers(2.0 * half_width(look_of(identity), shown.width) * size),
        "blink": _numbers(shown.blink),
        "brow": _numbers(shown.brow),
        "head": _numbers((head_points(identity, shown) - np.array(identity.centre)) * size + camera),
        "head_centre": _numbers(head_points(identity, shown) * size + camera),
        "mouth_centre": _numbers(mouth),
        "mouth_box": _numbers(np.concatenate([mouth, mouth], axis=1) + box),
        "heard_aperture": _numbers(heard.aperture),
        "colours": {
            "skin": identity.skin,
            "lip": identity.lip_colour,
            "inside": INSIDE,
            "teeth": TEETH,
            "tongue": TONGUE,
            "hair": identity.hair,
            "iris": identity.iris,
            "cloth": identity.cloth,
        },
        "mouth_look": asdict(look_of(identity)),
        "person": identity.to_meta(),
    }


def _numbers(values: np.ndarray) -> list[Any]:
    return np.round(np.asarray(values, dtype=np.float64), 4).tolist()
