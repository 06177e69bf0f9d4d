"""``fada data cut``: the clips of a list from local copies of its videos, in parallel, resumable, with a report."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fada.data.lists.entry import ClipList, ListedClip, ListError
from fada.data.sampling.pool import in_processes
from fada.data.workers.crew import Lost
from fada.files.outputs import check_apart, output_folder
from fada.files.whole import set_aside, write_json
from fada.media.cutting import cut_video, read_label
from fada.media.error import MediaError
from fada.media.video import probe

if TYPE_CHECKING:
    from rich.table import Table

IDENTITIES_FILE = "identities.json"
REPORT_FILE = "cut.json"
KIND = "cuts"
"""What fada's mark says in such a folder."""
_LABEL = re.compile(r"[0-9a-f]{32}")
_VERSION = 2
"""Raise when a cut would come out differently; old ones are then redone."""
_ROWS_SHOWN = 20


@dataclass(frozen=True)
class CutReport:
    """The outcome of one call."""

    folder: Path
    clip_list: ClipList
    cut: tuple[str, ...]
    """Clips made by this call."""
    kept: tuple[str, ...]
    """Clips an earlier call had made."""
    missing: dict[str, tuple[str, ...]]
    """Videos without a copy, and their clips."""
    failed: dict[str, str]
    """Clips that could not be cut, and why."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; the list's own words about each clip that is there."""
        there = {*self.cut, *self.kept}
        return {
            "list": self.clip_list.format,
            "clips": {
                clip.name: {
                    "identity": clip.identity,
                    "video": clip.video,
                    "start_seconds": clip.start,
                    "end_seconds": clip.end,
                    "attributes": list(clip.attributes),
                }
                for clip in self.clip_list.clips
                if clip.name in there
            },
            "missing_videos": {video: list(clips) for video, clips in self.missing.items()},
            "failed": self.failed,
            "damaged_entries": [[entry.place, entry.reason] for entry in self.clip_list.damaged],
        }

    def tables(self) -> list[Table]:
        """For the terminal: the counts, then what is missing, failed or damaged."""
        from rich.table import Table

        counts = Table(box=None, pad_edge=False, show_header=False)
        counts.add_row(f"clips listed by {self.clip_list.format}", str(len(self.clip_list.clips)))
        counts.add_row("cut now", str(len(self.cut)))
        counts.add_row("cut before", str(len(self.kept)))
        counts.add_row("without their video", str(sum(map(len, self.missing.values()))))
        counts.add_row("failed", str(len(self.failed)))
        counts.add_row("damaged entries", str(len(self.clip_list.damaged)))
        missing = [(video, str(len(clips))) for video, clips in self.missing.items()]
        damaged = [(entry.place, entry.reason) for entry in self.clip_list.damaged]
        listings = [
            ((f"videos missing: {len(missing)}", "clips"), missing),
            ((f"clips failed: {len(self.failed)}", "reason"), list(self.failed.items())),
            ((f"damaged entries: {len(damaged)}", "reason"), damaged),
        ]
        return [counts, *(_listing(columns, rows) for columns, rows in listings if rows)]


