"""What students without any error would reach, and what can be had without training: no network, only the teacher.

A perfect fast student is the guided teacher itself: its way through each window is the teacher's. A perfect balanced
student goes each branch's true way to the window's end, and combines the ends: with wide windows and large scales that
is another sampler than the teacher, however well it is learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from fada.diffusion.guidance import combine
from fada.diffusion.solvers import solve
from fada.diffusion.spacing import Spacing, spaced_windows
from fada.diffusion.windows import Windows
from fada.eval.bench.undistilled import SAMPLERS
from fada.eval.exact_world.measures import Measured, Questions, Sample, measure, scales_like
from fada.eval.exact_world.samplers import TEACHER_STEPS, Call, Network, Undistilled, of_teacher
from fada.eval.exact_world.students import BRANCHES, Asked
from fada.eval.exact_world.world import ExactTeacher, World

SCALE_PAIRS = ((1.0, 1.0), (1.5, 2.0), (2.0, 4.0), (2.0, 6.5), (2.5, 6.5), (4.0, 9.0))
"""Reference and audio scales, the paper's among them."""
WINDOW_COUNTS = (1, 2, 3, 4, 6, 8)
SPACINGS: tuple[Spacing, ...] = ("time", "log_snr", "noise_share")
FINE_STEPS = 48
"""DDIM steps of a perfect way from noise to data, divided among the windows; at least FEWEST in each."""
FEWEST = 6
SEARCHED: tuple[tuple[int, Call], ...] = ((6, "guided"), (2, "guided"), (6, "conditional"))
"""Undistilled samplers at the students' costs: steps, and how the network is called."""


@dataclass(frozen=True)
class Bound:
    """One way to sample at a pair of scales; windows and spacing of perfect balanced students, cost in evaluations."""

    name: str
    reference: float
    audio: float
    cost: int
    measures: Measured
    windows: int | None = None
    spacing: str | None = None


def by_perfect_windows(
    world: World, windows: Windows, teacher: ExactTeacher, fine_steps: int = FINE_STEPS // 4
) -> Sample:
    """What a balanced student without any error does, a step per window: each branch's true window end, combined."""

    def sample(asked: Asked, z: Tensor, scales: Tensor) -> Tensor:
        every = asked.repeat(BRANCHES)
        branch = torch.arange(BRANCHES).repeat_interleave(len(z))
        predict = teacher.at_branch(every.person, every.heard, branch)
        for place in range(windows.count, 0, -1):
            end, start = (torch.full((len(branch),), bound).double() for bound in windows.bounds[place - 1 : place + 1])
            ends = solve(predict, world.path, z.repeat(BRANCHES, 1), start, end, fine_steps)
            z = combine(list(ends.view(BRANCHES, len(z), -1)), scales)
        return z

    return sample


CHOSEN_BY = ("error", "error_open")
"""Measures that undistilled samplers are chosen by, each its own: the baseline is the strongest there is."""


@dataclass(frozen=True)
class Chosen:
    """An undistilled sampler, and whose network it calls."""

    way: Undistilled
    network: str


def best_undistilled(
    world: World,
    networks: Mapping[str, Network],
    steps: int,
    call: Call,
    scales: tuple[float, float],
    measures: Sequence[str],
    spare: Questions,
) -> dict[str, Chosen]:
    """For each measure the network, solver and nodes with the smallest error on spare draws, among `networks` and
    SAMPLERS."""
    none = torch.zeros_like(spare.noise)
    ways = [Chosen(Undistilled(steps, call, *each), name) for name in networks for each in SAMPLERS]
    found = [measure(world, spare, way.way.sample(world, networks[way.network]), scales, none) for way in ways]
    return {name: ways[min(range(len(ways)), key=lambda each: sum(found[each][name]))] for name in measures}


def bounds_at(
    world: World, networks: Mapping[str, Network], tests: Questions, spare: Questions, scales: tuple[float, float]
) -> list[Bound]:
    """The teacher, the best undistilled samplers (chosen on `spare`), and perfect balanced students."""
    teacher, none = ExactTeacher(world), torch.zeros_like(tests.noise)
    full, network = Undistilled(TEACHER_STEPS), of_teacher(teacher)
    reference = full.sample(world, network)(tests.asked, tests.noise, scales_like(scales, none))

    def bound(name: str, cost: int, sample: Sample, **windows: Any) -> Bound:
        return Bound(name, *scales, cost, measure(world, tests, sample, scales, reference), **windows)

    found = [bound("teacher", full.cost, full.sample(world, network))]
    for steps, call in SEARCHED:
        for key, best in best_undistilled(world, networks, steps, call, scales, CHOSEN_BY, spare).items():
            found.append(
                bound(f"undistilled {call} {best.way.cost}, best in {key}", best.way.cost,
                      best.way.sample(world, networks[best.network]))
            )  # fmt: skip
    for count in WINDOW_COUNTS:
        for spacing in SPACINGS if count > 1 else SPACINGS[:1]:
            windows = spaced_windows(world.path, count, spacing)
            sample = by_perfect_windows(world, windows, teacher, max(FEWEST, FINE_STEPS // count))
            found.append(bound("perfect balanced", BRANCHES * count, sample, windows=count, spacing=spacing))
    return found


def as_plain(found: list[Bound]) -> list[dict[str, Any]]:
    """For a file of results."""
    return [asdict(each) for each in found]
