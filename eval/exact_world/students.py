"""Students of the exact world: small networks with the toolkit's own CFG layers, many seeds side by side.

A student is a residual MLP; its scales enter as in every family's denoising net (student/guidance.py). `Students` holds
one set of weights per seed, stacked, and evaluates all seeds in one call.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from fada.diffusion.ladder import combine
from fada.diffusion.paths import NoisePath
from fada.diffusion.solvers import Predict
from fada.eval.exact_world.world import DIMENSIONS, PEOPLE
from fada.student.guidance import GuidanceMode, ScalesInside

WIDTH, BLOCKS, GUIDANCE_DIM, GUIDANCE_TOKENS, HEADS = 64, 2, 16, 4, 4
SINUSOID = 64
"""Width of the time's sinusoid."""
SPREAD, EVIDENCE = 0.1, 8.0
"""How sharp pictures are, and how much evidence counts as certain."""
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
    """Of ScalesInside: time, or keys and values of the blocks' CFG layers; None without scales."""

    time: Tensor | None = None
    guidance: list[Any] | None = None


class _Block(nn.Module):
    """A residual layer, and before it the CFG layer, as a transformer block has them."""

    def __init__(self) -> None:
        super().__init__()
        self.guidance: nn.Module | None = None
        self.norm3 = nn.LayerNorm(WIDTH)
        self.inner = nn.Linear(WIDTH, WIDTH)
        self.outer = nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden: Tensor, guidance: Any) -> Tensor:
        if self.guidance is not None and guidance is not None:
            hidden = self.guidance(hidden[:, None], guidance)[:, 0]
        return hidden + self.outer(nn.functional.silu(self.inner(self.norm3(hidden))))


class ExactStudent(ScalesInside, nn.Module):
    """One student: the noise prediction (n, 3) at points (n, 3) and times (n,); with mode `none` the teacher's copy."""

    def __init__(self, path: NoisePath, mode: GuidanceMode) -> None:
        super().__init__()
        self.path, self.config = path, SimpleNamespace(guidance_mode=mode)
        self.enter = nn.Linear(2 * DIMENSIONS + 2 + PEOPLE + 1 + 2, WIDTH)
        self.time = nn.Sequential(nn.Linear(SINUSOID, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        self.blocks = nn.ModuleList([_Block() for _ in range(BLOCKS)])
        self.leave = nn.Linear(WIDTH, DIMENSIONS)
        self.add_scales(mode, BRANCHES, GUIDANCE_TOKENS, GUIDANCE_DIM, HEADS, WIDTH)

    def guidance_blocks(self) -> list[Any]:
        """The blocks that have CFG layers."""
        return list(self.blocks)

    def forward(self, z: Tensor, features: Tensor, scales: Tensor | None) -> Tensor:
        """Args: features as `features_of` makes them; scales (n, 2): reference, audio, or None."""
        told: _Conditions = self.told(_Conditions(), scales)
        sinusoid, features = features[:, :SINUSOID], features[:, SINUSOID:]
        signal, noise = features[:, :1], features[:, 1:2]
        variance = (signal * SPREAD) ** 2 + noise**2
        # What a point says for one picture against another grows as noise falls; the network need not learn that.
        evidence = torch.tanh(signal * z / variance / EVIDENCE) * 2.0
        # As in a UNet: a sinusoid of the timestep, and scales beside it where they are told so. Windows end between two
        # timesteps; a clock that is too smooth cannot tell their starts from the ends before.
        time = self.time(sinusoid) if told.time is None else self.time(sinusoid) + told.time
        hidden = self.enter(torch.cat([z, evidence, features], dim=1))
        for index, block in enumerate(self.blocks):
            hidden = block(hidden + time, None if told.guidance is None else told.guidance[index])
        # The network says where the picture lies, and so what of the point is noise (as in EDM, arXiv 2206.00364).
        return noise * (z - signal * self.leave(nn.functional.silu(hidden))) / variance


def features_of(path: NoisePath, t: Tensor, asked: Asked) -> Tensor:
    """(n, SINUSOID + 9): the sinusoid of UNets, levels of signal and noise, and conditions that the branch knows."""
    signal, noise = path.signal_noise_between(t)
    sinusoid = get_timestep_embedding(path.network_timestep(t), SINUSOID, flip_sin_to_cos=True, downscale_freq_shift=0)
    knows = torch.stack([asked.branch >= 1, asked.branch >= 2], dim=1).float()
    person = nn.functional.one_hot(asked.person, PEOPLE) * knows[:, :1]
    heard = asked.heard[:, None] * knows[:, 1:]
    levels = torch.stack([signal, noise], dim=1).float()
    return torch.cat([sinusoid, levels, person, heard, knows], dim=1)


class Students:
    """As many students as seeds, stacked; new ones differ by their initial weights.

    weights: name → (seeds, ...). Batches are all seeds' one after the other: (seeds * n, ...).
    """

    def __init__(self, path: NoisePath, mode: GuidanceMode, seeds: list[int]) -> None:
        modules = []
        for seed in seeds:
            torch.manual_seed(seed)
            modules.append(ExactStudent(path, mode))
        self.path, self.mode, self.count = path, mode, len(seeds)
        self.module = modules[0]
        stacked, _ = stack_module_state(modules)
        self.weights = {name: value.detach().requires_grad_() for name, value in stacked.items()}

    def start_from(self, weights: dict[str, Tensor]) -> Students:
        """Take over the weights that are there; CFG layers, which others lack, stay as they are."""
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
        rows = (z.float(), features_of(self.path, t, asked), None if self.mode == "none" else scales)
        split = tuple(None if each is None else each.view(self.count, -1, each.shape[-1]) for each in rows)
        dims = (0, *(None if each is None else 0 for each in split))

        def one(own: dict[str, Tensor], *inputs: Any) -> Tensor:
            return functional_call(self.module, own, inputs)

        # The fused attention has no rule for vmap, and falls back to a loop over seeds.
        with sdpa_kernel(SDPBackend.MATH):
            return vmap(one, in_dims=dims)(self.weights if weights is None else weights, *split).flatten(0, 1)

    def guided(self, asked: Asked, scales: Tensor) -> Predict:
        """Predictor with guidance outside: three branches, combined at scales (seeds * n, 2)."""

        def predict(z: Tensor, t: Tensor) -> Tensor:
            answers = [self(z, t, asked.at(branch)) for branch in range(BRANCHES)]
            return combine(answers, scales)

        return predict

    def once(self, asked: Asked, scales: Tensor | None) -> Predict:
        """Predictor of one evaluation, all conditions known; with scales (seeds * n, 2) inside, or None."""
        return lambda z, t: self(z, t, asked.at(LAST), scales)
