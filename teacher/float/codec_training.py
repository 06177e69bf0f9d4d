"""Training of the motion autoencoder: pairs of frames in, the loss of one step out, discriminators beside it.

Codec and discriminators are one module with one loss, whose parts reach disjoint weights: the codec's parts see
discriminators that stand still, the discriminators' parts see pictures without gradient. Adam's step of a weight
depends on that weight's gradients alone, so one optimiser makes the steps that two would make, and the loop
(fada/engine/loop.py) keeps weights, moments and averages of both in its checkpoints.
Source of the losses: FLOAT (arXiv:2412.01064), section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fada.data.sampling.dataset import BatchShape
from fada.data.sampling.seeds import seeded
from fada.data.shards.format import Sample
from fada.diffusion.transfer import moved
from fada.engine.objective import StepLoss
from fada.teacher.codec import CodecTraining, LoadLpips
from fada.teacher.float import codec_losses as losses
from fada.teacher.float.codec_axes import turn_to_principal_axes
from fada.teacher.float.codec_patches import PatchLosses, of_patches
from fada.teacher.float.codec_section import Codec
from fada.teacher.float.codec_section import CodecTraining as Train
from fada.teacher.float.codec_start import start_as_portrait, start_from_motion
from fada.teacher.float.discriminators import GLOBAL_WIDTHS, LOCAL_WIDTHS, PatchDiscriminator, judged
from fada.teacher.float.frame_pairs import FramePairs
from fada.teacher.float.motion_autoencoder import MotionAutoencoder

if TYPE_CHECKING:
    from fada.recipe.schema import Recipe

LOCAL = ("eye", "lip")
START_FRAMES, START_PIXELS = 2048, 2**26
"""Frames in which a new codec looks for motion, and their pixels: at most; of large pictures fewer are as good."""
SCALED_FRAMES, SCALED_PIXELS = 2048, 2**27
"""Frames from which axes, shift, scale and reach of latents are found, and their pixels: at most."""
MOTION_PAIRS = 4
"""Times as many pairs teach motion as are drawn whole, which costs so much more."""


@dataclass(frozen=True)
class CodecWeights:
    """Of the losses; 0: not computed. Fields are those of the recipe's `teacher.codec.train`."""

    l1: float = 1.0
    squared: float = 0.0
    perceptual: float = 0.0
    component: float = 0.0
    lip_squared: float = 0.0
    motion: float = 0.0
    adversarial: float = 0.0
    eye_adversarial: float = 0.0
    lip_adversarial: float = 0.0
    eye_statistics: float = 0.0
    lip_statistics: float = 0.0
    r1: float = 10.0

    def local(self, name: str) -> tuple[float, float]:
        """Of `eye` or `lip`: adversarial, and statistics."""
        return getattr(self, f"{name}_adversarial"), getattr(self, f"{name}_statistics")

    @property
    def judges(self) -> tuple[str, ...]:
        """Names of the discriminators that are needed."""
        whole = ("global",) if self.adversarial else ()
        return (*whole, *(name for name in LOCAL if any(self.local(name))))


@dataclass
class _Sum:
    """A weighted sum whose parts are remembered by name."""

    total: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)

    def add(self, name: str, weight: float, value: Callable[[], Tensor]) -> None:
        """One more part; of weight 0 it is not computed."""
        if weight:
            self.parts[name] = value()
            self.total = self.total + weight * self.parts[name]


