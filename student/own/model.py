"""A denoiser of your own, as the objectives and samplers of students see it."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from fada.diffusion.paths import NoisePath
from fada.diffusion.shapes import Latents, PerSample
from fada.student.guidance import GuidanceLayers, GuidanceMode
from fada.student.own.packing import Layout
from fada.teacher.denoiser import Sites

Kind = Literal["balanced", "fast"]
METHODS = ("inputs_of", "prepare", "expand", "evaluate")


class NotADenoiser(TypeError):
    """A model that lacks what `fada.family.Denoiser` asks for; the message says what."""


class Given(NamedTuple):
    """How many samples there are, and what the denoiser's `inputs_of` made of their conditions."""

    samples: int
    inputs: Any


class OwnModel(nn.Module):
    """A denoiser, and beside it, of a fast student, the layers that carry the guidance scales.

    Args:
        denoiser: a module that satisfies `fada.family.Denoiser`. `encoders`, names of submodules that only prepare
            conditions, stay frozen; `sites()` says where guidance layers are hooked in, and its conditions of rows are
            then a dataclass with `hooks` and `time` (see `GuidanceLayers.with_scales`).
        layout: of latents with several parts; `evaluate` is then given, and gives, tensors by name.

    Raises:
        NotADenoiser: it does not.
    """

    def __init__(
        self, denoiser: nn.Module, guidance_layers: GuidanceLayers | None = None, layout: Layout | None = None
    ) -> None:
        check_denoiser(denoiser)
        super().__init__()
        self.denoiser, self.guidance_layers, self.layout = denoiser, guidance_layers, layout
        self.branches = tuple(self._own.branches)
        self.path: NoisePath = self._own.path

    @property
    def _own(self) -> Any:
        """The denoiser under the protocol's names, which `nn.Module` does not know."""
        return self.denoiser

    @property
    def scale_count(self) -> int:
        """Guidance scales of a sample: one between a branch and the next."""
        return len(self.branches) - 1

    @property
    def encoders(self) -> tuple[str, ...]:
        """Submodules that only prepare conditions."""
        return tuple(f"denoiser.{name}" for name in getattr(self.denoiser, "encoders", ()))

    def inputs_of(self, given: Given) -> Given:
        """What the networks take, of conditions as the data has them."""
        return Given(given.samples, self._own.inputs_of(given.inputs))

    def features(self, inputs: Given) -> None:
        """Nothing is shared between teacher and student."""

    def prepare(self, inputs: Given, features: None = None) -> Any:
        """What is constant over denoising steps."""
        return self._own.prepare(inputs.inputs)

    def expand(self, conditions: Any, clips: Tensor, branches: Tensor) -> Any:
        """Conditions of rows (rows,), see `Denoiser`."""
        return self._own.expand(conditions, clips, branches)

    def with_scales(self, conditions: Any, scales: Tensor | None) -> Any:
        """Conditions of rows with their guidance scales (rows, branches - 1), for a student that has them inside."""
        layers = self.guidance_layers
        return conditions if layers is None or scales is None else layers.with_scales(conditions, scales)

    def evaluate(self, latents: Latents, t: PerSample, conditions: Any) -> Latents:
        """Prediction of rows (rows, ...) at times (rows,) in [0, 1], one pass.

        Raises:
            ValueError: the denoiser answers in another shape.
        """
        parts = latents if self.layout is None else self.layout.unpack(latents)
        answer = self._own.evaluate(parts, t, conditions)
        answer = answer if self.layout is None else self.layout.pack(answer)
        if answer.shape != latents.shape:
            name = type(self.denoiser).__name__
            raise ValueError(
                f"{name}.evaluate: latents {tuple(latents.shape)} got an answer of shape {tuple(answer.shape)}; it "
                "must have the same"
            )
        return cast(Tensor, answer)

    def forward(
        self,
        inputs: Given,
        latents: Tensor,
        t: Tensor,
        branch: Tensor | None = None,
        scales: Tensor | None = None,
        features: None = None,
    ) -> Tensor:
        """Prediction of a training batch; `latents` (n B, ...) may hold the B samples n times over.

        `branch` (n B,) drops conditions, `scales` (n B, branches - 1) are those of a student.
        """
        rows = len(latents)
        branches = torch.full((rows,), self.scale_count) if branch is None else branch
        samples = torch.arange(inputs.samples).repeat(rows // inputs.samples)
        conditions = self.expand(self.prepare(inputs), samples, branches)
        return self.evaluate(latents, t, self.with_scales(conditions, scales))


def student_of_own(teacher: OwnModel, kind: Kind, tokens: int) -> OwnModel:
    """A student that starts as the teacher's copy; a fast one has guidance layers that change nothing yet.

    They are CFG layers with learnable tokens where the denoiser says sites, and an embedding added to that of time
    where it says no more than its width.

    Raises:
        NotADenoiser: a fast student of a denoiser without sites.
    """
    denoiser = copy.deepcopy(teacher.denoiser)
    layers = None
    if kind == "fast" and teacher.scale_count:
        sites = sites_of(denoiser)
        mode: GuidanceMode = "tokens" if sites.widths else "time_embed"
        layers = GuidanceLayers(mode, tokens, len(teacher.branches), *_sizes(sites))
        dtype = next(denoiser.parameters()).dtype
        if dtype != torch.float32:
            layers = layers.to(dtype)
    return OwnModel(denoiser, layers, teacher.layout)


def sites_of(denoiser: nn.Module) -> Sites:
    """Where guidance layers are hooked into a denoiser.

    Raises:
        NotADenoiser: it does not say.
    """
    say = getattr(denoiser, "sites", None)
    if say is None:
        raise NotADenoiser(
            f"{type(denoiser).__name__}: a fast student has the guidance scales inside, and this model has no sites() "
            "that says where they go; give it one (see fada.adapters), or distil with kind='balanced'"
        )
    found: Sites = say()
    return found


def _sizes(sites: Sites) -> tuple[int, int, tuple[int, ...], int]:
    """Width of the embedding, heads that divide every width, the widths, and the width of the time embedding."""
    return sites.dim, math.gcd(sites.heads, *sites.widths), tuple(sites.widths), sites.time_channels


def check_denoiser(denoiser: Any) -> None:
    """Raise NotADenoiser unless a model satisfies `fada.family.Denoiser`, and can be copied and trained."""
    name = type(denoiser).__name__
    if not isinstance(denoiser, nn.Module):
        raise NotADenoiser(f"{name}: a model must be a torch.nn.Module that satisfies fada.family.Denoiser")
    missing = [each for each in METHODS if not callable(getattr(denoiser, each, None))]
    missing += [each for each in ("branches", "path") if not hasattr(denoiser, each)]
    if missing:
        raise NotADenoiser(
            f"{name}: has no {', '.join(missing)}; fada.family.Denoiser says what each does, and fada.adapters "
            "wraps networks of diffusers"
        )
    path, branches = getattr(denoiser, "path", None), getattr(denoiser, "branches", ())
    if not isinstance(path, NoisePath):
        raise NotADenoiser(f"{name}: path must be a fada.NoisePath, got {type(path).__name__}")
    if isinstance(branches, str | Mapping) or not branches or len(set(branches)) != len(branches):
        raise NotADenoiser(f"{name}: branches must be names, unconditional first, got {branches!r}")
