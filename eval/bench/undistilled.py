"""The best that the teacher can do without training, at a given cost: which solver, and where its steps lie.

Knows candidates, criteria and the choice; who samples and measures is told elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np
import torch

from fada.diffusion.paths import NoisePath
from fada.diffusion.solvers import Solver
from fada.diffusion.spacing import Spacing, spaced_points
from fada.eval.bench.qualities import quality_error

Sampler = tuple[Solver, Spacing]
SAMPLERS: tuple[Sampler, ...] = tuple(product(("ddim", "dpmpp_2m"), ("time", "log_snr", "noise_share")))
"""Those that are searched; the first is the plain one."""
PLAIN = SAMPLERS[0]


Candidate = TypeVar("Candidate")


@dataclass(frozen=True)
class Tried:
    """One sampler on the spare clips.

    Args:
        solver: of its steps.
        spacing: of which clock they are equal parts.
        values: by quality measure, in its own unit: one per clip, or the only one of a distance over all clips.
        distance: of latents to the guided teacher's of many steps, from the same noise.
    """

    solver: Solver
    spacing: Spacing
    values: Mapping[str, Sequence[float]]
    distance: float

    @property
    def sampler(self) -> Sampler:
        """Solver and spacing."""
        return self.solver, self.spacing


@dataclass(frozen=True)
class Search:
    """All samplers that were tried at one cost.

    Args:
        cost: what is called, for example ``guided 6 x 3``.
        tried: in the order of `SAMPLERS`.
        clips: keys of the spare clips.
    """

    cost: str
    tried: Sequence[Tried]
    clips: Sequence[str] = ()

    def error(self, tried: Tried) -> float:
        """The geometric mean of the quality measures' errors; infinite where a clip has no value that others have.

        A mouth that never moves has no correlation: it must not win by leaving the worst clips out.
        """
        wanted = {name: max(len(each.values.get(name, ())) for each in self.tried) for name in self._measures}
        if any(len(tried.values.get(name, ())) < count for name, count in wanted.items()):
            return math.inf
        return quality_error({name: float(np.mean(tried.values[name])) for name in self._measures})

    @property
    def _measures(self) -> list[str]:
        return list(dict.fromkeys(name for each in self.tried for name in each.values))

    @property
    def best(self) -> Tried:
        """The one with the least error of quality."""
        return least(self.tried, self.error)

    @property
    def nearest(self) -> Tried:
        """The one nearest to the guided teacher of many steps."""
        return least(self.tried, lambda each: each.distance)

    @property
    def kept(self) -> dict[str, Sampler]:
        """What the report measures beside the plain sampler, by what it won in; each sampler once."""
        found = {"best": self.best.sampler, "nearest": self.nearest.sampler}
        named: dict[Sampler, str] = {PLAIN: ""}
        for criterion, sampler in found.items():
            named.setdefault(sampler, criterion)
        return {criterion: sampler for sampler, criterion in named.items() if criterion}


def least(tried: Iterable[Candidate], error: Callable[[Candidate], float]) -> Candidate:
    """The candidate with the smallest error; of equal ones the first."""
    return min(tried, key=error)


def distinct_samplers(path: NoisePath, steps: int) -> list[Sampler]:
    """Those of `SAMPLERS` that differ at so many steps: clocks may agree, and second order may have no effect.

    It has none in the first step, and none in the second where the start holds no signal (see `solve`).
    """
    one = torch.ones(1, dtype=torch.float64)
    first_orders = 1 if float(path.signal_noise(one)[0]) > 0 else 2
    found: dict[tuple[object, ...], Sampler] = {}
    for solver, spacing in SAMPLERS:
        points = spaced_points(path, one, 0 * one, steps, spacing)[:, 0].tolist()
        found.setdefault((solver if steps > first_orders else PLAIN[0], *points), (solver, spacing))
    return list(found.values())
