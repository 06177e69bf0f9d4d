"""Shapes of arrays as types: read by people, and checked at run time where tests ask for it (tests/conftest.py).

Within one call `batch` is one number and `latent` one shape, so that times of another batch, or a target of another
shape that torch would broadcast in silence, are errors.
"""

from typing import TypeAlias

from jaxtyping import Float, Float64, Int
from torch import Tensor

Latents: TypeAlias = Float[Tensor, " batch *latent"]
"""(B, ...) of any rank: noise, clean or noisy latents, predictions."""

PerSample: TypeAlias = Float[Tensor, " batch"]
"""(B,): times, levels of signal and noise, losses."""

PerSample64: TypeAlias = Float64[Tensor, " batch"]
"""(B,) in float64, as all that is computed of times."""

Branches: TypeAlias = Int[Tensor, " batch"]
"""(B,): numbers of guidance branches, 0 the unconditional one."""

Scales: TypeAlias = Float[Tensor, "batch scales"]
"""(B, scales): guidance scales, one between a branch and the next."""

Frames: TypeAlias = Float[Tensor, "batch frames *values"]
"""(B, F, ...): anything of frames."""

Boxes: TypeAlias = Float[Tensor, "*frames 4"]
"""(..., 4): left, top, right, bottom as shares of the picture."""

Cells: TypeAlias = Float[Tensor, "*frames height width"]
"""(..., h, w): a value for each cell of latents."""
