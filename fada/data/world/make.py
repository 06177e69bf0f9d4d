"""A folder of drawn clips: many at once, in several processes, going on where an earlier call stopped."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fada.data.clip import list_clips, write_clip, write_text
from fada.data.crew import Lost
from fada.data.pool import in_processes
from fada.data.world.draw import VERSION, clip_key, make_clip

SETTINGS_FILE = "world.json"


@dataclass(frozen=True)
class World:
    """What a call of make_world did."""

    folder: Path
    made: int
    kept: int
    """Clips that were there already."""


@dataclass(frozen=True)
class _Job:
    folder: str
    seed: int
    index: int
    size: int
    frames: int
    quality: Literal["A", "B"]
    split: Literal["train", "test"]
    flaw: str | None = None


def make_world(
    folder: str | Path,
    clips: int,
    seed: int = 0,
    size: int = 64,
    frames: int = 50,
    flawed_share: float = 0.4,
    workers: int = 1,
    *,
    test_clips: int = 0,
    kinds: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> World:
    """Draw clips into a folder, without loss; clips that are there already are kept.

    Args:
        clips: number of training clips.
        flawed_share: share of the training clips that get quality B, spread evenly over the indices.
        workers: processes; 1 draws in this one.
        test_clips: number of clips of the test split, all of quality A, beside the training clips.
        kinds: flawed clips have one flaw each, of these kinds in turn; by default one or two of the usual kinds.
        progress: called with (clips done, clips in all) after each clip.

    Raises:
        ValueError: a number is out of range, or the folder holds a world of other settings.
    """
    if clips < 0 or test_clips < 0 or clips + test_clips == 0:
        raise ValueError(f"clips and test_clips must be at least 0 and not both 0, got {clips} and {test_clips}")
    if not 0.0 <= flawed_share <= 1.0:
        raise ValueError(f"flawed_share must be between 0 and 1, got {flawed_share}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"seed": seed, "size": size, "frames": frames, "flawed_share": flawed_share, "version": VERSION}
    _claim(folder, settings | ({"kinds": list(kinds)} if kinds else {}))
    jobs: list[_Job] = []
    flawed = 0
    for index in range(clips):
        quality = _quality(index, flawed_share)
        flaw = kinds[flawed % len(kinds)] if kinds and quality == "B" else None
        flawed += quality == "B"
        jobs.append(_Job(str(folder), seed, index, size, frames, quality, "train", flaw))
    jobs += [_Job(str(folder), seed, index, size, frames, "A", "test") for index in range(test_clips)]
    there = set(list_clips(folder))
    missing = [job for job in jobs if clip_key(job.seed, job.index, job.split) not in there]
    kept = len(jobs) - len(missing)

    def report(made: int) -> None:
        if progress is not None:
            progress(kept + made, len(jobs))

    report(0)
    _draw_all(missing, workers, report)
    return World(folder, len(missing), kept)


def _draw_all(jobs: list[_Job], workers: int, report: Callable[[int], None]) -> None:
    if workers == 1 or len(jobs) < 2:
        for number, job in enumerate(jobs, 1):
            _draw_one(job)
            report(number)
        return
    for number, (job, outcome) in enumerate(in_processes(_draw_one, jobs, workers), 1):
        if isinstance(outcome, Lost):
            key = clip_key(job.seed, job.index, job.split)
            raise RuntimeError(
                f"{job.folder}: drawing {key} ended its process {outcome.attempts} times ({outcome.detail}): killed, "
                "or no memory was left; repeat the command with fewer --workers, what is drawn is kept"
            )
        report(number)


def _draw_one(job: _Job) -> None:
    clip = make_clip(
        job.seed, job.index, size=job.size, frames=job.frames, quality=job.quality, split=job.split, flaw=job.flaw
    )
    write_clip(job.folder, clip, quality="lossless")


def _quality(index: int, flawed_share: float) -> Literal["A", "B"]:
    """Quality B at steady intervals, so that every beginning of the world has about the same share."""
    return "B" if int((index + 1) * flawed_share + 1e-9) > int(index * flawed_share + 1e-9) else "A"


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Write the world's settings into a fresh folder, or check that they are the same."""
    file = folder / SETTINGS_FILE
    if not file.is_file():
        write_text(file, json.dumps(settings, indent=2) + "\n")
        return
    found = json.loads(file.read_text())
    if found != settings:
        raise ValueError(
            f"{folder}: holds a drawn world of other settings ({found}), asked for {settings}; choose another folder"
        )
