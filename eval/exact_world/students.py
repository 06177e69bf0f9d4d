"""Students of the exact world: small networks with the toolkit's own CFG layers, many seeds side by side.

A student is a residual MLP; its scales enter as in every family's denoising net (student/guidance.py). `Students` holds
one set of weights per seed, stacked, and evaluates all seeds in one call.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor, nn
from torch.func import stack_module_state
from torch.nn.functional import silu

from fada.diffusion.guidance import combine
from fada.diffusion.paths import NoisePath
from fada.diffusion.solvers import Predict
from fada.eval.exact_world.stacked import StackedScales, linear, normed
from fada.eval.exact_world.world import DIMENSIONS, PEOPLE
from fada.student.guidance import GuidanceLayers, GuidanceMode
from fada.teacher.dual_unet.layers import Hook, zero_output

WIDTH, BLOCKS, GUIDANCE_DIM, GUIDANCE_TOKENS, HEADS = 64, 2, 16, 4, 4
SINUSOID = 64
"""Width of the time's sinusoid."""
TICKS = 24
"""Equal parts of time whose number the clock says; windows of 1, 2, 3, 4, 6 and 8 to the way begin at them."""
CLOCK = SINUSOID + TICKS - 1
TICK_TOLERANCE = 1e-5
"""Of times on a tick, above the rounding of window bounds and below a timestep."""
SPREAD, EVIDENCE, SHARP = 0.1, 8.0, 4.0
"""How sharp pictures are, how much evidence counts as certain, and how much sharper students see it."""
BRANCHES = 3
LAST = BRANCHES - 1


@dataclass(frozen=True)
class Asked:
    """What networks are asked for, (n,) each: person, heard; branch: 0 neither, 1 the person, 2 both."""

    person: Tensor
    heard: Tensor
    branch: Tensor

    def repeat(self, times: int) -> Asked:
        """The same, so many times one after the other."""
        return Asked(self.person.repeat(times), self.heard.repeat(times), self.branch.repeat(times))

    def at(self, branch: int) -> Asked:
        """The same on one branch."""
        return Asked(self.person, self.heard, torch.full_like(self.branch, branch))


@dataclass(frozen=True)
class _Conditions:
    """What the scales are put into: the time's part, or hooks of the blocks; nothing without scales."""

    time: Tensor | None = None
    hooks: list[Hook] = field(default_factory=list)


class _Block(nn.Module):
    """A residual layer, and before it a site for the CFG layer, as a transformer block has them."""

    def __init__(self) -> None:
        super().__init__()
        self.norm3 = nn.LayerNorm(WIDTH)
        self.inner = nn.Linear(WIDTH, WIDTH)
        self.outer = nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden: Tensor, hook: Hook | None) -> Tensor:
        if hook is not None:
            hidden = hook(hidden[:, None])[:, 0]
        return hidden + self.outer(nn.functional.silu(self.inner(self.norm3(hidden))))