def _listing(columns: tuple[str, str], rows: list[tuple[str, str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows[:_ROWS_SHOWN]:
        # Text, not markup: names and paths may hold square brackets.
        table.add_row(*map(Text, row))
    if len(rows) > _ROWS_SHOWN:
        table.add_row(f"and {len(rows) - _ROWS_SHOWN} more, in {REPORT_FILE}", "")
    return table


@dataclass(frozen=True)
class _Task:
    clip: ListedClip
    source: Path
    target: Path
    label: str


def cut_list(
    clip_list: ClipList,
    videos: Path,
    out: Path,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> CutReport:
    """Cut every clip whose video is there. NAME.mp4 appears whole or not at all; finished ones are kept.

    Args:
        clip_list: what to cut.
        videos: folder of local copies, searched with its subfolders. A copy's name is the list's name of the video,
            with or without its subset (Radio11, RD_Radio11), its YouTube id, or anything that ends in "[id]".
        out: folder for the clips, ``identities.json`` (file name to identity) and ``cut.json`` (the report).
        workers: processes; 1 works in this one.
        on_progress: called with (done, in all).

    Raises:
        ListError: no video of the list is in ``videos``.
        FolderFault: ``out`` holds the videos or lies among them, or holds what fada did not make.
        FolderBusy: another command works in it.
    """
    check_apart(out, [videos])
    copies = _copies(videos)
    with output_folder(out, KIND, "cutting clips", inputs=[videos, *copies.values()], was_ours=_was_cut):
        return _cut_list(clip_list, videos, copies, out, workers, on_progress)


def _was_cut(folder: Path) -> bool:
    """Whether an earlier version cut clips into a folder: its report is there."""
    try:
        return {"list", "clips", "failed"} <= json.loads((folder / REPORT_FILE).read_bytes()).keys()
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _cut_list(
    clip_list: ClipList,
    videos: Path,
    copies: dict[str, Path],
    out: Path,
    workers: int,
    on_progress: Callable[[int, int], None] | None,
) -> CutReport:
    missing: dict[str, tuple[str, ...]] = {}
    kept: list[str] = []
    tasks: list[_Task] = []
    for clip in clip_list.clips:
        source = next((copies[name] for name in clip.video_names if name in copies), None)
        if source is None:
            missing[clip.video] = (*missing.get(clip.video, ()), clip.name)
            continue
        task = _Task(clip, source, out / f"{clip.name}.mp4", _fingerprint(clip, source))
        if read_label(task.target) == task.label:
            kept.append(clip.name)
        else:
            tasks.append(task)
    if not tasks and not kept:
        names = " or ".join(clip_list.clips[0].video_names) if clip_list.clips else "as the list names it"
        raise ListError(
            f"{videos}: none of the {len(missing)} videos of the list is here; a copy is named {names}, with any "
            "video's extension"
        )
    identities = {f"{clip.name}.mp4": clip.identity for clip in clip_list.clips}
    write_json(out / IDENTITIES_FILE, identities)
    failed: dict[str, str] = {}
    for done, (task, fault) in enumerate(_run(tasks, workers), start=1):
        if fault is not None:
            failed[task.clip.name] = fault
        if on_progress is not None:
            on_progress(done, len(tasks))
    cut = tuple(task.clip.name for task in tasks if task.clip.name not in failed)
    report = CutReport(out, clip_list, cut, tuple(kept), missing, failed)
    write_json(out / REPORT_FILE, report.to_json())
    return report


def read_identities(file: Path) -> dict[str, str]:
    """Identity by file name, as ``fada data prepare`` takes it.

    Raises:
        ListError: the file is no JSON object of texts.
    """
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ListError(f"{file}: not readable as JSON ({error})") from error
    if not isinstance(content, dict) or not all(isinstance(value, str) and value for value in content.values()):
        raise ListError(f'{file}: identities are a JSON object, {{"clip.mp4": "name of the person", ...}}')
    for name, value in content.items():
        if not value.isprintable() or len(value) > 500:
            raise ListError(f"{file}: {name[:80]!r}: {value[:80]!r} is no name of a person; give at most 500 letters")
    return content


def _copies(folder: Path) -> dict[str, Path]:
    """Videos of a folder by every name that a list may know them by."""
    # Here, not above: worker processes do not need what prepare imports.
    from fada.data.prepare.videos import find_videos

    if not folder.is_dir():
        raise ListError(f"{folder}: no such folder of videos")
    files = find_videos([folder])[0]
    copies: dict[str, Path] = {}
    for file in files:
        copies.setdefault(file.stem, file)
        # yt-dlp's own names: "Title [id].mp4".
        if file.stem.endswith("]") and "[" in file.stem:
            copies.setdefault(file.stem[file.stem.rindex("[") + 1 : -1], file)
    return copies


def _fingerprint(clip: ListedClip, source: Path) -> str:
    """Changes with the entry and with the copy (by name and size; its content would take hours to read)."""
    facts = [_VERSION, clip.start, clip.end, repr(clip.box), source.name, source.stat().st_size]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _run(tasks: list[_Task], workers: int) -> Iterator[tuple[_Task, str | None]]:
    if workers == 1:
        for task in tasks:
            yield task, _cut(task)
        return
    for task, outcome in in_processes(_cut, tasks, workers):
        if isinstance(outcome, Lost):
            yield task, f"its worker died {outcome.attempts} times ({outcome.detail}): a decoder crashed, or no memory"
        else:
            yield task, outcome


def _cut(task: _Task) -> str | None:
    """What went wrong, if anything did."""
    if not _LABEL.fullmatch(read_label(task.target) or ""):
        # No clip of ours: whoever put it there keeps it.
        set_aside(task.target)
    try:
        info = probe(task.source)
        box = task.clip.box.pixels(info.width, info.height)
        cut_video(task.source, task.target, task.clip.start, task.clip.end, box, task.label)
    except MediaError as error:
        # One that we cut by an earlier list or copy may lie there; it is not this clip.
        task.target.unlink(missing_ok=True)
        return str(error)
    return None