class CodecAndJudges(nn.Module):
    """The codec and its discriminators, as one module that learns.

    Args:
        perceptual: how different pictures look; nothing of it is trained.
    """

    def __init__(self, codec: MotionAutoencoder, weights: CodecWeights, perceptual: losses.Perceptual) -> None:
        super().__init__()
        self.codec, self.weights = codec, weights
        widths = {"global": GLOBAL_WIDTHS, "eye": LOCAL_WIDTHS, "lip": LOCAL_WIDTHS}
        self.judges = nn.ModuleDict({name: PatchDiscriminator(widths[name]) for name in weights.judges})
        learns_motion = codec.motion is not None and weights.motion > 0
        self.patches = PatchLosses(codec.directions) if learns_motion else None
        # Not a submodule: nothing of it belongs into a checkpoint.
        self._perceptual = (perceptual,)

    def forward(
        self,
        pixels: Tensor,
        boxes: Mapping[str, Tensor],
        *,
        has_judges: bool,
        penalty: float,
        drawn: int | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss, and its parts by name.

        Args:
            pixels: (2 B, 3, H, W), the first frames of B pairs, then the second; each moves the other.
            boxes: (2 B, 4) by name, `eye` and `lip`.
            has_judges: whether discriminators learn and are heeded in this step.
            penalty: how many steps the gradient penalty counts for; 0: it is none of this step's.
            drawn: of how many pairs, the first ones, pictures are drawn; the others teach the motion encoder alone.
                None: of all of them.
        """
        found, read = _Sum(pixels.new_zeros(())), None
        if self.patches is not None:
            assert self.codec.motion is not None
            assert self.codec.dec.painter is not None
            motion, places = self.codec.motion(pixels)
            read = motion, places.detach()
            parts = self.patches(self.codec.dec.painter, pixels, boxes, motion, places)
            found.parts.update(parts)
            found.total = found.total + self.weights.motion * of_patches(parts)
        pairs = len(pixels) // 2
        if drawn != 0:
            first = torch.arange(pairs if drawn is None else drawn, device=pixels.device)
            rows = torch.cat([first, first + pairs])
            shown = {name: each[rows] for name, each in boxes.items()}
            read = None if read is None else (read[0][rows], read[1][rows])
            self._draw(found, pixels[rows], shown, read, has_judges=has_judges, penalty=penalty)
        return found.total, {name: value.detach() for name, value in found.parts.items()}

    def _draw(
        self,
        found: _Sum,
        pixels: Tensor,
        boxes: Mapping[str, Tensor],
        read: tuple[Tensor, Tensor] | None,
        *,
        has_judges: bool,
        penalty: float,
    ) -> None:
        """Losses of pictures that the codec makes."""
        rows = torch.arange(len(pixels), device=pixels.device)
        others = rows.roll(len(rows) // 2)
        real = pixels[others]
        drawn = self.codec.driven(pixels, rows, others, read).float()
        side = pixels.shape[-1] // 2
        # What is judged: whole pictures and patches, drawn and real.
        shown = {"global": (drawn, real)}
        for name, each in boxes.items():
            shown[name] = (losses.patches(drawn, each[others], side), losses.patches(real, each[others], side))
        self._compare(found, shown)
        if has_judges:
            for name, judge in self.judges.items():
                assert isinstance(judge, PatchDiscriminator)
                self._heed(found, name, judge, *shown[name])
                self._teach(found, name, judge, *shown[name], penalty)

    def _compare(self, found: _Sum, shown: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Losses that look at pixels."""
        weights, (perceptual,), (drawn, real) = self.weights, self._perceptual, shown["global"]
        found.add("l1", weights.l1, lambda: F.l1_loss(drawn, real))
        found.add("squared", weights.squared, lambda: F.mse_loss(drawn, real))
        found.add("lip_squared", weights.lip_squared, lambda: F.mse_loss(*shown["lip"]))
        found.add("perceptual", weights.perceptual, lambda: perceptual(drawn, real).mean())
        for name in LOCAL:
            found.add(
                f"component_{name}",
                weights.component,
                lambda name=name: perceptual(*map(losses.enlarged, shown[name])).mean(),  # type: ignore[misc]
            )

    def _heed(self, found: _Sum, name: str, judge: PatchDiscriminator, drawn: Tensor, real: Tensor) -> None:
        """What a discriminator says to the codec."""
        adversarial, statistics = (self.weights.adversarial, 0.0) if name == "global" else self.weights.local(name)
        verdicts, features = judged(judge, drawn)
        found.add(f"{name}_adversarial", adversarial, lambda: losses.looks_real(verdicts))
        found.add(
            f"{name}_statistics",
            statistics,
            lambda: losses.statistics_distance(features, judged(judge, real)[1]),
        )

    def _teach(
        self, found: _Sum, name: str, judge: PatchDiscriminator, drawn: Tensor, real: Tensor, penalty: float
    ) -> None:
        """What a discriminator learns."""
        found.add(f"{name}_judge", 1.0, lambda: losses.tells_apart(judge(real.detach())[0], judge(drawn.detach())[0]))
        found.add(f"{name}_r1", self.weights.r1 * penalty, lambda: losses.gradient_penalty(judge, real))


class CodecObjective:
    """The loss of a step (`fada.engine.objective.Objective`).

    Args:
        judges_from: the first step in which discriminators learn and are heeded.
        pictures_from: the first step in which the decoder learns; before, the motion encoder alone, if there is one.
        r1_every: steps between gradient penalties, each of which counts as many times; 0: none.
    """

    def __init__(
        self,
        module: CodecAndJudges,
        pairs: FramePairs,
        shape: BatchShape,
        seed: int,
        *,
        judges_from: int,
        r1_every: int,
        pictures_from: int = 0,
    ) -> None:
        self.module, self.pairs, self.shape, self.seed = module, pairs, shape, seed
        self.judges_from, self.r1_every = judges_from, r1_every
        self.pictures_from = pictures_from

    def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
        """Of the pairs that follow from the step's number."""
        samples: Sequence[int] = self.shape.samples(micro)
        drawn = None
        if self.module.patches is not None:
            drawn = len(samples) if step >= self.pictures_from else 0
            samples = [MOTION_PAIRS * each + more for each in samples for more in range(MOTION_PAIRS)]
        batch = self.pairs.batch(self.seed, step, samples)
        device = next(self.module.parameters()).device
        boxes = {"eye": batch.eyes, "lip": batch.mouth}
        has_penalty = self.r1_every and step % self.r1_every == 0
        total, parts = model(
            moved(batch.pixels, device),
            {name: moved(each, device) for name, each in boxes.items() if each is not None},
            has_judges=step >= self.judges_from,
            penalty=float(self.r1_every) if has_penalty else 0.0,
            drawn=drawn,
        )
        return StepLoss(total, parts, keys=batch.keys)


def new_codec(recipe: Recipe) -> MotionAutoencoder:
    """The codec of a recipe before its training: every frame is the portrait."""
    section = recipe.teacher.codec
    assert isinstance(section, Codec)
    shape = section.model_dump(exclude={"train"})
    codec = MotionAutoencoder(size=recipe.clip.size, **{**shape, "channels": list(section.channels)})
    start_as_portrait(codec)
    return codec


def passes_of_step(recipe: Recipe, codec: MotionAutoencoder) -> Iterator[tuple[float, Callable[[], object]]]:
    """What training steps run, of nothing, each with the share of steps that run it, for whoever counts the cost."""
    section = recipe.teacher.codec
    assert isinstance(section, Codec)
    train, size = section.train, recipe.clip.size
    with torch.device(codec.device):
        pictures = torch.zeros(2 * train.batch * MOTION_PAIRS, 3, size, size)
        drawn, rows = pictures[: 2 * train.batch], torch.arange(2 * train.batch)
        boxes, motion = torch.zeros(len(pictures), 2, 4), torch.zeros(len(pictures), codec.directions)
        read, share = None, 1.0
        if codec.motion is not None and train.motion:
            encoder, painter, losses_of = codec.motion, codec.dec.painter, PatchLosses(codec.directions)
            named = {"eye": boxes[:, 0], "lip": boxes[:, 1]}
            yield 1.0, lambda: encoder(pictures)
            yield 1.0, lambda: losses_of(painter, pictures, named, motion, boxes)
            read, share = (motion[rows], boxes[rows]), 1.0 - train.motion_until
        yield share, lambda: codec.driven(drawn, rows, rows, read)


def train_codec(
    recipe: Recipe, codec: MotionAutoencoder, samples: Iterable[Sample], shape: BatchShape, load_lpips: LoadLpips
) -> CodecTraining:
    """How a recipe's codec is trained on clips (`fada.family.Family.module`).

    Args:
        samples: with frames, and with keypoints where something tells of them.

    Raises:
        ValueError: the clips are none that it can learn from (`FramePairs`).
    """
    section = recipe.teacher.codec
    assert isinstance(section, Codec)
    train = section.train
    pairs = FramePairs(samples, recipe.clip.size, int(train.memory_gib * 2**30), has_boxes=train.needs_boxes)
    if codec.motion is None:
        start_from_motion(codec, pairs.by_clip(min(START_FRAMES, START_PIXELS // recipe.clip.size**2)))
    perceptual: losses.Perceptual = losses.pyramid_distance
    if train.lpips_backbone is not None and train.lpips_heads is not None:
        perceptual = load_lpips(train.lpips_backbone, train.lpips_heads)
    with seeded(recipe.seed, "what is trained beside the codec"):
        module = CodecAndJudges(codec, CodecWeights(**shared_by_name(train)), perceptual)
    objective = CodecObjective(
        module, pairs, shape, recipe.seed,
        judges_from=round(train.adversarial_from * train.steps), r1_every=train.r1_every,
        pictures_from=round(train.motion_until * train.steps),
    )  # fmt: skip
    return CodecTraining(objective, train.steps, train.lr, codec.retold, lambda: finish(codec, pairs))


def shared_by_name(train: Train) -> dict[str, float]:
    """The weights of a recipe's section."""
    return {each.name: getattr(train, each.name) for each in fields(CodecWeights)}


def finish(codec: MotionAutoencoder, pairs: FramePairs) -> MotionAutoencoder:
    """A trained codec, frozen, whose latents have mean 0, and within clips variance 1; its directions are the principal
    axes of motion there, the strongest first."""
    codec.eval().requires_grad_(False)
    shown = pairs.by_clip(min(SCALED_FRAMES, SCALED_PIXELS // codec.config.size**2))
    found = turn_to_principal_axes(codec, [codec.factors(frames) for frames in shown])
    codec.fit_scale(found)
    if codec.motion is not None:
        codec.fit_reach(found)
    return codec
