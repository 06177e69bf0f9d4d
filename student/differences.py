"""Weights as their difference from other weights, exact in float32.

`base + difference` rounds: for about one number in a hundred of a distilled student, float32 has no difference that
brings it back. Those numbers are listed as corrections beside the differences.
"""

from __future__ import annotations

import torch

from fada.student.part_weights import Weights

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


def apply_differences(base: Weights, written: Weights, corrections: Weights) -> Weights:
    """The student's weights in float32: what `differences` wrote, on the teacher's."""
    student = dict(base)
    for name, change in written.items():
        student[name] = base[name].float() + change.float() if name in base else change
    for name, places in corrections.items():
        if name.endswith(INDEX):
            tensor = name.removesuffix(INDEX)
            student[tensor].view(-1)[places.long()] = corrections[tensor + VALUE]
    return student
