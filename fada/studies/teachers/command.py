"""The command line that studies of teachers have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fada.studies.teachers.study import TeacherStudy, run_study
from fada.terminal import SafeConsole

MakeStudy = Callable[..., TeacherStudy]
"""seeds, out, clips, overrides, given -> the study."""


def study_parser(module: str, words: str | None, recipe: str, out: str, clips: int) -> argparse.ArgumentParser:
    """Arguments of `python -m MODULE`; `out` and `clips` are defaults."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=words)
    parser.add_argument("--seeds", type=int, default=5, help="trainings of every row, with seeds 0, 1, …")
    parser.add_argument("--clips", type=int, default=clips, help="held-out clips that a seed is measured on")
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument("--threads", type=int, help="of each training; default: the recipe's")
    parser.add_argument("--rows", help="train these rows alone, names with commas between; default: all")
    parser.add_argument("--run", type=Path, help="a finished run whose codec and clips are used; default: made in OUT")
    parser.add_argument("--out", type=Path, default=Path(out), help="folder of everything")
    parser.add_argument("--page", type=Path, help="where the page goes; default: in OUT")
    parser.add_argument("--so-far", action="store_true", help="train nothing: the page of what is finished")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=f"of {recipe}")
    return parser


def run_asked(make: MakeStudy, asked: argparse.Namespace, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Run the study that was asked for; `overrides` are further ones, of the study's own arguments."""
    given = (*overrides, *asked.overrides)
    # Threads are no part of what a row follows from; they are not named on the page.
    study = make(asked.seeds, asked.out, asked.clips, given, asked.run, asked.threads)
    page = asked.page or asked.out / f"{study.kind}.md"
    only = None if asked.rows is None else asked.rows.split(",")
    return run_study(study, SafeConsole(), page, jobs=asked.jobs, trains=not asked.so_far, only=only)
