"""Soft masks of lips and face beside latents, as shards store them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from fada.data.prepare.masks import ENLARGEMENT, MaskKind, draw_masks
from fada.data.shards.reading import Sample

KINDS: tuple[MaskKind, ...] = ("lip", "face")
"""Masks that are stored."""
MASK_BLUR = 0.02
"""Standard deviation of the masks' soft edge, as a share of the side."""
DRAWN_MASKS = ", ".join(f"{kind} x {ENLARGEMENT[kind]:g}" for kind in KINDS) + f", blur {MASK_BLUR}"
"""How masks are drawn, as an index says it."""


def with_masks(samples: Iterable[Sample]) -> Iterator[Sample]:
    """The samples, those with landmarks with masks at the size of their latents."""
    for sample in samples:
        if sample.landmarks is None or sample.latents is None:
            yield sample
            continue
        points, size = sample.landmarks["landmarks"].float().numpy(), sample.latents.shape[-1]
        drawn = {kind: torch.from_numpy(draw_masks(points, size, kind, blur=MASK_BLUR)) for kind in KINDS}
        yield replace(sample, masks={kind: (mask * 255).round().to(torch.uint8) for kind, mask in drawn.items()})
