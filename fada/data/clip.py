"""One clip: frames, sound and what is known about them; and clips as plain files in a folder.

A clip on disk is KEY.mp4 (with sound, to look at), KEY.wav and KEY.json. The JSON is written last: a clip without it
is one whose writing was interrupted.
"""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fada.media.audio import read_audio, write_wav
from fada.media.error import MediaError
from fada.media.video import read_video, write_video

if TYPE_CHECKING:
    from fada.data.face import FaceClues


REJECTED = "rejected"
"""Quality of a clip that belongs to no set."""
_KEY = re.compile(r"[A-Za-z0-9_-]{1,200}")


class ClipError(ValueError):
    """A clip that cannot be read or written; the message names its file."""


@dataclass(frozen=True)
class Clip:
    """A talking-head clip. Frame f goes with the sound from f / fps to (f + 1) / fps seconds."""

    key: str
    """Name of the clip, unique in its folder; also the stem of its files."""
    frames: np.ndarray
    """uint8 (F, H, W, 3) RGB."""
    audio: np.ndarray
    """float32 (N,) mono in [-1, 1]."""
    fps: float = 25.0
    sample_rate: int = 16000
    meta: dict[str, Any] = field(default_factory=dict)
    """JSON values: identity, quality ("A", "B", "rejected"), flaws, split ("train", "test"), truth for drawn clips."""
    face: "FaceClues | None" = None
    """What is known of the face in the first frame, where it is the portrait of a system that is told."""


def check_key(key: str) -> str:
    """The key, if it can name files and shard members.

    Raises:
        ClipError: other characters than letters, digits, - and _ (a dot would end the key inside a shard).
    """
    if not _KEY.fullmatch(key):
        raise ClipError(f"clip key {key!r}: use 1 to 200 of the characters A-Z a-z 0-9 - and _")
    return key


def write_clip(folder: str | Path, clip: Clip, quality: Literal["visual", "lossless"] = "visual") -> None:
    """Write the clip's three files, each atomically, the JSON last.

    Args:
        quality: "lossless" keeps every pixel (not all players show it), "visual" is small and plays everywhere.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / check_key(clip.key)
    write_video(stem.with_suffix(".mp4"), clip.frames, clip.fps, clip.audio, clip.sample_rate, quality)
    write_wav(stem.with_suffix(".wav"), clip.audio, clip.sample_rate)
    record = {
        "key": clip.key,
        "frames": len(clip.frames),
        "fps": clip.fps,
        "sample_rate": clip.sample_rate,
        "meta": clip.meta,
    }
    write_text(stem.with_suffix(".json"), json.dumps(record) + "\n")


def read_clip(folder: str | Path, key: str) -> Clip:
    """The clip of that key.

    Raises:
        ClipError: a file is missing or damaged, or the video is shorter or longer than the JSON says.
    """
    stem = Path(folder) / check_key(key)
    record = read_record(stem.with_suffix(".json"))
    try:
        frames = read_video(stem.with_suffix(".mp4"), fps=None)
        audio = read_audio(stem.with_suffix(".wav"), record["sample_rate"])
    except MediaError as error:
        raise ClipError(f"{stem}: {error}") from error
    if len(frames) != record["frames"]:
        raise ClipError(f"{stem}.mp4: {record['frames']} frames expected, got {len(frames)}; make the clip again")
    return Clip(key, frames, audio, record["fps"], record["sample_rate"], record["meta"])


def list_clips(folder: str | Path) -> list[str]:
    """Keys of the complete clips in a folder, sorted.

    Raises:
        ClipError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise ClipError(f"{folder}: no such folder of clips")
    return sorted(file.stem for file in Path(folder).glob("*.json") if file.with_suffix(".mp4").is_file())


def read_record(file: Path) -> dict[str, Any]:
    """What a clip's JSON says.

    Raises:
        ClipError: the file is missing or not such a JSON.
    """
    if not file.is_file():
        raise ClipError(f"{file}: no such clip; list_clips names the complete clips of a folder")
    try:
        record = json.loads(file.read_text())
    except ValueError as error:
        raise ClipError(f"{file}: not readable as JSON ({error}); make the clip again") from error
    missing = {"key", "frames", "fps", "sample_rate", "meta"} - set(record if isinstance(record, dict) else ())
    if missing:
        raise ClipError(f"{file}: not a clip's record, {', '.join(sorted(missing))} missing")
    return record


def write_text(file: Path, text: str) -> None:
    """Write a text file atomically: it is there whole, or as it was before."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    partial.write_text(text)
    partial.replace(file)
