"""The network that every student starts from: a copy of the teacher, learned where samplers really go.

A student in practice starts as its teacher, weight for weight. Here the teacher is a formula, so a network is taught
its answers first: on trajectories of the teacher at all scales (guidance leads off the noise path), on each branch's
own, and on the chords that training walks, at quiet and at loud sounds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fada.diffusion.guidance import combine
from fada.diffusion.windows import Windows
from fada.eval.exact_world.optimiser import Optimiser
from fada.eval.exact_world.students import BRANCHES, Asked, Students
from fada.eval.exact_world.world import DIMENSIONS, PEOPLE, ExactTeacher, World, draw_clips

AUDIO, REFERENCE = (1.0, 9.0), (1.0, 4.0)
"""Scales that students with CFG layers learn, and at which the copy is taught: the paper's."""
WALK_STEPS = 25
"""Steps of a walker from noise to data, of the teacher's length."""
ON_CHORDS = 0.25
"""Share of the copy's points that lie on chords of data and noise inside windows, in place of trajectories."""
GUIDED_SHARE = 0.05
"""Weight of the guided answer's error beside the branches' own: guidance multiplies their differences."""
Weights = dict[str, Tensor]


class _Walkers:
    """Points under way from noise to data, a step at a time, each at its own scales; they begin again at the end."""

    def __init__(self, world: World, count: int, generator: torch.Generator) -> None:
        self.world, self.count, self.generator = world, count, generator
        self.z = torch.zeros(count, DIMENSIONS)
        self.t = torch.zeros(count, dtype=torch.float64)
        self.scales = torch.zeros(count, 2)
        self.asked = Asked(*(torch.zeros(count, dtype=torch.long) for _ in range(3)))
        self._begin(torch.ones(count, dtype=torch.bool))
        # Not all at the same time, from the first step on.
        self.t = self._grid(torch.rand(count, generator=generator).double())

    def step(self, guided: Tensor) -> None:
        """One DDIM step with the guided answer."""
        ahead = self._grid((self.t - 1.0 / WALK_STEPS).clamp(min=0.0))
        clean, noise = self.world.path.to_clean_and_noise(guided, self.z, self.t)
        signal_next, noise_next = self.world.path.signal_noise(ahead, like=self.z)
        self.z, self.t = signal_next * clean + noise_next * noise, ahead
        self._begin(self.t <= 0)

    def _begin(self, where: Tensor) -> None:
        count, generator = self.count, self.generator
        fresh, chance = torch.randn(count, DIMENSIONS, generator=generator), torch.rand(4, count, generator=generator)
        self.z = torch.where(where[:, None], fresh, self.z)
        # The first step is of any length, so that all times are visited.
        first = torch.where(chance[3] < 0.5, 1.0, 1.0 - chance[2].double() / WALK_STEPS)
        self.t = torch.where(where, self._grid(first), self.t)
        low, high = (torch.tensor([REFERENCE[end], AUDIO[end]]) for end in (0, 1))
        scales = low + torch.rand(count, 2, generator=generator) * (high - low)
        for branch, (from_share, to_share) in enumerate(((0.0, 0.1), (0.1, 0.2), (0.2, 0.4))):
            alone = (chance[0] >= from_share) & (chance[0] < to_share)
            scales[alone] = torch.tensor([float(branch >= 1), float(branch >= 2)])
        self.scales = torch.where(where[:, None], scales, self.scales)
        person, heard = asked_for(self.world, count, generator)
        self.asked = Asked(
            torch.where(where, person, self.asked.person),
            torch.where(where, heard, self.asked.heard),
            self.asked.branch,
        )

    def _grid(self, t: Tensor) -> Tensor:
        total = self.world.path.num_train_timesteps
        return torch.round(t * total) / total


def asked_for(world: World, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """People and sounds (count,): half as in A, half of any loudness."""
    person = torch.randint(PEOPLE, (count,), generator=generator)
    quiet, wide = (
        world.sound * torch.randn(count, generator=generator),
        2.0 * torch.rand(count, generator=generator) - 1.0,
    )
    return person, torch.where(torch.rand(count, generator=generator) < 0.5, quiet, wide)


def chord_points(world: World, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Points, times, people and sounds on chords of data and noise, in windows of one to six to the way."""
    clips = draw_clips(world, count, "B", generator)
    noise = torch.randn(count, DIMENSIONS, generator=generator)
    points, times = torch.empty_like(noise), torch.empty(count, dtype=torch.float64)
    parts = torch.arange(count).tensor_split(4)
    for windows, part in zip((1, 4, 4, 6), parts, strict=True):
        t = Windows(windows).draw_times(len(part), generator)
        start, end = Windows(windows).look_up(t)
        share = ((start - t) / (start - end))[:, None].float()
        first, last = (world.path.add_noise(clips.latents[part], noise[part], each) for each in (start, end))
        points[part], times[part] = torch.lerp(first, last, share), t
    return points, times, clips.person, clips.heard


def train_copy(world: World, steps: int, batch: int, lr: float) -> Weights:
    """The network that answers as the teacher does on every branch.

    Returns:
        Weights with a first dimension of one.
    """
    students, teacher = Students(world.path, "none", [0], is_copy=True), ExactTeacher(world)
    optimiser, generator = Optimiser(students.weights, steps, lr), torch.Generator().manual_seed(17)
    on_chords = int(ON_CHORDS * batch)
    walkers = _Walkers(world, batch - on_chords, generator)
    for _ in range(steps):
        points, times, person, heard = chord_points(world, on_chords, generator)
        z, t = torch.cat([walkers.z, points]), torch.cat([walkers.t, times])
        asked = Asked(torch.cat([walkers.asked.person, person]), torch.cat([walkers.asked.heard, heard]), t.long())
        scales = torch.cat([walkers.scales, walkers.scales[torch.arange(on_chords) % walkers.count]])
        with torch.no_grad():
            answers = teacher.branches(z, t, asked.person, asked.heard)
            target = combine(answers, scales)
        every = Asked(asked.person.repeat(BRANCHES), asked.heard.repeat(BRANCHES),
                      torch.arange(BRANCHES).repeat_interleave(len(z)))  # fmt: skip
        found = students(z.repeat(BRANCHES, 1), t.repeat(BRANCHES), every).view(BRANCHES, len(z), -1)
        own = (found - torch.stack(answers)).square().mean()
        guided = (combine(list(found), scales) - target).square().mean()
        optimiser.step(own + GUIDED_SHARE * guided)
        walkers.step(target[: walkers.count])
    return optimiser.averages
