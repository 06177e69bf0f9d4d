"""A family of models as one value: what the toolkit must know of it to train, distil, generate, measure and export it.

A family is a folder in `fada/teacher/` (or a module of yours) and one line in `fada/teacher/families.py` (or a call of
`register`). Nothing here loads torch: recipes ask for families too.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pydantic import BaseModel
    from torch import Tensor

    from fada.pretrained.settings import PipelineSettings


class Denoiser(Protocol):
    """A network that predicts noise, v or a flow of latents under conditions that are dropped in a fixed order.

    Latents are (B, ...) of any rank. A call goes `inputs_of`, `prepare`, `expand` once, then `evaluate` in every
    step. Some models also say: `encoders`, names of submodules that only prepare conditions and stay frozen; and
    `sites()`, a `fada.teacher.denoiser.Sites`, where a fast student's guidance layers read hidden states. What
    `expand` gives is then a dataclass with `hooks`, of which `evaluate` applies the k-th to the hidden states
    (rows, tokens, width) at the k-th site, and `time`, which it adds to the time embedding where it is not None.
    """

    @property
    def branches(self) -> Sequence[str]:
        """Names of the branches, unconditional first (method.md, section 2)."""
        ...

    path: Any
    """The noise path (`fada.NoisePath`) that it was trained on, and what it predicts."""

    def inputs_of(self, clips: Any) -> Any:
        """What the networks take: of clips (`teacher/inputs.py`), or of the conditions in data of your own."""
        ...

    def prepare(self, inputs: Any) -> Any:
        """What is constant over denoising steps (reference features, audio tokens), from the inputs of a batch."""
        ...

    def expand(self, conditions: Any, clips: Tensor, branches: Tensor) -> Any:
        """Conditions of rows, once per solve: of clip `clips[i]`, dropped to branch `branches[i]`; both (rows,).

        Wherever the conditions lie; both decide what is computed, and on the CPU nothing waits for a device.
        """
        ...

    def evaluate(self, latents: Tensor, t: Tensor, conditions: Any) -> Tensor:
        """Prediction of rows (rows, ...), in their shape, at times (rows,) in [0, 1], one pass."""
        ...


@dataclass(frozen=True)
class Guidance:
    """Branches of multi-condition guidance, and how strongly each is followed.

    branches: unconditional first; each has one condition more than the one before, and its name.
    scales: by the name of a branch, how far a call goes from the branch before to it where nobody says; all but the
    first have one.
    ranges: by the same names, the scales (lowest, highest) that a fast student learns where a recipe says nothing; of a
        branch that is left out from 1, which is no guidance, to its own scale.

    Raises:
        ValueError: there is not one scale for every branch but the first, or a range is no branch's or turned round.
    """

    branches: tuple[str, ...]
    scales: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if tuple(self.scales) != self.names:
            raise ValueError(f"guidance: branches {', '.join(self.branches)} need scales {', '.join(self.names)}, in "
                             f"that order; got {', '.join(self.scales)}")  # fmt: skip
        self.in_order(self.ranges, "guidance: ranges")
        for name, (low, high) in self.ranges.items():
            if high < low:
                raise ValueError(f"guidance: ranges: {name}: high must not be below low, got {low:g} and {high:g}")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the scales, in the order of the branches."""
        return self.branches[1:]

    def range_of(self, name: str) -> tuple[float, float]:
        """Lowest and highest scale of a branch that a fast student learns where a recipe says nothing."""
        own = self.scales[name]
        return self.ranges.get(name, (min(1.0, own), max(1.0, own)))

    def in_order(self, named: Mapping[str, Any], where: str = "scales") -> tuple[Any, ...]:
        """What is given by name in the order of the branches; None where nothing is given.

        Raises:
            ValueError: a name is no branch's.
        """
        unknown = [name for name in named if name not in self.names]
        if unknown:
            raise ValueError(f"{where}: no guidance scale named {unknown[0]!r}; choose from {', '.join(self.names)}")
        return tuple(named.get(name) for name in self.names)

    def filled(self, named: Mapping[str, float] | None) -> tuple[float, ...]:
        """Scales in the order of the branches: those given by name, the family's own for the others."""
        found = self.in_order(named or {})
        return tuple(own if given is None else given for given, own in zip(found, self.scales.values(), strict=True))


def _no_check(recipe: Any) -> None:
    """Every recipe is one for this family."""


@dataclass(frozen=True)
class Family:
    """What the toolkit knows of a family.

    name: `teacher.kind` in recipes.
    title: for people.
    pipeline: class name in `model_index.json`.
    guidance: branches and scales.
    module: where its networks are, loaded when they are needed. It has `MODEL`, its `AvatarDenoiser`; `NETWORKS`, by
        name the class of each network; and `new(network, noise, audio, latent)`, a model with random weights for a
        recipe's sections `teacher.network` and `noise`, an encoder's states (window, layers, dim) and a latent's shape.
        A family without a VAE has `CODEC` too, the class of its own (`fada/teacher/codec.py`), and
        `new_codec(recipe)`. Where that has something to learn there is also
        `train_codec(recipe, codec, samples, shape, load_lpips)`, which gives a `fada.teacher.codec.CodecTraining`, and
        `passes_of_step(recipe, codec)`: what its steps run, each with the share of them, for dry runs to price.
    settings: of its pipeline's folder: what a clip is, and the defaults of a call.
    section: of `teacher.network` in recipes; None where sizes are the released ones.
    codec_section: of `teacher.codec` in recipes; None where there is no codec, or nothing to choose of it.
    conditions: what clips must have stored beside sound: `face`, `keypoints`, `emotion`.
    stages: parts that stages of a training may train; none where it is not trained here.
    options: settings of the pipeline that the model is made with, too.
    is_imported: whether there are released weights, whose folders may lack a VAE and an audio encoder.
    hears_motion: whether motion frames are tokens like those of a chunk: they come with their sound, and the network
        answers them too, where it is asked to.
    knows_portrait: whether all branches know the portrait; a training may then drop it, as `drop.reference`.
    check: raises ValueError for a recipe that cannot be one for it.
    """

    name: str
    title: str
    pipeline: str
    guidance: Guidance
    module: str
    settings: type[PipelineSettings]
    section: type[BaseModel] | None = None
    codec_section: type[BaseModel] | None = None
    conditions: frozenset[str] = frozenset()
    stages: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    is_imported: bool = False
    hears_motion: bool = False
    knows_portrait: bool = False
    check: Callable[[Any], None] = field(default=_no_check)

    @property
    def networks(self) -> Any:
        """The module that holds its networks."""
        return importlib.import_module(self.module)


_registered: dict[str, Family] = {}


def families() -> dict[str, Family]:
    """All families by name: those of the package, and those that were registered."""
    own: tuple[Family, ...] = importlib.import_module("fada.teacher.families").FAMILIES
    return {family.name: family for family in own} | _registered


def register(family: Family) -> Family:
    """Make a family known, so that recipes, folders and commands of this process may name it.

    Raises:
        ValueError: another family has its name or its pipeline's.
    """
    for other in families().values():
        if other is not family and (other.name == family.name or other.pipeline == family.pipeline):
            raise ValueError(f"family {family.name}: its name or pipeline ({family.pipeline}) is that of {other.title}")
    _registered[family.name] = family
    return family


def family_named(name: str) -> Family:
    """The family of this name.

    Raises:
        ValueError: there is none.
    """
    known = families()
    if name not in known:
        raise ValueError(f"no family named {name!r}; choose from {', '.join(known)}")
    return known[name]
