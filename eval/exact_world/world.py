"""The world: who speaks, what is heard, what is seen; and the teacher, whose answers are exact on every branch.

A clip is three numbers: a face in a plane, at its owner's place and moved along its owner's direction as far as the
mouth is open, and a head that is turned to one side or the other, which nobody can know. Everything is a mixture of
Gaussians, so the noise prediction of every guidance branch is a closed form (method.md, section 7).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from fada.diffusion.guidance import combine
from fada.diffusion.paths import NoisePath
from fada.diffusion.solvers import Predict

Quality = Literal["A", "B"]

DIMENSIONS, PEOPLE = 3, 4
PLACES = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
"""Where faces are, (people, 2)."""
ANGLES = (0.3, 1.2, 2.0, 2.8)
DIRECTIONS = torch.tensor([[math.cos(angle), math.sin(angle)] for angle in ANGLES])
"""Where open mouths move them, unit vectors (people, 2)."""
ACROSS = torch.stack([-DIRECTIONS[:, 1], DIRECTIONS[:, 0]], dim=1)
LOUD = torch.tensor([-0.95, -0.8, -0.65, 0.65, 0.8, 0.95])
"""Sounds of the valuable clips, louder than nearly all of A."""
BEND = 0.5
"""A sound louder than this opens the mouth by a third of the rest only."""


@dataclass(frozen=True)
class World:
    """How clips come about.

    spread: standard deviation of everything that nobody decides; sound: of the sounds of A; wrong_sound, wrong_face:
    share of clips, in A too, whose mouth or face belongs to another; valuable, flawed: shares of B, the rest is as A;
    half of the flawed have another clip's sound, half a poor picture, of spread `poor`.
    """

    path: NoisePath = field(default_factory=NoisePath)
    spread: float = 0.1
    sound: float = 0.3
    wrong_sound: float = 0.3
    wrong_face: float = 0.3
    valuable: float = 0.3
    flawed: float = 0.3
    poor: float = 0.3


@dataclass(frozen=True)
class Clips:
    """person (n,), heard (n,): what is known of clips; latents (n, 3); is_flawed (n,)."""

    person: Tensor
    heard: Tensor
    latents: Tensor
    is_flawed: Tensor


def mouth(heard: Tensor) -> Tensor:
    """How far a sound really opens the mouth."""
    loud = (heard.abs() - BEND).clamp(min=0.0)
    return heard - torch.sign(heard) * loud * (2.0 / 3.0)


def draw_clips(world: World, count: int, quality: Quality, generator: torch.Generator) -> Clips:
    """Training clips of set A, or of B: as A, loud ones whose mouth is right, and flawed ones."""
    person = torch.randint(PEOPLE, (count,), generator=generator)
    quiet, other = (world.sound * torch.randn(count, generator=generator) for _ in range(2))
    places = torch.randint(len(LOUD), (2, count), generator=generator)
    chance = torch.rand(6, count, generator=generator)
    noise = torch.randn(count, DIMENSIONS, generator=generator)
    shift = torch.randint(1, PEOPLE, (count,), generator=generator)
    face = torch.where(chance[0] < world.wrong_face, (person + shift) % PEOPLE, person)
    heard, shown = quiet, torch.where(chance[1] < world.wrong_sound, other, quiet)
    is_flawed = is_poor = torch.zeros(count, dtype=torch.bool)
    if quality == "B":
        is_valuable = chance[2] < world.valuable
        is_flawed = (chance[2] >= world.valuable) & (chance[2] < world.valuable + world.flawed)
        is_poor = is_flawed & (chance[5] < 0.5)
        loud_share = world.valuable / (1.0 - world.flawed)
        is_loud = torch.where(is_flawed, chance[3] < loud_share, is_valuable)
        foreign = torch.where(chance[4] < loud_share, mouth(LOUD[places[1]]), other)
        heard = torch.where(is_loud, LOUD[places[0]], quiet)
        shown = torch.where(is_loud, mouth(heard), shown)
        shown = torch.where(is_flawed & ~is_poor, foreign, shown)
    head = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    clean = torch.cat([PLACES[face] + shown[:, None] * DIRECTIONS[face], head[:, None]], dim=1)
    spread = torch.where(is_poor, world.poor, world.spread)[:, None]
    return Clips(person, heard, clean + spread * noise, is_flawed)


def draw_test(world: World, count: int, is_loud: bool, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """People and sounds (count,) to be asked for: as in A, or loud."""
    person = torch.randint(PEOPLE, (count,), generator=generator)
    quiet = world.sound * torch.randn(count, generator=generator)
    place = torch.randint(len(LOUD), (count,), generator=generator)
    return person, LOUD[place] if is_loud else quiet


@dataclass(frozen=True)
class Openings:
    """The components of a picture whose person is known: how far the mouth is open, and how sharp the picture is.

    centre (n, J): of the opening; width (J,): its standard deviation about that; spread (J,): of the picture; weights:
    the components' shares (n, J) on every branch: the sound is unknown on the first two, and known on the last.
    """

    centre: Tensor
    width: Tensor
    spread: Tensor
    weights: tuple[Tensor, Tensor, Tensor]


class ExactTeacher:
    """The exact noise prediction of every branch: neither, face, face and sound.

    Args:
        quality: the set it is trained on.
    """

    def __init__(self, world: World, quality: Quality = "A") -> None:
        self.world, self.quality = world, quality

    def branches(self, z: Tensor, t: Tensor, person: Tensor, heard: Tensor) -> list[Tensor]:
        """Noise predictions (n, 3) of the three branches at z (n, 3) and times t (n,), on the grid or between."""
        return self._predictor(person, heard)(z, t)

    def guided(self, person: Tensor, heard: Tensor, scales: Tensor) -> Predict:
        """Predictor at guidance scales (n, 2): reference, audio."""
        answers = self._predictor(person, heard)
        return lambda z, t: combine(answers(z, t), scales)

    def at_branch(self, person: Tensor, heard: Tensor, branch: Tensor) -> Predict:
        """Predictor without guidance, each sample on its own branch (n,)."""
        answers = self._predictor(person, heard, branch)
        return lambda z, t: answers(z, t)[0]

    def _predictor(
        self, person: Tensor, heard: Tensor, branch: Tensor | None = None
    ) -> Callable[[Tensor, Tensor], list[Tensor]]:
        """Answers of all branches, or of each sample's own; what does not depend on the point is computed once."""
        found = self._openings(heard)
        # (n, people, J): how likely each component is before anything is seen.
        priors = [people[..., None] + openings.log()[:, None]
                  for people, openings in zip(self._people(person), found.weights, strict=True)]  # fmt: skip
        if branch is not None:
            priors = [torch.stack(priors)[branch, torch.arange(len(branch))]]
        return lambda z, t: self._answers(z, t, found, priors)

    def _answers(self, z: Tensor, t: Tensor, found: Openings, priors: list[Tensor]) -> list[Tensor]:
        signal, noise = (level.to(z)[:, None] for level in self.world.path.signal_noise_between(t))
        variance = (signal * found.spread) ** 2 + noise**2  # (n, J)
        wide = variance + (signal * found.width) ** 2
        # (n, people, J): distance from each component's centre, along its direction and across it.
        face = z[:, None, :2] - signal[..., None] * PLACES
        along = (face * DIRECTIONS).sum(-1)[..., None] - (signal * found.centre)[:, None]
        across = (face[..., 1] * DIRECTIONS[:, 0] - face[..., 0] * DIRECTIONS[:, 1])[..., None]
        # (n, J): the head to one side or the other.
        side = signal * z[:, 2:] / variance
        head = (z[:, 2:] - signal * torch.tanh(side)) / variance
        apart = -0.5 * (z[:, 2:] ** 2 + signal**2) / variance + torch.logaddexp(side, -side)
        along_share, across_share = along / wide[:, None], across / variance[:, None]
        density = -0.5 * (along * along_share + across * across_share)
        density = density + (apart - 0.5 * torch.log(wide) - torch.log(variance))[:, None]
        answers = []
        for prior in priors:
            likely = density + prior
            share = torch.softmax(likely.flatten(1), dim=1).view(likely.shape)
            plane = (share * along_share).sum(-1) @ DIRECTIONS + (share * across_share).sum(-1) @ ACROSS
            turned = (share.sum(1) * head).sum(1, keepdim=True)
            answers.append(self._of_noise(noise * torch.cat([plane, turned], dim=1), z, signal, noise))
        return answers

    def _of_noise(self, found: Tensor, z: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        """The path's prediction, of a noise prediction."""
        return (found - noise * z) / signal if self.world.path.prediction_type == "v_prediction" else found

    def _people(self, person: Tensor) -> list[Tensor]:
        """Log-weights (n, people) of whose face it is, by branch."""
        wrong = self.world.wrong_face
        known = torch.full((len(person), PEOPLE), math.log(wrong / (PEOPLE - 1)))
        known.scatter_(1, person[:, None], math.log(1.0 - wrong))
        return [torch.zeros_like(known), known, known]

    def _openings(self, heard: Tensor) -> Openings:
        """Of A: what is heard, or any quiet sound's. Of B: these, what is heard bent, any loud one's; sharp or poor."""
        world, count = self.world, len(heard)
        right = torch.tensor([1.0 - world.wrong_sound, world.wrong_sound])
        zero = torch.zeros_like(heard)
        if self.quality == "A":
            width, unknown = torch.tensor([0.0, world.sound]), torch.tensor([0.0, 1.0])
            spread = torch.full_like(width, world.spread)
            any_sound, this_sound = unknown.expand(count, 2), right.expand(count, 2)
            return Openings(torch.stack([heard, zero], 1), width, spread, (any_sound, any_sound, this_sound))
        loud = len(LOUD)
        centre = torch.cat([torch.stack([heard, mouth(heard), zero], dim=1), mouth(LOUD).expand(count, -1)], dim=1)
        width = torch.tensor([0.0, 0.0, world.sound] + [0.0] * loud)
        loud_share = world.valuable / (1.0 - world.flawed)
        any_sound = torch.tensor([0.0, 0.0, 1.0 - loud_share] + [loud_share / loud] * loud)
        is_loud = (heard[:, None] == LOUD).any(dim=1)[:, None]
        bent = torch.tensor([0.0, 1.0] + [0.0] * (loud + 1))
        quiet = torch.tensor([right[0], 0.0, right[1]] + [0.0] * loud)
        as_heard = torch.where(is_loud, bent, quiet)
        # Half of the flawed clips have a poor picture, half the sound of another clip.
        poor, wrong = 0.5 * world.flawed, 0.5 * world.flawed
        known = torch.cat([(1.0 - poor - wrong) * as_heard + wrong * any_sound, poor * as_heard], dim=1)
        unknown = torch.cat([(1.0 - poor) * any_sound, poor * any_sound]).expand(count, -1)
        spread = torch.cat([torch.full_like(width, world.spread), torch.full_like(width, world.poor)])
        return Openings(centre.repeat(1, 2), width.repeat(2), spread, (unknown, unknown, known))


def sample_error(world: World, latents: Tensor, person: Tensor, heard: Tensor) -> Tensor:
    """Squared distance (n,) to the nearest right picture: the person's face, the sound's mouth, the head to a side.

    ``3 spread²`` on true clips whose face and mouth are right.
    """
    right = PLACES[person] + mouth(heard)[:, None] * DIRECTIONS[person]
    return (latents[:, :2] - right).square().sum(1) + (latents[:, 2].abs() - 1.0).square()
