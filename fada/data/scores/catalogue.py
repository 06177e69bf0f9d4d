"""What is measured of a clip: names, axes, units. The axes are the paper's five."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Axis = Literal["source", "image", "sync", "background", "movement"]
AXES: tuple[Axis, ...] = ("source", "image", "sync", "background", "movement")


@dataclass(frozen=True)
class Score:
    """One number about a clip."""

    name: str
    axis: Axis
    unit: str
    meaning: str


_ALL = (
    Score("seconds", "source", "s", "length of the clip"),
    Score("upscale", "source", "times", "side of the clip over the side of the face crop in the source's pixels"),
    Score("bits_per_pixel", "source", "bit", "video bit rate over pixels per second of the source"),
    Score("blur", "image", "0-1", "perceived blur of the face (Crete et al. 2007); 1 is shapeless"),
    Score("noise", "image", "levels", "standard deviation of the noise, of 255 grey levels"),
    Score("iqa", "image", "", "the image quality metric that was chosen (pyiqa), mean over frames"),
    Score("offset", "sync", "frames", "lips minus sound after correction; positive: the sound is early"),
    Score("sync_confidence", "sync", "", "how sure the offset is; wrong voices: median 1.4, 2 % over 2.6"),
    Score("sync_margin", "sync", "", "that confidence minus the best one elsewhere"),
    Score("syncnet_offset", "sync", "frames", "SyncNet's offset; positive: the sound is early"),
    Score("syncnet_confidence", "sync", "", "SyncNet's confidence: median distance minus the least"),
    Score("syncnet_distance", "sync", "", "SyncNet's least distance between lips and sound"),
    Score("mouth_range", "sync", "faces", "how far the mouth opens and closes, in face heights"),
    Score("speech_share", "sync", "share", "share of the time in which somebody speaks"),
    Score("dnsmos_signal", "sync", "1-5", "what listeners would say of the voice (DNSMOS P.835)"),
    Score("dnsmos_background", "sync", "1-5", "of what sounds behind it; 5 is silence"),
    Score("dnsmos_overall", "sync", "1-5", "of the whole sound"),
    Score(
        "voice_likeness", "sync", "cosine", "least likeness of a stretch of speech to all other; low: a second voice"
    ),
    Score("background_change", "background", "levels", "how much the surroundings change from frame to frame"),
    Score("background_drift", "background", "levels", "how far the surroundings go from their own mean"),
    Score("head_motion", "movement", "faces", "mean way of the nose per frame, in face heights"),
    Score("head_range", "movement", "faces", "how far the head wanders, in face heights"),
    Score("yaw", "movement", "degrees", "largest turn of the head to a side (95th percentile)"),
    Score("roll", "movement", "degrees", "largest tilt of the head"),
    Score("occlusion", "movement", "share", "share of the upper face that something covers for 0.36 s or longer"),
    Score("wobble", "movement", "degrees", "jerk of the tracked face's tilt: something hides it (95th percentile)"),
    Score("second_face", "movement", "share", "share of frames with a second large face"),
    Score("face_pixels", "movement", "px", "height of the face in the source's pixels"),
)
SCORES: dict[str, Score] = {score.name: score for score in _ALL}
