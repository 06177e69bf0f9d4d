"""A difference of weights in low rank, in the form and under the names of LoRA (Hu et al. 2021, arXiv:2106.09685).

The factors of a linear or convolutional layer are its difference's truncated singular value decomposition, the best
of that rank. Everything else that changed (biases, norms, new layers) is kept whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fada.export.differences import ForeignDifference, check_shapes
from fada.export.part_weights import Weights

DOWN, UP = ".lora_A.weight", ".lora_B.weight"
PEFT = "base_model.model."
"""What peft writes before a name in its adapter files."""


@dataclass(frozen=True)
class LowRank:
    """One part's difference.

    factors: by peft's names without its prefix: `MODULE.lora_A.weight` (r, in) or (r, in, kh, kw),
    `MODULE.lora_B.weight` (out, r) or (out, r, 1, 1); whole: values of the student; spectra: squared singular values of
    each difference, float64, largest first.
    """

    factors: Weights = field(default_factory=dict)
    whole: Weights = field(default_factory=dict)
    spectra: tuple[Tensor, ...] = ()


def low_rank(teacher: Weights, student: Weights, rank: int, dtype: torch.dtype) -> LowRank:
    """The student as its teacher plus factors of `rank` (of less where a matrix has less) in `dtype`."""
    factors: Weights = {}
    whole: Weights = {}
    spectra = []
    for name, value in student.items():
        base = teacher.get(name)
        if base is None:
            whole[name] = value
        elif not torch.equal(value, base.to(value.dtype)):
            if not _is_matrix(name, value):
                whole[name] = value
                continue
            down, up, spectrum = _factors(value.double() - base.double(), rank)
            module = name.removesuffix(".weight")
            factors |= {module + DOWN: down.to(dtype).contiguous(), module + UP: up.to(dtype).contiguous()}
            spectra.append(spectrum)
    return LowRank(factors, whole, tuple(spectra))


def apply_low_rank(teacher: Weights, factors: Weights, whole: Weights) -> Weights:
    """The student's weights: `whole` as it is, the teacher's with B A added in float32, others the teacher's own.

    Raises:
        ForeignDifference: names or shapes that are not those of the teacher's weights.
    """
    check_shapes(teacher, whole)
    student = {**teacher, **whole}
    for name, down in factors.items():
        if name.endswith(DOWN):
            module = name.removesuffix(DOWN)
            base, up = teacher.get(f"{module}.weight"), factors.get(module + UP)
            if base is None or up is None or not _are_factors(base, down, up):
                raise ForeignDifference(f"{name} does not fit the teacher's {module}.weight")
            change = up.float().flatten(1) @ down.float().flatten(1)
            student[f"{module}.weight"] = base.float() + change.view_as(base)
    return student


def _are_factors(base: Tensor, down: Tensor, up: Tensor) -> bool:
    """Whether B A has the teacher's shape: known before it is multiplied, as two thin factors make a wide product."""
    if min(base.ndim, down.ndim, up.ndim) < 2 or 0 in (*down.shape, *up.shape):
        return False
    return (len(up), up[0].numel(), down[0].numel()) == (len(base), len(down), base[0].numel())


def adapter_config(factors: Weights, rank: int) -> dict[str, Any]:
    """peft's `adapter_config.json` of these factors; the scale alpha / r is 1 everywhere."""
    ranks = {name.removesuffix(DOWN): len(value) for name, value in factors.items() if name.endswith(DOWN)}
    lower = {module: found for module, found in ranks.items() if found != rank}
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": None,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(ranks),
        "rank_pattern": lower,
        "alpha_pattern": lower,
        "inference_mode": True,
    }


def share_kept(parts: Iterable[LowRank], rank: int) -> float:
    """Of the sum of squares of all differences that have factors, what a rank holds; 1 where there are none."""
    spectra = [spectrum for part in parts for spectrum in part.spectra]
    whole = sum(float(spectrum.sum()) for spectrum in spectra)
    return sum(float(spectrum[:rank].sum()) for spectrum in spectra) / whole if whole else 1.0


def rank_that_keeps(parts: Sequence[LowRank], share: float) -> int:
    """The lowest rank at which every part keeps a share of its difference."""
    highest = max(len(spectrum) for part in parts for spectrum in part.spectra)
    ranks = range(1, highest)
    return next((rank for rank in ranks if all(share_kept([part], rank) >= share for part in parts)), highest)


def _is_matrix(name: str, value: Tensor) -> bool:
    """Of a linear layer or a convolution; norms and biases are vectors, tokens are no `weight`."""
    return name.endswith(".weight") and value.ndim in (2, 4)


def _factors(change: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """A, B and all squared singular values of a float64 difference (out, in) or (out, in, kh, kw).

    The difference is projected on its leading singular vectors, which are eigenvectors of the smaller Gram matrix; a
    convolution's longer side is never decomposed.
    """
    matrix = change.flatten(1)
    is_wide = matrix.shape[0] <= matrix.shape[1]
    values, vectors = torch.linalg.eigh(matrix @ matrix.T if is_wide else matrix.T @ matrix)
    leading = vectors.flip(1)[:, :rank]
    down, up = (leading.T @ matrix, leading) if is_wide else (leading.T, matrix @ leading)
    if change.ndim == 4:
        down, up = down.reshape(-1, *change.shape[1:]), up[:, :, None, None]
    return down, up, values.flip(0).clamp(min=0)
