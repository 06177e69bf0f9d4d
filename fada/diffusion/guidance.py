"""Multi-condition guidance as one ladder of branches.

Conditions are dropped in a fixed order, from unconditional to fully conditioned; each step from one branch to the next
has a scale. The same function combines noise predictions (FADA eq. 9) and learnable tokens (FADA eq. 10).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from fada.diffusion.shapes import Latents
from fada.diffusion.transfer import moved


def branch_coefficients(scales: Tensor) -> Float[Tensor, "batch branches"]:
    """Share of every branch in the combination.

    Args:
        scales: (B, R-1), one scale per step.

    Returns:
        (B, R) in the dtype of ``scales``: ``1 - s_1``, then ``s_k - s_(k+1)``, last ``s_last``; each row sums to one.

    Raises:
        ValueError: ``scales`` is not a matrix.
    """
    if scales.ndim != 2:
        raise ValueError(f"scales must be (batch, branches - 1), got shape {tuple(scales.shape)}")
    one, zero = scales.new_ones(len(scales), 1), scales.new_zeros(len(scales), 1)
    return torch.cat([one, scales], dim=1) - torch.cat([scales, zero], dim=1)


def weighted_branches(branches: Sequence[Latents], coefficients: Float[Tensor, "rows branches"]) -> Latents:
    """Sum of the branches, each times its per-sample coefficient.

    For callers that evaluate only the branches of ``needed_branches``: pass those, and the same columns of
    ``branch_coefficients``.

    Args:
        branches: R tensors of shape (B, ...).
        coefficients: (B, R), or (1, R) for every sample alike.

    Returns:
        (B, ...) in float32, or in float64 if the branches are float64.

    Raises:
        ValueError: the number of branches and of coefficients differ.
    """
    if coefficients.ndim != 2 or coefficients.shape[1] != len(branches):
        raise ValueError(
            f"{len(branches)} branches need coefficients (batch, {len(branches)}), got {tuple(coefficients.shape)}"
        )
    dtype = torch.promote_types(branches[0].dtype, torch.float32)
    shape = (-1,) + (1,) * (branches[0].ndim - 1)
    columns = moved(coefficients.to(dtype), branches[0].device).unbind(dim=1)
    total = columns[0].view(shape) * branches[0].to(dtype)
    for column, branch in zip(columns[1:], branches[1:], strict=True):
        total = total + column.view(shape) * branch.to(dtype)
    return total


def combine(branches: Sequence[Latents], scales: Tensor | Sequence[float]) -> Latents:
    """The guided value ``x_0 + sum_k s_k (x_k - x_(k-1))``; exactly the last branch where all scales are one.

    Args:
        branches: R tensors of shape (B, ...), unconditional first.
        scales: (B, R-1), or R-1 numbers for every sample alike.

    Returns:
        (B, ...) in float32, or in float64 if the branches are float64: guidance amplifies rounding.

    Raises:
        ValueError: there is not one scale per step.

    Source: FADA eq. 9 and 10.
    """
    rows = _rows(scales)
    if rows.shape[1] != len(branches) - 1:
        raise ValueError(f"{len(branches)} branches need {len(branches) - 1} scales per sample, got {rows.shape[1]}")
    return weighted_branches(branches, branch_coefficients(rows))


def needed_branches(scales: Tensor | Sequence[float]) -> tuple[int, ...]:
    """Branches whose coefficient is not zero for at least one sample, in ladder order.

    Equal scales cancel the branches between them (two evaluations instead of three); all ones leave the last alone.

    Args:
        scales: (B, R-1), or R-1 numbers for every sample alike.
    """
    is_needed = (branch_coefficients(_rows(scales)) != 0).any(dim=0)
    return tuple(is_needed.nonzero().flatten().tolist())


def _rows(scales: Tensor | Sequence[float]) -> Float[Tensor, "rows scales"]:
    """Scales as a matrix (B or 1, R-1)."""
    tensor = scales if isinstance(scales, Tensor) else torch.tensor(list(scales), dtype=torch.float64)
    return tensor[None] if tensor.ndim == 1 else tensor
