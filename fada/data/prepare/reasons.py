"""Why a video, or a stretch of one, did not become a clip; and the limits that decide it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """Each way to be rejected. The order is the order in which reasons are named when several hold."""

    UNDECODABLE = "undecodable"
    DUPLICATE = "duplicate"
    NO_AUDIO = "no_audio"
    SILENT_AUDIO = "silent_audio"
    NO_FACE = "no_face"
    FACE_LOST = "face_lost"
    SEVERAL_FACES = "several_faces"
    TOO_SHORT = "too_short"
    TOO_SMALL_FACE = "too_small_face"
    STRONG_HEAD_MOTION = "strong_head_motion"
    NOT_SPEECH = "not_speech"
    STILL_MOUTH = "still_mouth"
    TILTED_HEAD = "tilted_head"


EXPLANATIONS: dict[Reason, str] = {
    Reason.UNDECODABLE: "the file is damaged, truncated or not a video",
    Reason.DUPLICATE: "another given file has the same content",
    Reason.NO_AUDIO: "there is no audio stream",
    Reason.SILENT_AUDIO: "the audio is silent",
    Reason.NO_FACE: "no human face was found",
    Reason.FACE_LOST: "the face is away in this stretch",
    Reason.SEVERAL_FACES: "more than one large face is in the picture",
    Reason.TOO_SHORT: "the stretch with one steady face is shorter than the shortest clip allowed",
    Reason.TOO_SMALL_FACE: "the face has too few pixels",
    Reason.STRONG_HEAD_MOTION: "the head moves too fast from frame to frame",
    Reason.NOT_SPEECH: "the sound is not this mouth speaking (music, noise, a voice from elsewhere)",
    Reason.STILL_MOUTH: "the mouth does not move",
    Reason.TILTED_HEAD: "the head, or the whole picture, lies on its side",
}


@dataclass(frozen=True)
class Limits:
    """Where the line is drawn. Measured on real clips; docs/guides/prepare.md has the figures."""

    silence_decibels: float = -60.0
    """Loudness (RMS over the loudest second, re full scale) below which sound is silent."""
    min_face_share: float = 0.1
    """A video with a face in fewer of its frames than this has no face."""
    max_gap_frames: int = 10
    """A face away for longer than this ends a stretch; shorter gaps are interpolated."""
    second_face_height: float = 0.4
    """A second face counts when it is this tall relative to the main one ..."""
    second_face_share: float = 0.1
    """... in this share of the frames."""
    min_face_pixels: float = 80.0
    """Smallest face height (forehead to chin) in pixels of the source."""
    max_head_motion: float = 0.035
    """Mean way of the nose per frame, in face heights."""
    min_mouth_range: float = 0.015
    """Lip opening, 95th minus 5th percentile, in face heights: less is a still mouth."""
    min_speech_swing_decibels: float = 10.5
    """Standard deviation of the short-time level (200-4000 Hz): speech swings with its pauses and closures; music and
    noise do less."""
    max_head_lean: float = 40.0
    """Median angle in degrees between the line from forehead to chin and the vertical."""
    min_sync_confidence: float = 2.1
    """Below it the offset between lips and sound is unknown, and the clip belongs to no set. From here up it is
    corrected."""
    clear_sync_confidence: float = 2.5
    """Below it an offset is likely but not sure, and the clip is no better than moderate."""
    surely_unrelated_correlation: float = 0.2
    """Lip-sound correlation that even a generous upper estimate (two standard errors up) must reach."""
    max_corrected_offset: int = 6
    """Larger offsets (frames) are recorded but not corrected."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Rejection:
    """One stretch of one source that did not become a clip."""

    source: str
    reason: Reason
    start_seconds: float
    end_seconds: float | None
    """None where the length is not known."""
    detail: str
    """The measurement or error behind it."""
    also: tuple[Reason, ...] = ()
    """Further reasons that hold."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "reason": self.reason.value, "also": [reason.value for reason in self.also]}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Rejection:
        """The inverse of :meth:`to_json`."""
        also = tuple(Reason(name) for name in record["also"])
        return cls(**{**record, "reason": Reason(record["reason"]), "also": also})
