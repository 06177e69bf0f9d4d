"""FLOAT's ablations in the drawn world: what conditions frames, what is predicted, motion frames, the velocity loss.

Each row is a vector field trained from nothing with a seed, on the latents of one frozen codec that all share; the row
of the paper's own setting is called at other guidance scales too. How rows are trained and kept: fada/studies/teachers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fada.eval.bench.systems import BenchClip
from fada.files.folders import inside
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.recipe.loading import load_recipe
from fada.recipe.schema import Recipe
from fada.studies.bench_setting import Setting, setting_of
from fada.studies.float.measures import made_by, true_latents
from fada.studies.float.page import write_float_page
from fada.studies.float.rows import AXES, PAPER, ROWS
from fada.studies.teachers.command import run_asked, study_parser
from fada.studies.teachers.study import Kept, TeacherStudy

RECIPE = "tiny/float"
SWEEP_CLIPS = 6
"""Held-out clips of every scale of a sweep, of those that a seed is measured on."""


@dataclass(frozen=True)
class FloatStudy(TeacherStudy):
    """The rows of rows.py; with a given run, of its recipe."""

    clips: int = 12
    kind = "float"

    @property
    def rows(self) -> tuple[str, ...]:
        return tuple(row.name for row in ROWS)

    def recipe(self, row: str, seed: int) -> Recipe:
        path = RECIPE if self.given is None else inside(self.given, "recipe.yaml")
        changes = next(each.overrides for each in ROWS if each.name == row)
        # Previews would decode videos that nobody looks at.
        given = [*self.common(row, seed), "engine.preview_every=0", *self.overrides, *changes]
        return load_recipe(path, given)

    def measured_with(self) -> list[Any]:
        return [AXES, SWEEP_CLIPS]

    def measured(self, row: str, built: AvatarPipeline, clips: Sequence[BenchClip]) -> dict[str, Any]:
        """All measures; of the paper's row also `truth`, those of the true latents, and `sweeps` by axis and scale."""
        weights = sum(each.numel() for each in built.model.parameters())
        found = {**made_by(built, self._setting(row), clips), "weights": weights}
        if row == PAPER:
            found |= {"truth": true_latents(built, clips), "sweeps": self._sweeps(built, clips[:SWEEP_CLIPS])}
        return found

    def _sweeps(self, built: AvatarPipeline, clips: Sequence[BenchClip]) -> dict[str, Any]:
        tried = {
            axis: {f"{at:g}": self._setting(PAPER, **{axis: at}) for at in scales} for axis, scales in AXES.items()
        }
        # The usual scales belong to every axis.
        settings = dict.fromkeys(setting for each in tried.values() for setting in each.values())
        found = {setting: made_by(built, setting, clips) for setting in settings}
        return {axis: {at: found[setting] for at, setting in each.items()} for axis, each in tried.items()}

    def _setting(self, row: str, **scales: float) -> Setting:
        """The recipe's own calls, at other scales where some are given."""
        recipe = self.recipe(row, 0)
        bench = recipe.bench
        named = {name: scales.get(name, scale) for name, scale in bench.scales.items()}
        assert all(scale is not None for scale in named.values())
        return setting_of(
            recipe,
            bench.teacher_steps,
            tuple(scale for scale in named.values() if scale is not None),
            solver=bench.teacher_solver,
            spacing=bench.teacher_spacing,
        )

    def results(self, kept: Mapping[str, Mapping[str, Kept]]) -> dict[str, Any]:
        extra = ("mark", "truth", "sweeps")
        rows = {
            row: {
                seed: {name: value for name, value in each.items() if name not in extra} for seed, each in seeds.items()
            }
            for row, seeds in kept.items()
        }
        paper = kept[PAPER]
        sweeps = {
            axis: {
                f"{scale:g}": {seed: each["sweeps"][axis][f"{scale:g}"] for seed, each in paper.items()}
                for scale in scales
            }
            for axis, scales in AXES.items()
        }
        truth = {seed: each["truth"] for seed, each in paper.items()}
        scales = self.recipe(PAPER, 0).bench.scales
        return {"rows": rows, "truth": truth, "sweeps": sweeps, "scales": scales, "sweep_clips": SWEEP_CLIPS}

    def write_page(self, results: Mapping[str, Any], page: Path) -> Path:
        return write_float_page(results, page)


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m fada.studies.float.study`."""
    parser = study_parser(
        "fada.studies.float.study", __doc__, f"recipes/{RECIPE}.yaml, or of the given run", "runs/float-ablations", 12
    )
    parser.add_argument("--steps", type=int, help="of each training; default: the recipe's")
    asked = parser.parse_args(arguments)
    run_asked(FloatStudy, asked, [] if asked.steps is None else [f"teacher.stages.all.steps={asked.steps}"])


if __name__ == "__main__":
    main()
