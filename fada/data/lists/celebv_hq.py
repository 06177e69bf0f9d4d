"""The list of CelebV-HQ (Zhu et al. 2022, "CelebV-HQ: A Large-Scale Video Facial Attributes Dataset").

``celebvhq_info.json`` of its repository::

    {"meta_info": {"appearance_mapping": ["blurry", ...], "action_mapping": ["blow", ...]},
     "clips": {"M2Ohb0FAaJU_1": {
        "ytb_id": "M2Ohb0FAaJU",
        "duration": {"start_sec": 81.62, "end_sec": 86.17},
        "bbox": {"top": 0.0, "bottom": 0.8815, "left": 0.1964, "right": 0.6922},
        "attributes": {"appearance": [0, 0, 1, ...], "action": [...],
                       "emotion": {"sep_flag": false, "labels": "neutral"}},
        "version": "v0.1"}, ...}}

Box edges are shares of the picture. As its authors' script does, the box is widened by 0.02 on each side, kept inside
the picture, and its centred square is cut.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fada.data.lists.entry import ClipList, DamagedEntry, ListedClip, ListError, name_fault, time_fault
from fada.media.cutting import PixelBox

_WIDENED = 0.02


@dataclass(frozen=True)
class ShareBox:
    """Edges as shares of the picture."""

    left: float
    top: float
    right: float
    bottom: float

    def pixels(self, width: int, height: int) -> PixelBox:
        """The square that is cut from a picture of that size."""
        left, right = (round(width * share) for share in _widened(self.left, self.right))
        top, bottom = (round(height * share) for share in _widened(self.top, self.bottom))
        half = min(right - left, bottom - top) // 2
        return PixelBox((left + right) // 2 - half, (top + bottom) // 2 - half, 2 * half, 2 * half)


def _widened(low: float, high: float) -> tuple[float, float]:
    return max(low - _WIDENED, 0.0), min(high + _WIDENED, 1.0)


def read_celebv_hq(file: Path) -> ClipList:
    """All clips of the list.

    Raises:
        ListError: not JSON, or no such list.
    """
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise ListError(f"{file}: not readable as JSON ({error})") from error
    clips = content.get("clips") if isinstance(content, dict) else None
    if not isinstance(clips, dict):
        raise ListError(f"{file}: no mapping `clips` in it; give CelebV-HQ's celebvhq_info.json")
    names = _AttributeNames(content.get("meta_info"))
    good: list[ListedClip] = []
    damaged: list[DamagedEntry] = []
    for name, entry in clips.items():
        try:
            good.append(_clip(name, entry, names))
        except ValueError as error:
            damaged.append(DamagedEntry(f"{file.name}: clips.{name}", str(error)))
    return ClipList("CelebV-HQ", tuple(good), tuple(damaged))


def _clip(name: str, entry: Any, names: _AttributeNames) -> ListedClip:
    video = _of(entry, "ytb_id")
    # The video is who is seen, too.
    if not isinstance(video, str) or not video.isprintable() or not 0 < len(video) <= 200:
        raise ValueError(f"ytb_id is {repr(video)[:80]}, not the name of a video")
    start, end = (_number(_of(entry, "duration"), key) for key in ("start_sec", "end_sec"))
    left, top, right, bottom = (_number(_of(entry, "bbox"), key) for key in ("left", "top", "right", "bottom"))
    fault = name_fault(name) or time_fault(start, end)
    if fault:
        raise ValueError(fault)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(f"bbox {left:g}-{right:g}, {top:g}-{bottom:g} is not a part of the picture in shares")
    box = ShareBox(left, top, right, bottom)
    return ListedClip(name, video, video, (video,), start, end, box, names.of(entry.get("attributes")))


def _of(entry: Any, key: str) -> Any:
    if not isinstance(entry, Mapping) or key not in entry:
        raise ValueError(f"{key} is missing")
    return entry[key]


def _number(entry: Any, key: str) -> float:
    value = _of(entry, key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e9:
        raise ValueError(f"{key} is {repr(value)[:80]}, not a number")
    return float(value)


class _AttributeNames:
    """Turns rows of 0 and 1 into names."""

    def __init__(self, meta: Any) -> None:
        meta = meta if isinstance(meta, Mapping) else {}
        mappings = {kind: meta.get(f"{kind}_mapping") for kind in ("appearance", "action")}
        self._names = {kind: names if isinstance(names, list) else [] for kind, names in mappings.items()}

    def of(self, attributes: Any) -> tuple[str, ...]:
        """Names of what holds; what is not understood is passed over, no clip depends on it."""
        if not isinstance(attributes, Mapping):
            return ()
        found = []
        for kind, names in self._names.items():
            marks = attributes.get(kind)
            found += [
                str(name)
                for name, mark in zip(names, marks if isinstance(marks, list) else [], strict=False)
                if mark == 1
            ]
        emotion = attributes.get("emotion")
        labels = emotion.get("labels") if isinstance(emotion, Mapping) else None
        if isinstance(labels, str):
            found.append(labels)
        elif isinstance(labels, list):
            found += [str(label["emotion"]) for label in labels if isinstance(label, Mapping) and "emotion" in label]
        return tuple(dict.fromkeys(found))
