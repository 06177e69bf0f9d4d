"""The lists of HDTF (Zhang et al. 2021, "Flow-guided One-shot Talking Face Generation").

The folder ``HDTF_dataset`` of its repository holds, for each of the subsets RD, WDA and WRA, text files with one line
per video or clip, fields set apart by spaces:

| file | line |
| --- | --- |
| ``RD_video_url.txt`` | ``Radio11 https://www.youtube.com/watch?v=ID`` |
| ``RD_annotion_time.txt`` | ``Radio11.mp4 00:30-01:00 01:30-02:30`` (minutes:seconds of its clips) |
| ``RD_resolution.txt`` | ``Radio11.mp4 720`` (height of the video that the boxes are for) |
| ``RD_crop_wh.txt`` | ``Radio11_0.mp4 412 599 0 599`` (left, width, top, height of clip 0 in pixels) |

Clips without a box were left out by its authors (hands, changing backgrounds), and are named as such here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlparse

from fada.data.lists.entry import ClipList, DamagedEntry, ListedClip, ListError, name_fault, time_fault
from fada.media.cutting import PixelBox

TIMES = "_annotion_time.txt"
_OTHERS = ("_video_url.txt", "_resolution.txt", "_crop_wh.txt")
_STRETCH = re.compile(r"([\d:.]+)-([\d:.]+)")
_NAMED_BY_VIDEO = "Radio"
"""Radio11 is the eleventh video, whoever speaks; AdamKinzinger2 is a video of Adam Kinzinger."""


@dataclass(frozen=True)
class HeightBox:
    """Pixels of a video of a known height; a copy of another height is cut in proportion."""

    left: int
    top: int
    width: int
    height: int
    video_height: int

    def pixels(self, width: int, height: int) -> PixelBox:
        """The box in a picture of that size."""
        scale = height / self.video_height
        return PixelBox(*(round(scale * value) for value in (self.left, self.top, self.width, self.height)))


@dataclass(frozen=True)
class _Line:
    place: str
    fields: list[str]


class _Damaged(ValueError):
    """An entry that names no usable clip."""


def read_hdtf(folder: Path) -> ClipList:
    """All clips of the subsets in a folder.

    Raises:
        ListError: no times there, or one of a subset's other files is missing.
    """
    clips: list[ListedClip] = []
    damaged: list[DamagedEntry] = []
    times = sorted(folder.glob(f"*{TIMES}"))
    if not times:
        raise ListError(f"{folder}: no *{TIMES} here; give the folder HDTF_dataset of HDTF's repository")
    for file in times:
        _Subset(folder, file.name.removesuffix(TIMES), clips, damaged).read()
    return ClipList("HDTF", tuple(clips), tuple(damaged))


class _Subset:
    """One of RD, WDA, WRA; adds to the given lists."""

    def __init__(self, folder: Path, name: str, clips: list[ListedClip], damaged: list[DamagedEntry]) -> None:
        self._folder, self._name, self._clips, self._damaged = folder, name, clips, damaged
        self._urls, self._resolutions, self._boxes = (self._by_name(suffix) for suffix in _OTHERS)

    def read(self) -> None:
        """Read the times, and join what the other files say."""
        taken = {clip.name for clip in self._clips}
        for line in _lines(self._folder / f"{self._name}{TIMES}"):
            video = line.fields[0].removesuffix(".mp4")
            for index, stretch in enumerate(line.fields[1:]):
                name = f"{video}_{index}"
                try:
                    if name in taken:
                        raise _Damaged(f"a clip {name} is listed already")
                    self._clips.append(self._clip(line, video, name, stretch))
                    taken.add(name)
                except _Damaged as error:
                    self._damaged.append(DamagedEntry(line.place, f"{name}: {error}"))
            if not line.fields[1:]:
                self._damaged.append(DamagedEntry(line.place, f"{video}: no times"))

    def _by_name(self, suffix: str) -> dict[str, _Line]:
        file = self._folder / f"{self._name}{suffix}"
        if not file.is_file():
            raise ListError(f"{file}: missing; {self._name}{TIMES} needs it beside it")
        return {line.fields[0].removesuffix(".mp4"): line for line in _lines(file)}

    def _clip(self, line: _Line, video: str, name: str, stretch: str) -> ListedClip:
        found = _STRETCH.fullmatch(stretch)
        if found is None:
            raise _Damaged(f"time {stretch!r} is not minutes:seconds-minutes:seconds")
        start, end = _seconds(found[1]), _seconds(found[2])
        fault = name_fault(name) or time_fault(start, end)
        if fault:
            raise _Damaged(fault)
        names = (video, f"{self._name}_{video}", *self._youtube_id(video))
        return ListedClip(name, _identity(video), video, names, start, end, self._box(video, name))

    def _box(self, video: str, name: str) -> HeightBox:
        if name not in self._boxes:
            raise _Damaged(f"no box in {self._name}_crop_wh.txt: its authors left it out")
        if video not in self._resolutions:
            raise _Damaged(f"no height in {self._name}_resolution.txt")
        box, resolution = self._boxes[name], self._resolutions[video]
        left, width, top, height = _numbers(box, 4, "left, width, top, height")
        (video_height,) = _numbers(resolution, 1, "the video's height")
        if min(width, height, video_height) == 0:
            raise _Damaged(f"a box or video of height or width 0 in {box.place}")
        return HeightBox(left, top, width, height, video_height)

    def _youtube_id(self, video: str) -> list[str]:
        line = self._urls.get(video)
        return parse_qs(urlparse(line.fields[-1]).query).get("v", [])[:1] if line else []


def _identity(video: str) -> str:
    person = video.rstrip("0123456789")
    return video if person in ("", _NAMED_BY_VIDEO) else person


def _lines(file: Path) -> Iterator[_Line]:
    # One of the published files begins with a byte-order mark, some lines end in spaces.
    for number, text in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        if text.strip():
            yield _Line(f"{file.name}:{number}", text.split())


def _numbers(line: _Line, count: int, wanted: str) -> list[int]:
    values = line.fields[1:]
    if len(values) != count or not all(re.fullmatch("[0-9]{1,6}", value) for value in values):
        raise _Damaged(f"{' '.join(values)[:80]!r} is not {wanted} in {line.place}")
    return [int(value) for value in values]


def _seconds(text: str) -> float:
    """Seconds of ``[hours:]minutes:seconds``."""
    total = 0.0
    for part in text.split(":"):
        try:
            total = 60 * total + float(part)
        except ValueError:
            raise _Damaged(f"time {text!r} is not minutes:seconds") from None
    return total
