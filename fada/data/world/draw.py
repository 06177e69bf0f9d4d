"""A whole drawn clip from (seed, index, split): identity, speech, motion, frames, flaws and the truth about them."""

from dataclasses import asdict
from typing import Any, Literal

import numpy as np

from fada.data.clips.clip import Clip
from fada.data.world.backdrop import paint_backdrop
from fada.data.world.face import head_points, mouth_points, paint_frames
from fada.data.world.feeling import Feeling, at_tempo, draw_feeling, with_feeling
from fada.data.world.flaws import draw_flaw, draw_flaws, flaw_backdrop, flaw_frames, flaw_motion, shift_of
from fada.data.world.identity import Identity, draw_identity
from fada.data.world.motion import FPS, Motion, move
from fada.data.world.mouth import INSIDE, MAX_OPENING, TEETH, TONGUE, WIDEST, half_width, look_of, opening
from fada.data.world.speech import Speech, plan_speech, synthesise
from fada.data.world.undecided import BEYOND, FULL, NARROW, draw_effort, move_freely, plain_look, rare_look
from fada.media.sample_rate import SAMPLE_RATE

SPLITS = ("train", "test")
QUALITIES = ("A", "B")
VERSIONS = (1, 2)
"""Worlds that can be drawn: in the second, much is undecided by the sound. Equal arguments always give equal clips."""
REACHES = {"full": FULL, "narrow": NARROW, "beyond": BEYOND}
MARGIN = 10
"""Frames of speech planned before and after the clip, so that shifted sound is real sound and not padding."""

_IDENTITY, _SPEECH, _MOTION, _SOUND, _FLAWS, _FREE, _FEELING, _SWELLING = range(8)
_USUAL_EFFORT = 0.75
"""Loudness at which version 2 sounds as loud as version 1."""


def make_clip(
    seed: int,
    index: int,
    *,
    size: int = 64,
    frames: int = 50,
    quality: Literal["A", "B"] = "A",
    split: Literal["train", "test"] = "train",
    flaw: str | None = None,
    version: int = 1,
    reach: str = "full",
    emotion: bool = False,
    from_rest: bool = False,
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
        version: 1, or 2: several ways of moving are right, mouths open as the sound is loud.
        reach: of version 2: "full"; "narrow" leaves out loud speech, far postures and some looks; "beyond" shows these,
            without flaws also in quality B.
        emotion: the person feels one of seven emotions at some intensity: face and voice follow it (feeling.py).
        from_rest: the face is at rest in the first frame, and what is felt comes up in it within half a second.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check(seed, index, size, frames, quality, split, version, reach)
    if from_rest and not emotion:
        raise ValueError("from_rest: only what is felt comes up; draw the clip with emotion, too")
    feeling = draw_feeling(_stream(seed, split, index, _FEELING)) if emotion else None
    identity, speech, motion, effort = plan_clip(seed, index, frames, split, version, reach, feeling, from_rest)
    voice = identity.voice if feeling is None else feeling.voice(identity.voice)
    sound = synthesise(speech, voice, _stream(seed, split, index, _SOUND))
    if version > 1:
        sound = np.clip(sound * (effort / _USUAL_EFFORT), -1.0, 1.0).astype(np.float32)
    elif feeling is not None:
        sound = np.clip(sound * np.float32(effort), -1.0, 1.0)
    rng = _stream(seed, split, index, _FLAWS)
    is_clean = quality == "A" or reach == "beyond"
    flaws = [] if is_clean else draw_flaws(rng, frames) if flaw is None else [draw_flaw(flaw, rng)]
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
        "world": {"seed": seed, "index": index, "version": version} | ({} if reach == "full" else {"reach": reach}),
        "truth": _truth(identity, shown, heard, camera, size) | ({"moves_freely": True} if version > 1 else {}),
    }
    if feeling is not None:
        meta = _with_feeling(meta, feeling, shown, from_rest)
    for each in flaws:
        if each.kind == "upscaled":
            meta["crop"] = {"side": round(size / each.magnitude, 2)}
    return Clip(clip_key(seed, index, split), pixels, sound[first : first + frames * per_frame], meta=meta)


def _with_feeling(meta: dict[str, Any], feeling: Feeling, shown: Motion, from_rest: bool) -> dict[str, Any]:
    """The meta of a clip whose person feels something, with the truth about it."""
    assert shown.slant is not None
    assert shown.lid is not None
    told = {"emotion": feeling.to_meta(), "slant": _numbers(shown.slant), "lid": _numbers(shown.lid)}
    world = meta["world"] | {"emotion": True} | ({"from_rest": True} if from_rest else {})
    return meta | {"world": world, "truth": meta["truth"] | told}


def clip_key(seed: int, index: int, split: str) -> str:
    """The key of a drawn clip; also the name of the person in it, for each clip shows another one."""
    return f"{split}-s{seed}-{index:06d}"


def plan_clip(
    seed: int,
    index: int,
    frames: int,
    split: str,
    version: int = 1,
    reach: str = "full",
    feeling: Feeling | None = None,
    from_rest: bool = False,
) -> tuple[Identity, Speech, Motion, float]:
    """Identity, speech, motion and loudness of a clip, MARGIN frames longer at both ends, before anything is drawn."""
    long = frames + 2 * MARGIN
    identity = draw_identity(clip_key(seed, index, split), _stream(seed, split, index, _IDENTITY))
    tempo, louder = (1.0, 1.0) if feeling is None else (feeling.tempo, feeling.loudness)
    speech = plan_speech(_stream(seed, split, index, _SPEECH), long / FPS * tempo)
    if feeling is not None:
        speech = at_tempo(speech, tempo, long / FPS)
    motion_stream = _stream(seed, split, index, _MOTION)
    if version == 1:
        motion, effort = move(speech, long, motion_stream), louder
    else:
        free, limits = _stream(seed, split, index, _FREE), REACHES[reach]
        if reach != "full":
            identity = (plain_look if reach == "narrow" else rare_look)(identity, free)
        effort = min(1.0, draw_effort(limits, free) * louder)
        motion = move_freely(speech, long, effort, limits, motion_stream)
    if feeling is not None:
        motion = with_feeling(motion, feeling, _stream(seed, split, index, _SWELLING), MARGIN if from_rest else None)
    return identity, speech, motion, effort


def _stream(seed: int, split: str, index: int, purpose: int) -> np.random.Generator:
    """A random stream of its own for every purpose: a change in one does not move the others."""
    return np.random.default_rng([seed, SPLITS.index(split), index, purpose])


def _check(seed: int, index: int, size: int, frames: int, quality: str, split: str, version: int, reach: str) -> None:
    if version not in VERSIONS:
        raise ValueError(f"version must be one of {', '.join(map(str, VERSIONS))}, got {version!r}")
    if reach not in REACHES:
        raise ValueError(f"reach must be one of {', '.join(REACHES)}, got {reach!r}")
    if version == 1 and reach != "full":
        raise ValueError(f"reach: version 1 of the world knows only 'full', got {reach!r}")
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
        "gaze": _numbers(shown.gaze),
        "expression": _numbers(shown.expression),
        "corners": _numbers(shown.corners),
        "head": _numbers((head_points(identity, shown) - np.array(identity.centre)) * size + camera),
        "head_centre": _numbers(head_points(identity, shown) * size + camera),
        "mouth_centre": _numbers(mouth),
        "mouth_box": _numbers(np.concatenate([mouth, mouth], axis=1) + box),
        "heard_aperture": _numbers(heard.voiced),
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
