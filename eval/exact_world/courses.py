"""What is trained in the exact world: courses that rows have in common, students, and the length of trainings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fada.diffusion.spacing import Spacing, spaced_windows
from fada.diffusion.windows import Windows
from fada.eval.exact_world.world import Quality, World
from fada.student.guidance import GuidanceMode
from fada.student.mixed_loss import MixedLossConfig


@dataclass(frozen=True)
class Course:
    """What rows may have in common: whose clips, which guidance, which windows.

    method, guidance, windows, times, spacing: as in a recipe; solver_steps: of DDIM in a window.
    """

    quality: Quality
    guidance: Literal["sync", "distill"] = "sync"
    method: Literal["perflow", "tcd"] = "perflow"
    windows: int = 4
    times: Literal["uniform", "starts"] = "uniform"
    solver_steps: int = 8
    spacing: Spacing = "time"


@dataclass(frozen=True)
class Student:
    """One row's training: its course, and what is its own."""

    name: str
    course: Course
    loss: MixedLossConfig = field(default_factory=lambda: MixedLossConfig(weighting="fixed", base=0.0))
    mode: GuidanceMode = "none"
    is_matched: bool = False


@dataclass(frozen=True)
class Plan:
    """seeds: of draws and of new layers; steps, batch, lr: of every training; copy_steps, copy_batch, copy_lr: of the
    teacher's copy, from which all of them start."""

    seeds: tuple[int, ...]
    steps: int = 500
    batch: int = 32
    lr: float = 4e-3
    copy_steps: int = 8000
    copy_batch: int = 512
    copy_lr: float = 4e-3


def windows_of(world: World, course: Course, is_matched: bool) -> Windows:
    """The windows of a course; those of its steps for trajectory consistency."""
    return spaced_windows(world.path, course.windows, course.spacing, is_matched=is_matched)
