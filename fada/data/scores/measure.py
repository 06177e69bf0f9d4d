"""All scores of one clip."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fada.data.clips.clip import Clip
from fada.data.prepare import measure as prepared
from fada.data.prepare.sync import SyncMeasurement, measure_sync
from fada.data.scores import picture
from fada.data.scores.catalogue import SCORES
from fada.data.scores.dnsmos import SpeechQuality
from fada.data.scores.face import FaceTrack
from fada.data.scores.quality import ImageQuality
from fada.data.scores.speech import speech_share
from fada.data.scores.syncnet import SyncNet
from fada.data.scores.voice import SHORTEST_SECONDS, VoiceLikeness
from fada.engine.clock import Clock
from fada.media.sample_rate import SAMPLE_RATE

VERSION = 2
"""Raise when a clip would get other scores than before; older ones are then measured again."""
_FACE_SHARE = np.array([0.25, 0.2, 0.75, 0.85])
"""Where a face is in a face crop, when nothing says so."""

_OF_THE_FACE = (
    *("offset", "sync_confidence", "sync_margin", "mouth_range", "background_change", "background_drift"),
    *("head_motion", "head_range", "yaw", "roll", "occlusion", "wobble"),
)

Scores = dict[str, float | None]


def score_clip(
    clip: Clip,
    face: FaceTrack | None,
    quality: ImageQuality | None = None,
    syncnet: SyncNet | None = None,
    dnsmos: SpeechQuality | None = None,
    voices: VoiceLikeness | None = None,
    clock: Clock | None = None,
    reasons: dict[str, str] | None = None,
) -> Scores:
    """Every score of the catalogue; None for those that could not be measured.

    Args:
        face: None where no face is known: what needs one stays None.
        quality: a metric of image quality; without one `iqa` stays None.
        syncnet: without it its three scores stay None.
        dnsmos, voices: likewise.
        clock: told how long each axis takes.
        reasons: given, for each score that could not be measured of this clip, why.

    Raises:
        ValueError: the sound is not at 16 kHz.
    """
    if clip.sample_rate != SAMPLE_RATE:
        raise ValueError(f"{clip.key}: sound at {clip.sample_rate} Hz, {SAMPLE_RATE} wanted; prepare the clip again")
    clock = Clock() if clock is None else clock
    found: Scores = dict.fromkeys(SCORES)
    found |= _source(clip)
    with clock("image"):
        found["blur"] = picture.blur(clip.frames, _FACE_SHARE if face is None else face.box)
        found["noise"] = picture.noise(clip.frames)
        if quality is not None:
            found["iqa"] = quality(clip.frames)
    with clock("speech"):
        found["speech_share"] = speech_share(clip.audio)
        if dnsmos is not None:
            names = ("dnsmos_signal", "dnsmos_background", "dnsmos_overall")
            found |= dict(zip(names, dnsmos(clip.audio) or (None,) * 3, strict=True))
        if voices is not None:
            found["voice_likeness"] = voices(clip.audio)
    if face is not None:
        with clock("sync"):
            found |= _sync(clip, face)
        if syncnet is not None:
            with clock("syncnet"):
                names = ("syncnet_offset", "syncnet_confidence", "syncnet_distance")
                found |= dict(zip(names, syncnet(clip, face) or (None,) * 3, strict=True))
        with clock("movement"):
            found |= _movement(clip, face)
        with clock("background"):
            found["background_change"], found["background_drift"] = picture.surroundings(clip.frames, face.boxes)
    scores = {name: _plain(value) for name, value in found.items()}
    if reasons is not None:
        why_not = _why_not(clip, face)
        if voices is not None:
            why_not["voice_likeness"] = f"under {SHORTEST_SECONDS} s of speech: too short to hear two voices"
        reasons |= {name: why for name, why in why_not.items() if scores[name] is None}
    return scores


def _why_not(clip: Clip, face: FaceTrack | None) -> dict[str, str]:
    """Why scores of this clip may be missing."""
    if face is None:
        return dict.fromkeys(_OF_THE_FACE, "no face is known: no landmarks beside the clip, and no face model given")
    why = {"occlusion": "under two seconds: a head hardly comes back in so short a time"}
    if not picture.shows_surroundings(face.boxes):
        covered = "the head, with its hair, sweeps over nearly all of the picture"
        why |= dict.fromkeys(("background_change", "background_drift"), covered)
    if face.yaw is None:
        why |= dict.fromkeys(("yaw", "roll", "wobble"), "no landmarks, only where the drawn face is")
    return why


def _source(clip: Clip) -> Scores:
    meta = clip.meta
    crop, video = meta.get("crop", {}), meta.get("video", {})
    size = clip.frames.shape[1]
    return {
        "seconds": len(clip.frames) / clip.fps,
        "upscale": size / crop.get("side", size),
        "bits_per_pixel": video.get("bits_per_pixel"),
        "face_pixels": meta.get("face", {}).get("height_pixels"),
        "second_face": meta.get("face", {}).get("second_share"),
    }


def _sync(clip: Clip, face: FaceTrack) -> Scores:
    sync = measure_sync(face.jaw, face.lips, clip.audio, clip.fps, clip.sample_rate, lip_width=face.width)
    offset, confidence = _with_stretch(sync, clip)
    return {
        "offset": None if sync.method == "none" else float(offset),
        "sync_confidence": confidence,
        "sync_margin": sync.margin,
        "mouth_range": prepared.mouth_range(face.opening),
    }


def _with_stretch(sync: SyncMeasurement, clip: Clip) -> tuple[int, float]:
    """Offset and confidence of a clip: its own, or near the offset that its longer stretch of footage had, if surer.

    What the record says of the stretch only tells where to look: how sure it is, the clip's own sound and lips decide.
    """
    lag = _offset_of_stretch(clip)
    near = (0, 0.0) if lag is None else sync.near(lag)
    return max((sync.offset, sync.confidence), near, key=lambda found: found[1])


def _offset_of_stretch(clip: Clip) -> int | None:
    """What is left of the offset of the longer stretch that a clip was cut from; None where nothing sure is known."""
    known = clip.meta.get("sync")
    if not isinstance(known, dict) or known.get("is_clear") is not True:
        return None
    offset, shift, frames = (known.get(name) for name in ("offset", "shift", "stretch_frames"))
    if not (isinstance(offset, int) and isinstance(shift, int) and isinstance(frames, int)):
        return None
    return offset - shift if frames > len(clip.frames) + abs(shift) else None


def _movement(clip: Clip, face: FaceTrack) -> Scores:
    height = float(np.median(face.height))
    steps = np.linalg.norm(np.diff(face.centre, axis=0), axis=1)
    span = np.ptp(face.centre, axis=0)
    return {
        "head_motion": float(steps.mean()) / height if len(steps) else 0.0,
        "head_range": float(np.linalg.norm(span)) / height,
        "yaw": None if face.yaw is None else _percentile(np.abs(face.yaw)),
        "roll": None if face.roll is None else float(np.abs(face.roll).max()),
        "occlusion": picture.occlusion(clip.frames, face.between_eyes, height, face.roll),
        "wobble": None if face.roll is None or len(steps) < 2 else _percentile(np.abs(np.diff(face.roll, 2))),
    }


def _percentile(values: np.ndarray) -> float:
    return float(np.percentile(values, 95))


def _plain(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 5)
