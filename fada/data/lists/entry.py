"""What every list comes down to: clips of videos, each with its seconds, its box and its identity."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from fada.media.cutting import PixelBox

_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")


class ListError(ValueError):
    """A list that cannot be used at all; the message names the file."""


class Box(Protocol):
    """Part of a picture, in a list's own units."""

    def pixels(self, width: int, height: int) -> PixelBox:
        """The box in a picture of that size."""


@dataclass(frozen=True)
class ListedClip:
    """One clip of a list."""

    name: str
    """Stem of the file it is cut to."""
    identity: str
    video: str
    """How the list calls the video it comes from."""
    video_names: tuple[str, ...]
    """Stems under which a copy of that video may lie."""
    start: float
    """Seconds after the video's first frame."""
    end: float
    box: Box
    attributes: tuple[str, ...] = ()
    """What the list says of the clip, where it says anything."""


@dataclass(frozen=True)
class DamagedEntry:
    """A place in a list that names no usable clip."""

    place: str
    """File and line, or file and key."""
    reason: str


@dataclass(frozen=True)
class ClipList:
    """A list as read."""

    format: str
    clips: tuple[ListedClip, ...]
    damaged: tuple[DamagedEntry, ...]


def name_fault(name: str) -> str | None:
    """What is wrong with a clip's name, which becomes a file's name."""
    if _NAME.fullmatch(name):
        return None
    return f"clip name {name[:80]!r} holds other characters than A-Z a-z 0-9 - and _, or more than 200"


def time_fault(start: float, end: float) -> str | None:
    """What is wrong with a clip's seconds."""
    # Written so that not-a-number fails too.
    return None if 0 <= start < end < float("inf") else f"{start:g} to {end:g} s is no stretch of a video"
