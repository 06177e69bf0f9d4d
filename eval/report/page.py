"""``index.html``: one file with every video, plot and table in it, for a browser without a network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from fada.eval.bench.results import BenchResults
from fada.eval.bench.store import Store
from fada.eval.bench.summary import judged_system, system_names
from fada.eval.report.markdown import opening, protocol_text
from fada.eval.report.sheets import figures
from fada.eval.report.table import Table
from fada.files.whole import write_text

FIRST_TABLES = ("goals", "headroom", "rivals", "checks", "cost")
"""Tables above the videos; the others follow below."""


def write_page(
    results: BenchResults,
    path: Path,
    title: str,
    tables: Mapping[str, Table],
    paper: Table,
    plots: Mapping[str, Path],
    clips: Sequence[str],
) -> Path:
    """Writes the page; videos come from the results' folder, ``clips`` in the order given (worst first)."""
    template = Template(files("fada.eval.report").joinpath("page.html").read_text(encoding="utf-8"))
    first = [_section(name, table) for name, table in tables.items() if name in FIRST_TABLES]
    rest = [_section(name, table) for name, table in tables.items() if name not in FIRST_TABLES]
    total = len(results.rows_of(results.reference))
    page = template.substitute(
        title=escape(title),
        opening=escape(opening(results)),
        first_tables="".join(first),
        judged=escape(judged_system(results)),
        shown=f"{len(clips)} of {total}",
        videos="".join(_clip(results, clip) for clip in clips),
        plots="".join(_plot(caption, picture) for caption, picture in plots.items()),
        tables="".join(rest),
        protocol=escape(protocol_text(results)),
        paper=_section("paper", paper),
    )
    write_text(path, page)
    return path


def _section(name: str, table: Table) -> str:
    return f'<section id="section-{name}"><h2>{escape(table.title)}</h2>{table.html(f"table-{name}")}</section>'


def _plot(caption: str, picture: Path) -> str:
    text = escape(caption)
    # The drawing, not its pixels: sharp at any width.
    image = f'<img src="{_embedded(picture.with_suffix(".svg"), "image/svg+xml")}" alt="{text}">'
    scroll = f'<div tabindex="0" role="region" aria-label="{text}">{image}</div>'
    return f'<figure class="plot">{scroll}<figcaption>{text}</figcaption></figure>'


def _clip(results: BenchResults, clip: str) -> str:
    """A card with the true video and every system's, and one set of buttons for all of them."""
    if results.folder is None:
        return ""
    store = Store(results.folder)
    videos: list[str] = []
    for name in ("truth", *system_names(results)):
        video = store.video_path(clip, name)
        if video.exists():
            videos.append(_video(results, clip, name, video, is_first=not videos))
    shown = next((row for row in results.rows_of(results.reference) if row["clip"] == clip), {})
    identity, frames = str(shown.get("identity", "")), int(shown.get("frames", 1000))
    label = escape(clip)
    return (
        f'<article class="clip" aria-label="Clip {label}"><h3>{label} <small>{escape(identity)}</small></h3>'
        f'<div class="videos">{"".join(videos)}</div><div class="controls">'
        f'<button type="button" class="play" aria-label="Play all videos of {label}">&#9654; Play all</button>'
        f'<input type="range" class="seek" min="0" max="{frames}" value="0" aria-label="Position in {label}">'
        '<label><input type="checkbox" class="loop" checked> loop</label>'
        '<label><input type="checkbox" class="slow"> half speed</label>'
        '<label><input type="checkbox" class="mute"> mute</label></div></article>'
    )


def _video(results: BenchResults, clip: str, name: str, video: Path, is_first: bool) -> str:
    # All videos of a clip carry the same sound: one is enough.
    muted = "" if is_first else " muted"
    caption = f"<b>{escape(name)}</b><span>{escape(figures(results, clip, name).strip())}</span>"
    return (
        f'<figure><video playsinline preload="auto"{muted} aria-label="{escape(f"{name}, {clip}")}" '
        f'src="{_embedded(video, "video/mp4")}"></video><figcaption>{caption}</figcaption></figure>'
    )


def _embedded(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