class ExactStudent(nn.Module):
    """One student: the path's prediction (n, 3) at points (n, 3) and times (n,), by the scales that it is given.

    Beside the copy's layers a student has what windows ask for: a clock with ticks, sharper evidence, and steps in what
    it says of a picture. As its CFG layers, these start without effect: an untrained student is the copy.
    """

    def __init__(self, path: NoisePath, mode: GuidanceMode, is_copy: bool = False) -> None:
        super().__init__()
        self.path = path
        self.enter = nn.Linear(3 * DIMENSIONS + 2 + PEOPLE + 1 + 2, WIDTH)
        self.time = nn.Sequential(nn.Linear(SINUSOID, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        self.blocks = nn.ModuleList([_Block() for _ in range(BLOCKS)])
        self.leave = nn.Linear(WIDTH, DIMENSIONS)
        self.is_copy = is_copy
        if not is_copy:
            self.ticks = nn.Linear(TICKS - 1 + DIMENSIONS, WIDTH, bias=False)
            self.steps = nn.Linear(WIDTH, 4 * DIMENSIONS)
            zero_output(self.ticks)
            zero_output(self.steps)
        self.guidance_layers: GuidanceLayers | None = None
        if mode != "none":
            sites = (WIDTH,) * BLOCKS
            self.guidance_layers = GuidanceLayers(mode, GUIDANCE_TOKENS, BRANCHES, GUIDANCE_DIM, HEADS, sites, WIDTH)

    def forward(self, z: Tensor, features: Tensor, scales: Tensor | None) -> Tensor:
        """Args: features as `features_of` makes them; scales (n, 2): reference, audio, or None."""
        told = _Conditions()
        if self.guidance_layers is not None and scales is not None:
            told = self.guidance_layers.with_scales(told, scales)
        clock, ticks, features = split(features)
        # As in a UNet, scales stand beside the time where they are told so.
        time = self.time(clock) if told.time is None else self.time(clock) + told.time
        hidden = self.enter(entrance(z, features))
        if not self.is_copy:
            hidden = hidden + self.ticks(sharp_entrance(z, ticks, features))
        for index, block in enumerate(self.blocks):
            hidden = block(hidden + time, told.hooks[index] if told.hooks else None)
        found = silu(hidden)
        return answer(self.path, z, features, self.leave(found), None if self.is_copy else self.steps(found))


def split(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The sinusoid, the ticks, and levels and conditions."""
    return features[..., :SINUSOID], features[..., SINUSOID:CLOCK], features[..., CLOCK:]


def entrance(z: Tensor, features: Tensor) -> Tensor:
    """What the first layer sees: points, what they say, and levels and conditions."""
    evidence = evidence_of(z, features)
    # What a point says for one picture against another grows as noise falls; the network need not learn that.
    return torch.cat([z, torch.tanh(evidence), torch.tanh(evidence / EVIDENCE) * 2.0, features], dim=-1)


def sharp_entrance(z: Tensor, ticks: Tensor, features: Tensor) -> Tensor:
    """What students see beside that: ticks, and evidence as sharp as at a window's end, which its start must answer."""
    return torch.cat([ticks, torch.tanh(evidence_of(z, features) * SHARP)], dim=-1)


def evidence_of(z: Tensor, features: Tensor) -> Tensor:
    """What a point says for 1 against -1, of every number of a picture: half the log-odds."""
    signal, noise = features[..., :1], features[..., 1:2]
    return signal * z / ((signal * SPREAD) ** 2 + noise**2)


def answer(path: NoisePath, z: Tensor, features: Tensor, picture: Tensor, steps: Tensor | None) -> Tensor:
    """The path's prediction at z, where the network says in which picture it ends (as in EDM, arXiv 2206.00364).

    Students say four more of every number of the picture (..., 4 * 3): how much of z is kept, and a step between two
    places, how large, how sharp, and where: as a posterior between two pictures has it, and sharper over a window.
    """
    signal, noise = features[..., :1], features[..., 1:2]
    variance = (signal * SPREAD) ** 2 + noise**2
    if steps is not None:
        kept, size, sharpness, shift = steps.unflatten(-1, (4, DIMENSIONS)).unbind(-2)
        step = torch.tanh((1.0 + sharpness) * (signal * z / variance) + shift)
        picture = picture + kept * z + size * step
    share = noise / variance
    if path.prediction_type == "v_prediction":
        return share * ((1.0 - SPREAD**2) * signal * z - picture)
    return share * (z - signal * picture)


def features_of(path: NoisePath, t: Tensor, asked: Asked) -> Tensor:
    """(n, CLOCK + 9): the clock, levels of signal and noise, and conditions that the branch knows."""
    signal, noise = path.signal_noise_between(t)
    knows = torch.stack([asked.branch >= 1, asked.branch >= 2], dim=1).float()
    person = nn.functional.one_hot(asked.person, PEOPLE) * knows[:, :1]
    heard = asked.heard[:, None] * knows[:, 1:]
    levels = torch.stack([signal, noise], dim=1).float()
    return torch.cat([clock_of(path, t), levels, person, heard, knows], dim=1)


def clock_of(path: NoisePath, t: Tensor) -> Tensor:
    """(n, CLOCK): the sinusoid of UNets, and which ticks are still ahead.

    What a student should answer jumps between the end of one window and the start of the next, a single timestep away,
    and samplers call it right there. Large networks resolve that by their sinusoid; one of a few thousand steps does
    not, and errs most where it is called.
    """
    sinusoid = get_timestep_embedding(path.network_timestep(t), SINUSOID, flip_sin_to_cos=True, downscale_freq_shift=0)
    ticks = torch.arange(1, TICKS, dtype=torch.float64) / TICKS
    # A time on a tick belongs to the window that starts there, as in Windows.look_up.
    return torch.cat([sinusoid, (t.double()[:, None] > ticks + TICK_TOLERANCE).float()], dim=1)


class Students:
    """As many students as seeds, stacked; new ones differ by their initial weights.

    weights: name → (seeds, ...). Batches are all seeds' one after the other: (seeds * n, ...).
    """

    def __init__(self, path: NoisePath, mode: GuidanceMode, seeds: list[int], is_copy: bool = False) -> None:
        modules = []
        for seed in seeds:
            torch.manual_seed(seed)
            modules.append(ExactStudent(path, mode, is_copy))
        self.path, self.mode, self.count, self.is_copy = path, mode, len(seeds), is_copy
        self.module = modules[0]
        stacked, _ = stack_module_state(modules)
        self.weights = {name: value.detach().requires_grad_() for name, value in stacked.items()}

    def start_from(self, weights: dict[str, Tensor]) -> Students:
        """Take over the weights that are there; layers that a copy lacks stay as they are."""
        with torch.no_grad():
            for name, value in weights.items():
                self.weights[name].copy_(value)
        return self

    def __call__(
        self,
        z: Tensor,
        t: Tensor,
        asked: Asked,
        scales: Tensor | None = None,
        weights: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """Predictions (seeds * n, 3) of all seeds; `weights` in place of the own ones."""
        return self.evaluate(z.float(), features_of(self.path, t, asked), scales, weights)

    def evaluate(
        self, z: Tensor, features: Tensor, scales: Tensor | None = None, weights: dict[str, Tensor] | None = None
    ) -> Tensor:
        """The same, of features that are known (`features_of`)."""
        own, inside = self.weights if weights is None else weights, None
        points, features = (each.view(self.count, -1, each.shape[-1]) for each in (z, features))
        if scales is not None and self.mode != "none":
            inside = StackedScales(own, self.mode, scales.view(self.count, -1, scales.shape[-1]), HEADS)
        clock, ticks, features = split(features)
        time = linear(own, "time.2", silu(linear(own, "time.0", clock)))
        added = None if inside is None else inside.time()
        time = time if added is None else time + added
        hidden = linear(own, "enter", entrance(points, features))
        if not self.is_copy:
            hidden = hidden + linear(own, "ticks", sharp_entrance(points, ticks, features))
        for place in range(BLOCKS):
            hidden = hidden + time
            if inside is not None:
                hidden = inside.layer(f"guidance_layers.layers.{place}", hidden)
            inner = silu(linear(own, f"blocks.{place}.inner", normed(own, f"blocks.{place}.norm3", hidden)))
            hidden = hidden + linear(own, f"blocks.{place}.outer", inner)
        found = silu(hidden)
        steps = None if self.is_copy else linear(own, "steps", found)
        return answer(self.path, points, features, linear(own, "leave", found), steps).flatten(0, 1)

    def guided(self, asked: Asked, scales: Tensor) -> Predict:
        """Predictor with guidance outside: three branches, combined at scales (seeds * n, 2)."""

        def predict(z: Tensor, t: Tensor) -> Tensor:
            answers = [self(z, t, asked.at(branch)) for branch in range(BRANCHES)]
            return combine(answers, scales)

        return predict

    def once(self, asked: Asked, scales: Tensor | None) -> Predict:
        """Predictor of one evaluation, all conditions known; with scales (seeds * n, 2) inside, or None."""
        return lambda z, t: self(z, t, asked.at(LAST), scales)
