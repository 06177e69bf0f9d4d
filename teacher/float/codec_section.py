"""What a recipe says of the motion autoencoder and of its training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fada.recipe.sections.section import Count, FilePath, Rate, Section, Share, Steps, StepsOrNone, Weight
from fada.recipe.sections.teacher import AnyCodec

MapWidths = Annotated[tuple[Annotated[int, Field(ge=3, le=4096)], ...], Field(strict=False, max_length=9)]


class CodecTraining(Section):
    """Training of the motion autoencoder on pairs of frames of one clip. A loss of weight 0 is not computed."""

    steps: Steps = 4000
    """Optimiser steps."""
    batch: Count = 4
    """Pairs of frames per step and process; each is used both ways, so twice as many pictures are made."""
    lr: Rate = 3e-3
    """Peak learning rate; weights are equalised, so it is near StyleGAN's."""
    memory_gib: Annotated[float, Field(gt=0.0, le=1e4)] = 2.0
    """Frames that are held in memory, at most; of more clips fewer frames each."""
    l1: Weight = 1.0
    """Weight of L1 of pixels."""
    squared: Weight = 1.0
    """Weight of the squared error of pixels; beside the published losses, where PSNR counts."""
    perceptual: Weight = 0.5
    """Weight of LPIPS, or of the pyramid of pixels and edges that stands in for it."""
    component: Weight = 1.0
    """Weight of the same on eyes and mouth."""
    lip_squared: Weight = 20.0
    """Weight of the squared error at the lips; beside the published losses. Mouths are shut most of the time, and of
    what is not known yet absolute errors ask for the median: a shut mouth."""
    motion: Weight = 1.0
    """Weight of what teaches the motion encoder directly, from four times as many pairs: how much of what happens to
    patches of eyes and lips, and to where they are, its numbers do not tell two small networks. 0: eyes and lips are
    taken to be where they usually are."""
    motion_until: Share = 0.45
    """Share of the steps, the first ones, in which nothing but this is learned: before there is motion to show, a
    decoder only learns that there is none."""
    adversarial: Weight = 0.0
    """Weight of the discriminator of whole pictures."""
    eye_adversarial: Weight = 0.0
    """Weight of the eyes' discriminator."""
    lip_adversarial: Weight = 0.0
    """Weight of the lips' discriminator."""
    eye_statistics: Weight = 0.0
    """Weight of feature statistics matching at the eyes, in their discriminator."""
    lip_statistics: Weight = 0.0
    """Weight of the same at the lips."""
    adversarial_from: Share = 0.5
    """Share of the steps after which discriminators begin: earlier they learn from pictures that anyone tells apart."""
    r1: Weight = 10.0
    """Weight of the discriminators' gradient penalty."""
    r1_every: StepsOrNone = 16
    """Steps between penalties, each of which counts as many times; 0: none."""
    lpips_backbone: FilePath | None = None
    """torchvision's AlexNet (`alexnet-owt-7be5be79.pth`) for LPIPS; without it a pyramid of pixels
    and edges stands in."""
    lpips_heads: FilePath | None = None
    """The heads of LPIPS 0.1 (`alex.pth`)."""

    @model_validator(mode="after")
    def lpips_is_whole(self) -> CodecTraining:
        if (self.lpips_backbone is None) != (self.lpips_heads is None):
            raise ValueError("lpips_backbone and lpips_heads: LPIPS needs both files: give both, or neither")
        return self

    @property
    def needs_boxes(self) -> bool:
        """Whether clips must say where eyes and lips are."""
        local = (self.eye_adversarial, self.lip_adversarial, self.eye_statistics, self.lip_statistics)
        return any((self.component, self.lip_squared, self.motion, *local))


class Codec(AnyCodec):
    """Shape of the motion autoencoder, for pictures of clip.size; the defaults are the released one's."""

    style_dim: Annotated[int, Field(ge=1, le=8192)] = 512
    """Numbers of w, by which a picture's style is told."""
    motion_dim: Annotated[int, Field(ge=1, le=256)] = 20
    """Directions along which latents move."""
    channels: MapWidths = ()
    """Width of maps 4, 8, ..., clip.size pixels wide; default: 512 up to 32, then half as many at each level."""
    edges: Literal["released", "replicated"] = "replicated"
    """Beyond a picture's edges: `released` zeros, and a warp that moves pixels a little even where nothing flows;
    `replicated`: the edge goes on."""
    in_pixels: bool = True
    """Flows are counted in pixels of their level, of which a step of training then moves none far; false, as released:
    in halves of the picture, for which learning rates are ten times lower and trainings as much longer."""
    fills: bool = True
    """The decoder adds to the picture what it draws itself (an opening mouth); false, as released: a picture is what is
    seen in the portrait."""
    finds_face: bool = True
    """Eyes and lips are found in pictures: motion is read by an encoder of its own that sees them closely, and they are
    drawn anew before the decoder warps the portrait; false, as released: motion is read from w, in which a codec that
    learns from little data sees neither brows nor a mouth's corners."""
    coordinates: bool = True
    """Latents are the `motion_dim` numbers along the directions; false, as released: vectors of `style_dim`, of whose
    dimensions the vector field has to learn which ones move."""
    train: CodecTraining = CodecTraining()
    """How it is trained where there is no vae.path."""

    @model_validator(mode="after")
    def directions_fit(self) -> Codec:
        if self.motion_dim > self.style_dim:
            raise ValueError(f"motion_dim {self.motion_dim} must not be above style_dim {self.style_dim}")
        return self
