"""One clip: frames, sound and what is known about them; and clips as plain files in a folder.

A clip on disk is KEY.mp4 (with sound, to look at), KEY.wav and KEY.json (clip_files.py: in which folder). The JSON is
written last: a clip without it is one whose writing was interrupted.
"""

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fada.data.clips.clip_files import clip_file, complete_keys
from fada.files.errors import NameFault
from fada.files.names import check_name
from fada.files.whole import write_bytes, write_json
from fada.media.audio import encode_wav, read_audio
from fada.media.error import MediaError
from fada.media.sample_rate import SAMPLE_RATE
from fada.media.video import encode_video, read_video

if TYPE_CHECKING:
    from torch import Tensor

    from fada.data.clips.face import FaceClues
    from fada.data.clips.keypoints import Keypoints


REJECTED = "rejected"
"""Quality of a clip that belongs to no set."""
_DEEPEST = 32
"""Lists and mappings within each other, in a record."""
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
    sample_rate: int = SAMPLE_RATE
    meta: dict[str, Any] = field(default_factory=dict)
    """JSON values: identity, quality ("A", "B", "rejected"), flaws, split ("train", "test"), truth for drawn clips."""
    face: "FaceClues | None" = None
    """What is known of the face in the first frame, where it is the portrait of a system that is told."""
    keypoints: "Keypoints | None" = None
    """Of every frame, where a system is asked that is shown them."""
    emotion: "Tensor | None" = None
    """Soft label (7,) (`fada.data.clips.emotion`), where a system is asked that is given one."""


def check_key(key: object) -> str:
    """The key, if it can name files and shard members.

    A dash may stand first: lists name clips by the ids of their videos, some of which begin with one.

    Raises:
        ClipError: other characters than letters, digits, - and _ (a dot would end the key inside a shard).
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        shown = repr(key)
        shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
        raise ClipError(f"clip key {shown}: use 1 to 200 of the characters A-Z a-z 0-9 - and _")
    return key


def write_clip(folder: str | Path, clip: Clip, quality: Literal["visual", "lossless"] = "visual") -> None:
    """Write the clip's three files into the folder itself, each whole and synced, the JSON last.

    Args:
        quality: "lossless" keeps every pixel (not all players show it), "visual" is small and plays everywhere.
    """
    folder = Path(folder)
    stem = folder / check_key(clip.key)
    film = encode_video(clip.frames, clip.fps, clip.audio, clip.sample_rate, quality)
    write_bytes(stem.with_suffix(".mp4"), film)
    write_bytes(stem.with_suffix(".wav"), encode_wav(clip.audio, clip.sample_rate))
    record = {
        "key": clip.key,
        "frames": len(clip.frames),
        "fps": clip.fps,
        "sample_rate": clip.sample_rate,
        "meta": clip.meta,
    }
    write_record(stem.with_suffix(".json"), record)


def read_clip(folder: str | Path, key: str) -> Clip:
    """The clip of that key.

    Raises:
        ClipError: a file is missing or damaged, or the video is shorter or longer than the JSON says.
    """
    file = clip_file(folder, check_key(key), ".json")
    record, stem = read_record(file), file.with_suffix("")
    try:
        frames = read_video(stem.with_suffix(".mp4"), fps=None)
        audio = read_audio(stem.with_suffix(".wav"), record["sample_rate"])
    except MediaError as error:
        raise ClipError(f"{stem}: {error}") from error
    if len(frames) != record["frames"]:
        raise ClipError(f"{stem}.mp4: {record['frames']} frames expected, got {len(frames)}; make the clip again")
    return Clip(key, frames, audio, record["fps"], record["sample_rate"], record["meta"])


def list_clips(folder: str | Path) -> list[str]:
    """Keys of the complete clips in a folder and its sub-folders, sorted.

    Raises:
        ClipError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise ClipError(f"{folder}: no such folder of clips")
    return complete_keys(Path(folder))


def read_record(file: Path) -> dict[str, Any]:
    """What a clip's JSON says.

    Raises:
        ClipError: the file is missing or not such a JSON, or something in it cannot be what it stands for.
    """
    if not file.is_file():
        raise ClipError(f"{file}: no such clip; list_clips names the complete clips of a folder")
    try:
        record = _finite(json.loads(file.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise ClipError(f"{file}: not readable as JSON ({error}); make the clip again") from error
    missing = {"key", "frames", "fps", "sample_rate", "meta"} - set(record if isinstance(record, dict) else ())
    if missing:
        raise ClipError(f"{file}: not a clip's record, {', '.join(sorted(missing))} missing")
    fault = _record_fault(record, file.stem)
    if fault:
        raise ClipError(f"{file}: {fault}; make the clip again")
    return dict(record)


def write_record(file: Path, record: dict[str, Any]) -> None:
    """Write a clip's JSON, whole and on one line; what is not finite becomes null, JSON does not know it."""
    write_json(file, _finite(record), indent=None)


def _finite(value: Any, levels: int = _DEEPEST) -> Any:
    """JSON values with null for NaN and infinity.

    Raises:
        ValueError: lists and mappings are nested more than `levels` deep.
    """
    if isinstance(value, dict | list | tuple) and not levels:
        raise ValueError(f"nested more than {_DEEPEST} deep")
    if isinstance(value, dict):
        return {name: _finite(each, levels - 1) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each, levels - 1) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _record_fault(record: dict[str, Any], key: str) -> str | None:
    """What in a record cannot be."""
    if record["key"] != key:
        return f"key is {str(record['key'])[:80]!r}, not the name of its file"
    for name, most in (("frames", 10**7), ("sample_rate", 10**6)):
        value = record[name]
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            return f"{name} is {str(value)[:80]!r}, expected a whole number from 1 to {most}"
    fps = record["fps"]
    if not isinstance(fps, int | float) or isinstance(fps, bool) or not (math.isfinite(fps) and 0 < fps <= 10**4):
        return f"fps is {str(fps)[:80]!r}, expected a number above 0 up to 10000"
    return _meta_fault(record["meta"])


def _meta_fault(meta: Any) -> str | None:
    if not isinstance(meta, dict):
        return f"meta is {str(meta)[:80]!r}, expected a mapping"
    for name in ("split", "quality"):
        if name in meta:
            # They name folders of shards and sets of clips.
            try:
                check_name(meta[name], f"meta.{name}")
            except NameFault as error:
                return str(error)
    identity, flaws = meta.get("identity") or "", meta.get("flaws", [])
    if not isinstance(identity, str) or not identity.isprintable() or len(identity) > 500:
        return f"meta.identity is {str(identity)[:80]!r}, expected a printable name of at most 500 characters"
    if not isinstance(flaws, list) or not all(isinstance(flaw, str) and flaw.isprintable() for flaw in flaws):
        return f"meta.flaws is {str(flaws)[:80]!r}, expected a list of words"
    return None
