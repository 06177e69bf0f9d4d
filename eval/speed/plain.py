"""A training step as public scripts have it, to measure ours against: same networks, same draws, same loss.

PeRFlow's script guides its teacher with a call per rung; Hallo's runs the reference net inside every call of the
denoising net; a loss on data takes a second call of the student. Around an objective's teacher and student these two
wrappers restore that, one habit at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fada.protocols import Denoiser


class PlainTeacher(nn.Module):
    """A denoiser whose rungs are called one after the other, each from the raw inputs of the clips.

    Args:
        prepares_once: the conditions of a batch are computed once and kept; what is left of the plain way is a call
            per rung.
    """

    def __init__(self, denoiser: Denoiser, prepares_once: bool = False) -> None:
        super().__init__()
        self.denoiser: Any = denoiser
        self.prepares_once = prepares_once
        self.ladder, self.path = denoiser.ladder, denoiser.path

    def inputs_of(self, clips: Any) -> Any:
        """What the family's networks take."""
        return self.denoiser.inputs_of(clips)

    def features(self, inputs: Any) -> Any:
        """The reference net's features; nothing where every call computes its own."""
        return self.denoiser.features(inputs) if self.prepares_once else None

    def prepare(self, inputs: Any, features: Any = None) -> Any:
        """The conditions; the bare inputs where every call prepares its own."""
        return self.denoiser.prepare(inputs, features) if self.prepares_once else inputs

    def at_rungs(self, conditions: Any, clips: Tensor, rungs: Tensor) -> list[tuple[Tensor, Any]]:
        """Per rung its rows, and what a call for them takes: conditions at that rung, or what they are made from."""
        groups = []
        for rung in rungs.unique():
            rows = (rungs == rung).nonzero().flatten()
            told = (conditions, clips[rows], rungs[rows])
            groups.append((rows, self.denoiser.at_rungs(*told) if self.prepares_once else told))
        return groups

    def evaluate(self, latents: Tensor, t: Tensor, groups: list[tuple[Tensor, Any]]) -> Tensor:
        """Prediction of all rows, by a call per rung."""
        answers: list[Tensor] = []
        for rows, told in groups:
            if not self.prepares_once:
                inputs, clips, rungs = told
                told = self.denoiser.at_rungs(self.denoiser.prepare(inputs), clips, rungs)
            answers.append(self.denoiser.evaluate(latents[rows], t[rows], told))
        order = torch.cat([rows for rows, _ in groups]).argsort()
        return torch.cat(answers)[order.to(latents.device)]


class TwoCalls(nn.Module):
    """A student that is called twice: for the points on the teacher's chords, and for those on the data's."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(
        self, inputs: Any, latents: Tensor, t: Tensor, rung: Tensor | None, scales: Tensor | None, features: Any
    ) -> Tensor:
        """Predictions of both halves of the rows, one call each."""
        half = len(latents) // 2
        return torch.cat(
            [
                self.student(
                    inputs,
                    latents[rows],
                    t[rows],
                    rung=None if rung is None else rung[rows],
                    scales=None if scales is None else scales[rows],
                    features=features,
                )
                for rows in (slice(half), slice(half, None))
            ]
        )
