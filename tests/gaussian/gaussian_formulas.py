"""The Gaussian world by hand: formulas of docs/method.md written down once more, with nothing of fada in them.

Data of a frame are ``N(m, STD^2)`` in every element. Where ``z_t = a z_0 + c eps``, the perfect predictor is
``eps = c (z - a m) / V`` with ``V = a^2 STD^2 + c^2``, and the probability-flow ODE keeps ``(z - a m) / sqrt(V)``.
Latents are (B, F, C, h, w), means (B, F), times (B,), everything float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

T = 1000
STD = 0.6


def wide(values: Tensor) -> Tensor:
    """Means (B, F), or numbers (B,), as they scale latents (B, F, C, h, w)."""
    return values.double().reshape(*values.shape, *[1] * (5 - values.ndim))


@dataclass(frozen=True)
class Formulas:
    """One form: ``epsilon`` on Stable Diffusion 1.5's schedule, ``v_prediction`` on linear betas rescaled to zero
    terminal SNR, or ``flow_prediction``."""

    form: str

    def table(self) -> np.ndarray:
        """alpha_bar at T t = 0, 1, ... T; at 0 the one of index 0."""
        if self.form == "epsilon":
            betas = np.linspace(0.00085**0.5, 0.012**0.5, T) ** 2
        else:
            betas = np.linspace(0.00085, 0.012, T)
        alpha_bar = np.cumprod(1 - betas)
        if self.form == "v_prediction":
            root = np.sqrt(alpha_bar)
            alpha_bar = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
        return np.concatenate([alpha_bar[:1], alpha_bar])

    def angles(self) -> np.ndarray:
        """``atan2(c, a)`` at the same times."""
        return np.arctan2(np.sqrt(1 - self.table()), np.sqrt(self.table()))

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """``(a, c)`` at times (B,): of the nearest index, on the line for rectified flow."""
        t = t.double()
        if self.form == "flow_prediction":
            return 1 - t, t
        alpha_bar = torch.from_numpy(self.table()[np.round(t.numpy() * T).astype(int)])
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()

    def levels_between(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The same where times may lie between two indices: the angle is linear there."""
        if self.form == "flow_prediction":
            return self.levels(t)
        angle = torch.from_numpy(np.interp(t.double().numpy() * T, np.arange(T + 1), self.angles()))
        return angle.cos(), angle.sin()

    def time_of(self, signal: Tensor, noise: Tensor) -> Tensor:
        """Where on the path signal and noise have this ratio."""
        angle = np.arctan2(noise.double().numpy(), signal.double().numpy())
        return torch.from_numpy(np.interp(angle, self.angles(), np.arange(T + 1)) / T)

    def spread(self, t: Tensor) -> Tensor:
        """Standard deviation of ``z_t`` (B,)."""
        a, c = self.levels(t)
        return (a**2 * STD**2 + c**2).sqrt()

    def noised(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """``a z_0 + c eps``."""
        a, c = map(wide, self.levels(t))
        return a * clean.double() + c * noise.double()

    def noise_in(self, z: Tensor, clean: Tensor, t: Tensor) -> Tensor:
        """The noise that was added to ``clean``."""
        a, c = map(wide, self.levels(t))
        return (z.double() - a * clean.double()) / c

    def answer(self, clean: Tensor, noise: Tensor, a: Tensor, c: Tensor) -> Tensor:
        """What a network of this form says where it takes ``z`` for this clean latent and noise."""
        if self.form == "epsilon":
            return noise
        return noise - clean if self.form == "flow_prediction" else wide(a) * noise - wide(c) * clean

    def perfect(self, z: Tensor, t: Tensor, means: Tensor) -> Tensor:
        """The perfect predictor."""
        a, c = self.levels_between(t)
        unit = (z.double() - wide(a) * wide(means)) / wide(a**2 * STD**2 + c**2)
        return self.answer(wide(means) + wide(a) * STD**2 * unit, wide(c) * unit, a, c)

    def exact_end(self, z: Tensor, start: Tensor, end: Tensor, means: Tensor) -> Tensor:
        """Where the ODE leads from ``start`` to ``end``."""
        (a, _), (a_end, _) = self.levels(start), self.levels(end)
        unit = (z.double() - wide(a) * wide(means)) / wide(self.spread(start))
        return wide(a_end) * wide(means) + wide(self.spread(end)) * unit

    def ddim_end(self, z: Tensor, nodes: Sequence[Tensor], means: Tensor) -> Tensor:
        """Where DDIM (on a flow Euler's method) leads over the nodes (B,): each step is one factor on ``z - a m``."""
        a, c = self.levels(nodes[0])
        apart = z.double() - wide(a) * wide(means)
        for node in nodes[1:]:
            a_next, c_next = self.levels(node)
            apart = apart * wide((a * a_next * STD**2 + c * c_next) / (a**2 * STD**2 + c**2))
            a, c = a_next, c_next
        return wide(a) * wide(means) + apart

    def second_order_end(self, z: Tensor, nodes: Sequence[Tensor], means: Tensor) -> Tensor:
        """Where DPM-Solver++ 2M leads (arXiv 2211.01095, algorithm 2), extrapolating by one step at most."""
        z, before, log_snr_before = z.double(), None, None
        for node, following in pairwise(nodes):
            (a, c), (a_next, c_next) = self.levels(node), self.levels(following)
            clean = wide(means) + wide(a) * STD**2 * (z - wide(a) * wide(means)) / wide(a**2 * STD**2 + c**2)
            log_snr, log_snr_next = torch.log(a / c), torch.log(a_next / c_next)
            ahead = clean
            if before is not None:
                ratio = (log_snr_next - log_snr) / (log_snr - log_snr_before)
                ahead = clean + wide((ratio / 2).clamp(max=1.0)) * (clean - before)
            z = wide(c_next / c) * z - wide(a_next * torch.expm1(-(log_snr_next - log_snr))) * ahead
            before, log_snr_before = clean, log_snr
        return z

    def window(self, t: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Start and end of the window of each time, of ``count`` equal ones."""
        number = torch.ceil(t.double() * count - 1e-6)
        return number / count, (number - 1) / count

    def line(self, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """``lambda, eta`` of each window."""
        (a, c), (a_end, c_end) = self.levels(start), self.levels(end)
        if self.form == "flow_prediction":
            return torch.ones_like(a), end.double() - start.double()
        if self.form == "v_prediction":
            return a_end * a + c_end * c, c_end * a - a_end * c
        return a_end / a, c_end - c * a_end / a

    def target(self, z_start: Tensor, z_end: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """What a student is to predict in the window."""
        slope, gain = map(wide, self.line(start, end))
        return (z_end.double() - slope * z_start.double()) / gain

    def perfect_student(self, z: Tensor, t: Tensor, start: Tensor, end: Tensor, means: Tensor) -> Tensor:
        """The target of the exact ODE's window, found from a point of its chord."""
        share = (t.double() - start) / (end - start)
        (a, _), (a_end, _) = self.levels(start), self.levels(end)
        signal = (1 - share) * a + share * a_end
        spread = (1 - share) * self.spread(start) + share * self.spread(end)
        unit = (z.double() - wide(signal) * wide(means)) / wide(spread)
        z_start, z_end = (
            wide(each) * wide(means) + wide(self.spread(at)) * unit for each, at in ((a, start), (a_end, end))
        )
        return self.target(z_start, z_end, start, end)


def chord(z_start: Tensor, z_end: Tensor, t: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """The point at time t of the straight line between a window's ends."""
    share = wide((t.double() - start) / (end - start))
    return (1 - share) * z_start.double() + share * z_end.double()


def combined(means_of_branches: Tensor, scales: Tensor) -> Tensor:
    """Means (B, F) of means_of_branches (B, F, 3) under scales (B, 2): reference, audio."""
    nothing, reference, audio = means_of_branches.unbind(-1)
    return nothing + scales[:, :1] * (reference - nothing) + scales[:, 1:] * (audio - reference)


def even_nodes(start: Tensor, end: Tensor, steps: int) -> list[Tensor]:
    """Times between equal steps, rounded to the grid; both ends exactly as they are."""
    inner = [torch.round((start + j * (end - start) / steps) * T) / T for j in range(1, steps)]
    return [start, *inner, end]
