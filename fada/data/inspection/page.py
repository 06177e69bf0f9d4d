"""The page of ``fada data inspect DIR --page``: one HTML file with scores, posters and thresholds in it.

Everything but the videos is inside; those are linked beside it and read only when played. Texts of clips reach the
browser as JSON and are set as text, never as HTML.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from PIL import Image

from fada.data.clips.clip_files import clip_file
from fada.data.scores.catalogue import AXES, SCORES
from fada.files.whole import write_bytes
from fada.media.error import MediaError
from fada.media.processors import usable_processors
from fada.media.video import iterate_frames

Limits = Mapping[str, tuple[float | None, float | None]]
"""Lowest and highest value that passes, by score."""
SETS = ("strict", "lenient")
_FACTS = ("key", "identity", "split", "source", "set")
_POSTER_SIDE = 112
_POSTER_QUALITY = 62
_DIGITS = 6


def write_page(
    folder: Path,
    rows: list[dict[str, Any]],
    limits: Mapping[str, Limits],
    path: Path,
    unmeasured_fails: Mapping[str, Collection[str]] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    clips: int | None = None,
    videos: str | None = None,
) -> Path:
    """Write the page, whole or not at all.

    Args:
        folder: where the clips' KEY.mp4 lie; the page links to them, so it moves together with the folder.
        rows: the folder's table of scores, a row per clip.
        limits: by set, "strict" and "lenient"; a set that is not there has none.
        path: the file to write.
        unmeasured_fails: by set, the scores that a clip must have.
        on_progress: called with (posters made, in all).
        clips: of the folder, where `rows` are only some of them; the page says so.
        videos: where the clips lie for whoever opens the page, a URL that ends in a slash; None links from the page to
            the folder.
    """
    found = [clip_file(folder, row["key"], ".mp4") for row in rows]
    posters = _posters(found, on_progress)
    fails = {name: set((unmeasured_fails or {}).get(name, ())) for name in SETS}
    data = {
        "videos": _link(folder, path.parent) if videos is None else videos,
        "axes": AXES,
        "scores": [
            {"name": score.name, "axis": score.axis, "unit": score.unit, "meaning": score.meaning}
            for score in SCORES.values()
        ],
        "clips": {fact: [row[fact] for row in rows] for fact in _FACTS},
        "files": [quote(video.relative_to(folder).as_posix()) for video in found],
        "values": {name: [_short(row.get(name)) for row in rows] for name in SCORES},
        "limits": {
            name: {
                score: {"min": low, "max": high, "unmeasured": "fail" if score in fails[name] else "pass"}
                for score, (low, high) in limits.get(name, {}).items()
            }
            for name in SETS
        },
    }
    write_bytes(path, _fill(folder.resolve().name, data, posters, _drawn_of(len(rows), clips)).encode())
    return path


def _drawn_of(shown: int, clips: int | None) -> str:
    """What the page says where it shows only some clips."""
    if clips is None or clips <= shown:
        return ""
    return (
        f"These are {shown} of {clips} clips, drawn evenly: shares and histograms are those of all clips within what "
        "chance leaves open, counts are of the clips shown."
    )


def _fill(title: str, data: Mapping[str, Any], posters: list[str | None], note: str) -> str:
    parts = files("fada.data.inspection")
    texts = {name: parts.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "judge.js", "page.js")}
    template = Template(parts.joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title),
        note=escape(note),
        style=texts["page.css"],
        judge=texts["judge.js"],
        script=texts["page.js"],
        data=_json(data),
        posters=_json(posters),
    )


def _json(values: Any) -> str:
    """JSON that no text in it can end early: a script's content is closed by "</script" alone."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _short(value: float | None) -> float | None:
    """A value in fewer digits than it has, but more than thresholds have."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")


def _link(folder: Path, page_folder: Path) -> str:
    """From the page to the clips, as a URL that ends in a slash; empty where they share a folder."""
    relative = Path(os.path.relpath(folder.resolve(), page_folder.resolve())).as_posix()
    return "" if relative == "." else f"{quote(relative)}/"


def _posters(videos: list[Path], on_progress: Callable[[int, int], None] | None) -> list[str | None]:
    posters: list[str | None] = []
    # Threads are enough: decoding leaves Python's lock.
    with ThreadPoolExecutor(min(4, usable_processors())) as pool:
        for poster in pool.map(_poster, videos):
            posters.append(poster)
            if on_progress is not None:
                on_progress(len(posters), len(videos))
    return posters


def _poster(video: Path) -> str | None:
    """The first frame as a small JPEG, base64; None where the video is missing or damaged.

    Only the first: reaching a later one costs decoding all before it, seven times the time of the whole page.
    """
    try:
        frame = next(iterate_frames(video, fps=None))
    except (MediaError, StopIteration):
        return None
    picture = Image.fromarray(frame)
    picture.thumbnail((_POSTER_SIDE, _POSTER_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=_POSTER_QUALITY)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
