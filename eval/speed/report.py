"""What `fada bench --speed` shows and writes: tables for people, JSON for machines, each figure beside its goal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fada.eval.speed.clips import ClipCost
from fada.eval.speed.endpoints import EndpointErrors
from fada.eval.speed.passes import Passes
from fada.eval.speed.steps import StepLine
from fada.files.whole import write_json

STEP_GOAL, CLIP_GOAL, CFG_GOAL = 2.5, 11.5, 0.03
"""A step and a clip so many times faster; CFG layers' share of a pass, at most."""


@dataclass(frozen=True)
class SpeedReport:
    """Everything that was measured of one recipe; parts that were not are empty.

    machine: processor, threads, versions. sizes: of networks and clip. peak_rate: operations per second of matrix
    products. notes: what a reader must know to believe the figures.
    """

    recipe: str
    machine: dict[str, Any]
    sizes: dict[str, Any]
    peak_rate: float
    passes: Passes | None = None
    steps: list[StepLine] = field(default_factory=list)
    endpoints: list[EndpointErrors] = field(default_factory=list)
    clips: list[ClipCost] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write all of it as JSON."""
        write_json(path, asdict(self))

    def print(self, console: Console) -> None:
        """Show the tables and what they say of the goals."""
        console.print(
            f"{self.recipe}: " + ", ".join(f"{key} {value}" for key, value in self.sizes.items()), markup=False
        )
        console.print(", ".join(f"{key} {value}" for key, value in self.machine.items() if value is not None))
        console.print(f"matrix products here: {self.peak_rate / 1e9:.0f} GFLOP/s at best")
        for table in self._tables():
            console.print(table)
        for line in [*self.verdicts(), *self.notes]:
            console.print(line)

    def verdicts(self) -> list[str]:
        """A line per goal that the figures speak about."""
        lines = []
        if self.steps:
            lines.append(f"training step: {_against(self.steps[-1].against_public, STEP_GOAL)}")
        if self.endpoints:
            lines.append(_solver_verdict(self.endpoints))
        if len(self.clips) > 1:
            lines.append(f"denoising of a clip: {_against(self.clips[-1].times_faster['denoise'], CLIP_GOAL)}")
        if self.passes is not None and self.passes.cfg_flop > 0:
            time, flop = self.passes.cfg_time, self.passes.cfg_flop
            is_met = "reached" if time <= CFG_GOAL else "not reached"
            lines.append(
                f"CFG layers: {100 * time:+.1f} % of a pass's time, {100 * flop:.2f} % of its operations "
                f"(goal: at most {100 * CFG_GOAL:g} %, {is_met})"
            )
        return lines

    def _tables(self) -> Iterator[Table]:
        if self.passes is not None:
            yield _pass_table(self.passes, self.peak_rate)
        if self.steps:
            yield _step_table(self.steps)
        if self.endpoints:
            yield _endpoint_table(self.endpoints)
        if self.clips:
            yield _clip_table(self.clips)


def _pass_table(passes: Passes, peak_rate: float) -> Table:
    table = _table("a pass over a clip", "pass", "GFLOP", "ms", "GFLOP/s", "of the peak")
    for cost in passes.costs:
        table.add_row(
            cost.name, f"{cost.flop / 1e9:.2f}", f"{1e3 * cost.seconds:.1f}", f"{cost.rate / 1e9:.0f}",
            f"{100 * cost.rate / peak_rate:.0f} %",
        )  # fmt: skip
    return table


def _step_table(steps: list[StepLine]) -> Table:
    table = _table(
        "a training step: each line adds a measure", "step", "s", "teacher", "x before", "x public", "first loss"
    )
    for line in steps:
        loss = "" if line.loss is None else f"{line.loss:.5g}"
        table.add_row(
            line.name, f"{line.seconds:.3f}", f"{100 * line.teacher_share:.0f} %", f"{line.against_before:.2f}",
            f"{line.against_public:.2f}", loss,
        )  # fmt: skip
    table.caption = "; ".join(f"{line.name}: {line.told}" for line in steps)
    return table


def _endpoint_table(endpoints: list[EndpointErrors]) -> Table:
    count = len(endpoints[0].errors)
    windows = [f"{1 - k / count:.2g} to {1 - (k + 1) / count:.2g}" for k in range(count)]
    table = _table("error of the teacher's window ends, by window", "solver", *windows)
    for each in endpoints:
        table.add_row(each.name, *(f"{error:.5f}" for error in each.errors))
    return table


def _clip_table(clips: list[ClipCost]) -> Table:
    table = _table("a clip", "", *(clip.name for clip in clips))

    def row(name: str, shown: Callable[[ClipCost], str]) -> None:
        table.add_row(name, *(shown(clip) for clip in clips))

    row("evaluations", lambda clip: str(clip.nfe))
    for stage in clips[0].seconds:
        row(f"{stage}, s", lambda clip, stage=stage: f"{clip.seconds[stage]:.3f}")  # type: ignore[misc]
    row("frames per second", lambda clip: f"{clip.frames_per_second:.2f}")
    row("seconds per second of video", lambda clip: f"{clip.real_time_factor:.2f}")
    for part in ("denoise", "whole"):
        row(f"{part}, times faster", lambda clip, part=part: f"{clip.times_faster[part]:.2f}")  # type: ignore[misc]
    row("peak memory, GiB", lambda clip: "" if clip.peak_memory is None else f"{clip.peak_memory / 2**30:.2f}")
    return table


def _solver_verdict(endpoints: list[EndpointErrors]) -> str:
    """Whether the second-order solver stands: its error is no larger than DDIM's in any window."""
    first, *others = endpoints
    told = []
    for other in others:
        smaller = other.is_no_larger(first)
        where = "no larger in any window" if all(smaller) else f"larger in {smaller.count(False)} of {len(smaller)}"
        change = sum(other.errors) / sum(first.errors)
        told.append(f"{other.name}: {where}, {change:.2f} times in the mean")
    return f"window ends against {first.name}: " + "; ".join(told)


def _against(times: float, goal: float) -> str:
    return f"{times:.2f} times faster (goal: {goal:g}, {'reached' if times >= goal else 'not reached'})"


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title)
    table.add_column(first)
    for head in others:
        table.add_column(head, justify="right")
    return table
