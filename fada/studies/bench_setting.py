"""How a pipeline is called in a benchmark: one setting of steps, scales, guidance and sampler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fada.diffusion.solvers import Solver
from fada.diffusion.spacing import Spacing
from fada.generation.avatar_pipeline import Guidance
from fada.recipe.schema import Recipe


@dataclass(frozen=True, repr=False)
class Setting:
    """How a pipeline is called; solver and spacing are a teacher's.

    scales: of the guidance, in the order of the family's branches; names: theirs.
    """

    steps: int
    scales: tuple[float, ...]
    names: tuple[str, ...]
    guidance: Guidance = "auto"
    solver: Solver = "ddim"
    spacing: Spacing = "time"

    def __repr__(self) -> str:
        # Results are kept under this name: what is left at its default must not make old ones look like others.
        called = {"steps": self.steps, **self.notes, "guidance": self.guidance, **self.sampler}
        return f"Setting({', '.join(f'{name}={value!r}' for name, value in called.items())})"

    @property
    def named(self) -> dict[str, float]:
        """Scales by name, in the order of the branches."""
        return dict(zip(self.names, self.scales, strict=True))

    @property
    def notes(self) -> dict[str, float]:
        """Scales as they are recorded: under `NAME_scale`."""
        return scale_notes(self.names, self.scales)

    @property
    def sampler(self) -> dict[str, Any]:
        """Solver and spacing where they are not the plain ones, as arguments of a call."""
        given = {"solver": self.solver, "spacing": self.spacing}
        plain = {"solver": "ddim", "spacing": "time"}
        return {name: value for name, value in given.items() if value != plain[name]}


def scale_notes(names: Sequence[str], scales: Sequence[float]) -> dict[str, float]:
    """Scales as they are recorded: each under `NAME_scale`, in the order of the branches."""
    return {f"{name}_scale": scale for name, scale in zip(names, scales, strict=True)}


def setting_of(recipe: Recipe, steps: int, scales: tuple[float, ...], **how: Any) -> Setting:
    """How a model of the recipe's family is called; `how` is whatever else a Setting holds."""
    return Setting(steps, scales, recipe.teacher.family.guidance.names, **how)
