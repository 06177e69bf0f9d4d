"""Weights as their difference from other weights, exact in float32.

`base + difference` rounds: for about one number in a hundred of a distilled student, float32 has no difference that
brings it back. Those numbers are listed as corrections beside the differences.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fada.export.part_weights import Weights

INDEX, VALUE = ".index", ".value"


def differences(own: Weights, base: Weights, dtype: torch.dtype) -> tuple[Weights, Weights]:
    """(differences of changed tensors and new tensors whole; corrections, of float32 only).

    Where `base + difference` in float32 is not the student's number (about one in a hundred), the corrections hold its
    place in the flattened tensor and the number itself.
    """
    written: Weights = {}
    corrections: Weights = {}
    for name, value in own.items():
        if name not in base:
            written[name] = value
        elif not torch.equal(value, base[name].to(value.dtype)):
            before = base[name].float()
            written[name] = (value.float() - before).to(dtype)
            wrong = (before + written[name].float() != value.float()).flatten().nonzero()[:, 0]
            if dtype == torch.float32 and len(wrong):
                corrections[name + INDEX] = wrong.int()
                corrections[name + VALUE] = value.float().flatten()[wrong]
    return written, corrections


class ForeignDifference(ValueError):
    """A difference that is not of these weights."""


def apply_differences(base: Weights, written: Weights, corrections: Weights) -> Weights:
    """The student's weights in float32: what `differences` wrote, on the teacher's.

    Raises:
        ForeignDifference: shapes, places or names that are not those of the teacher's weights.
    """
    student = dict(base)
    # Sums of unequal shapes would broadcast, to sizes that no file has.
    check_shapes(base, written)
    for name, change in written.items():
        student[name] = base[name].float() + change.float() if name in base else change
    for name, places in corrections.items():
        if name.endswith(INDEX):
            tensor = name.removesuffix(INDEX)
            _correct(student, tensor, places, corrections.get(tensor + VALUE))
    return student


def check_shapes(base: Weights, own: Weights) -> None:
    """Raises ForeignDifference where a tensor of the same name has another shape."""
    for name, value in own.items():
        if name in base and base[name].shape != value.shape:
            raise ForeignDifference(
                f"{name} is {list(value.shape)}, the teacher's {list(base[name].shape)}: not a difference from it"
            )


def _correct(student: Weights, tensor: str, places: Tensor, values: Tensor | None) -> None:
    there = student.get(tensor)
    if there is None or values is None or places.ndim != 1 or places.shape != values.shape:
        raise ForeignDifference(f"corrections of {tensor} do not fit it")
    is_whole = not (places.is_floating_point() or places.is_complex())
    if not is_whole or (len(places) and not 0 <= int(places.min()) <= int(places.max()) < there.numel()):
        raise ForeignDifference(f"corrections of {tensor} lie outside it")
    there.view(-1)[places.long()] = values.to(there.dtype)
