"""A folder of drawn clips: many at once, in several processes, going on where an earlier call stopped."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from fada.data.clips.clip import ClipError, list_clips, read_record, write_clip
from fada.data.sampling.pool import in_processes
from fada.data.workers.crew import Lost
from fada.data.world.draw import VERSIONS, clip_key, make_clip
from fada.files.outputs import output_folder
from fada.files.whole import set_aside, write_json
from fada.recipe.sections.data import is_at, part_at

SETTINGS_FILE = "world.json"
KIND = "world"
"""What fada's mark says in such a folder."""


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
    version: int = 1
    reach: str = "full"
    emotion: bool = False
    from_rest: bool = False


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
    version: int = 1,
    beyond_share: float = 0.0,
    emotion: bool = False,
    from_rest: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> World:
    """Draw clips into a folder, without loss; clips that are there already are kept.

    Args:
        clips: number of training clips.
        flawed_share: share of the training clips that get quality B, spread evenly over the indices.
        workers: processes; 1 draws in this one.
        test_clips: number of clips of the test split, all of quality A, beside the training clips.
        kinds: flawed clips have one flaw each, of these kinds in turn; by default one or two of the usual kinds.
        version: 1, or 2, in which much is undecided by the sound.
        beyond_share: share of the training clips that show what set A then leaves out (draw.make_clip, `reach`), as
            every second clip of the test split does; they are of quality B and have no flaws.
        emotion: every person feels something, which face and voice show (draw.make_clip).
        from_rest: faces are at rest in their first frames, and what is felt comes up.
        progress: called with (clips done, clips in all) after each clip.

    Raises:
        ValueError: a number is out of range, or the folder holds a world of other settings.
        FolderFault: the folder holds what is no drawn world.
        FolderBusy: another command works in it.
    """
    if clips < 0 or test_clips < 0 or clips + test_clips == 0:
        raise ValueError(f"clips and test_clips must be at least 0 and not both 0, got {clips} and {test_clips}")
    if not 0.0 <= flawed_share <= 1.0:
        raise ValueError(f"flawed_share must be between 0 and 1, got {flawed_share}")
    if not 0.0 <= beyond_share <= 1.0 - flawed_share or (beyond_share and version == 1):
        raise ValueError(
            f"beyond_share must be between 0 and 1 - flawed_share, and 0 in version 1, got {beyond_share} with "
            f"flawed_share {flawed_share} in version {version}"
        )
    if from_rest and not emotion:
        raise ValueError("from_rest: only what is felt comes up; set emotion, too")
    if version not in VERSIONS:
        raise ValueError(f"version must be one of {', '.join(map(str, VERSIONS))}, got {version}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    folder = Path(folder)
    settings = {"seed": seed, "size": size, "frames": frames, "flawed_share": flawed_share, "version": version}
    jobs = _train_jobs(str(folder), clips, seed, size, frames, (flawed_share, beyond_share), kinds, version)
    for index in range(test_clips):
        reach = "full" if not beyond_share else "beyond" if is_at(index, 0.5) else "narrow"
        jobs.append(_Job(str(folder), seed, index, size, frames, "A", "test", None, version, reach))
    jobs = [replace(job, emotion=emotion, from_rest=from_rest) for job in jobs]
    with output_folder(folder, KIND, "drawing clips", was_ours=is_world):
        told = ({"kinds": list(kinds)} if kinds else {}) | ({"beyond_share": beyond_share} if beyond_share else {})
        told |= ({"emotion": True} if emotion else {}) | ({"from_rest": True} if from_rest else {})
        _claim(folder, settings | told)
        missing = [job for job in jobs if not _is_drawn(folder, clip_key(job.seed, job.index, job.split))]
        kept = len(jobs) - len(missing)

        def report(made: int) -> None:
            if progress is not None:
                progress(kept + made, len(jobs))

        report(0)
        _draw_all(missing, workers, report)
    return World(folder, len(missing), kept)


def _train_jobs(
    folder: str,
    clips: int,
    seed: int,
    size: int,
    frames: int,
    shares: tuple[float, float],
    kinds: Sequence[str],
    version: int,
) -> list[_Job]:
    jobs: list[_Job] = []
    flawed = 0
    for index in range(clips):
        part = part_at(index, *shares)
        flaw = kinds[flawed % len(kinds)] if kinds and part == "flawed" else None
        flawed += part == "flawed"
        reach = "full" if not shares[1] else "beyond" if part == "beyond" else "narrow"
        quality: Literal["A", "B"] = "A" if part == "clean" else "B"
        jobs.append(_Job(folder, seed, index, size, frames, quality, "train", flaw, version, reach))
    return jobs


def is_world(folder: Path) -> bool:
    """Whether a folder is a drawn world by its settings."""
    found = _settings_in(folder)
    return found is not None and {"seed", "size", "frames", "flawed_share", "version"} <= found.keys()


def _settings_in(folder: Path) -> dict[str, Any] | None:
    """What world.json says; None where there is none, or none that can be read."""
    try:
        found = json.loads((folder / SETTINGS_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_drawn(folder: Path, key: str) -> bool:
    """Whether a clip is there; one whose record was damaged, or whose picture or sound is empty, is drawn again."""
    try:
        read_record(folder / f"{key}.json")
        return all((folder / f"{key}{suffix}").stat().st_size > 0 for suffix in (".mp4", ".wav"))
    except (ClipError, OSError):
        return False


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
        job.seed,
        job.index,
        size=job.size,
        frames=job.frames,
        quality=job.quality,
        split=job.split,
        flaw=job.flaw,
        version=job.version,
        reach=job.reach,
        emotion=job.emotion,
        from_rest=job.from_rest,
    )
    write_clip(job.folder, clip, quality="lossless")


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Write the world's settings into a fresh folder, or check that they are the same."""
    found = _settings_in(folder)
    if found == settings:
        return
    if found is not None:
        raise ValueError(
            f"{folder}: holds a drawn world of other settings ({found}), asked for {settings}; choose another folder"
        )
    # Damaged or missing: the clips tell what they were drawn with, as far as it can be told.
    for key in list_clips(folder):
        drawn = _drawn_with(folder / f"{key}.json")
        if drawn is not None and drawn != {name: settings.get(name, False) for name in drawn}:
            raise ValueError(
                f"{folder / SETTINGS_FILE}: cannot be read, and clips there are of another world ({key}: {drawn}), "
                f"asked for {settings}; choose another folder"
            )
    set_aside(folder / SETTINGS_FILE)
    write_json(folder / SETTINGS_FILE, settings, indent=2)


def _drawn_with(file: Path) -> dict[str, Any] | None:
    """Settings that a clip's record tells; None for one that is damaged, which is drawn again."""
    try:
        record = read_record(file)
        world = record["meta"]["world"]
        told = {"frames": record["frames"], "seed": world["seed"], "version": world["version"]}
        return told | {name: bool(world.get(name)) for name in ("emotion", "from_rest")}
    except (ClipError, KeyError, TypeError):
        return None
