"""What is measured in the exact world: samples of every seed at quiet and loud sounds, against truth and teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fada.eval.exact_world.students import BRANCHES, Asked
from fada.eval.exact_world.world import DIMENSIONS, DIRECTIONS, PLACES, World, draw_test, mouth, sample_error

LIMIT = 1.0
"""The largest error of a picture that counts: beyond it, it is simply another face or mouth."""
WRONG = 11.345
"""In units of the spread's variance: a picture farther from the right one than 99 of 100 true ones (chi-squared, three
degrees of freedom)."""
Measured = dict[str, list[float]]
"""Measure → a value per seed."""
Sample = Callable[[Asked, Tensor, Tensor], Tensor]
"""``sample(asked, z, scales)``: latents (n, 3) from noise, at scales (n, 2)."""


@dataclass(frozen=True)
class Questions:
    """What every row is asked, and from which noise; (seeds * count, ...), quiet half first in each seed's part."""

    seeds: int
    asked: Asked
    noise: Tensor

    @classmethod
    def draw(cls, world: World, seeds: tuple[int, ...], count: int) -> Questions:
        """``count`` quiet and as many loud questions for each seed; a seed's follow from it alone."""
        people, sounds, noises = [], [], []
        for seed in seeds:
            generator = torch.Generator().manual_seed(10_000 * seed + 5_000)
            for is_loud in (False, True):
                person, heard = draw_test(world, count, is_loud, generator)
                people.append(person)
                sounds.append(heard)
            noises.append(torch.randn(2 * count, DIMENSIONS, generator=generator))
        person, heard = torch.cat(people), torch.cat(sounds)
        return cls(len(seeds), Asked(person, heard, torch.full_like(person, BRANCHES - 1)), torch.cat(noises))


@torch.no_grad()
def measure(world: World, tests: Questions, sample: Sample, scales: tuple[float, float], teacher: Tensor) -> Measured:
    """All measures of a way to sample, per seed.

    error, error_loud: mean squared distance to the nearest right picture, counted up to LIMIT, at sounds as in A and at
    loud ones; error_open: of both. wrong, wrong_open: share of pictures farther away than true ones are, at sounds as
    in A and of both; unlike the error it does not reward pictures without variety. mouth, face, head: parts of the
    error, root mean square, of both. distance: mean squared distance to the guided teacher's samples from the same
    noise.
    """
    asked, rows = tests.asked, scales_like(scales, tests.noise)
    found = sample(asked, tests.noise, rows)
    apart_from_right = sample_error(world, found, asked.person, asked.heard)
    error = apart_from_right.clamp(max=LIMIT)
    wrong = (apart_from_right > WRONG * world.spread**2).float().view(tests.seeds, 2, -1).mean(-1)
    apart = found[:, :2] - PLACES[asked.person]
    opening = (apart * DIRECTIONS[asked.person]).sum(1)
    face = apart - opening[:, None] * DIRECTIONS[asked.person]
    halves = error.view(tests.seeds, 2, -1).mean(-1)

    def root(values: Tensor) -> list[float]:
        return values.view(tests.seeds, -1).mean(1).sqrt().tolist()

    return {
        "error": halves[:, 0].tolist(),
        "error_loud": halves[:, 1].tolist(),
        "error_open": halves.mean(1).tolist(),
        "wrong": wrong[:, 0].tolist(),
        "wrong_open": wrong.mean(1).tolist(),
        "mouth": root((opening - mouth(asked.heard)).clamp(-1.0, 1.0).square()),
        "face": root(face.square().sum(1).clamp(max=1.0)),
        "head": root((found[:, 2].abs() - 1.0).square()),
        "distance": (found - teacher).square().sum(1).clamp(max=9.0).view(tests.seeds, -1).mean(1).tolist(),
    }


def scales_like(scales: tuple[float, float], rows: Tensor) -> Tensor:
    """Scales (reference, audio) for every row, (n, 2)."""
    return torch.tensor(scales, dtype=rows.dtype).expand(len(rows), 2)
