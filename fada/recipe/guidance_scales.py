"""Guidance scales of a recipe: names are its family's branches, and what is left out is the family's own.

A resolved recipe thus shows them all, in the order of the branches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from fada.family import Guidance
from fada.recipe.sections.distill import Distill, Phase, ScaleRange
from fada.recipe.sections.running import Bench

Place = tuple[str | int, ...]


def with_phase_scales(distill: Distill, guidance: Guidance) -> Distill:
    """The section with a range of every branch in every phase.

    Raises:
        ValidationError: naming every name that is no branch's, and every range that is half the family's and turned
            round.
    """
    phases: list[Phase] = []
    faults: list[InitErrorDetails] = []
    for index, phase in enumerate(distill.phases):
        place: Place = ("phases", index, "scales")
        faults += _unknown_names(phase.scales, guidance, place)
        scales = {}
        for name in guidance.names:
            low, high = _ends(phase.scales.get(name), guidance.range_of(name))
            if high < low:
                what = f"high must not be below low, got low={low}, high={high}, of which one is the family's"
                faults.append(_fault(f"{what}: give both", (*place, name), None))
            else:
                scales[name] = ScaleRange(low=low, high=high)
        phases.append(phase.model_copy(update={"scales": scales}))
    _raise(faults)
    return distill.model_copy(update={"phases": tuple(phases)})


def with_bench_scales(bench: Bench, guidance: Guidance) -> Bench:
    """The section with a scale and a sweep, which may be empty, of every branch.

    Raises:
        ValidationError: naming every name that is no branch's, and every scale that an empty sweep would choose.
    """
    faults = _unknown_names(bench.scales, guidance, ("scales",)) + _unknown_names(bench.sweep, guidance, ("sweep",))
    scales = {name: bench.scales.get(name, float(own)) for name, own in guidance.scales.items()}
    sweep = {name: bench.sweep.get(name, ()) for name in guidance.names}
    for name, scale in scales.items():
        if scale is None and not sweep[name]:
            what = f"null is chosen by a sweep; give bench.sweep.{name} too, as in [1, 2, 4]"
            faults.append(_fault(what, ("scales", name), None))
    _raise(faults)
    return bench.model_copy(update={"scales": scales, "sweep": sweep})


def _ends(given: ScaleRange | None, own: tuple[float, float]) -> tuple[float, float]:
    """Both ends of a range; those that are not given are the family's."""
    low, high = map(float, own)
    if given is None:
        return low, high
    return low if given.low is None else given.low, high if given.high is None else given.high


def _unknown_names(named: Mapping[str, Any], guidance: Guidance, place: Place) -> list[InitErrorDetails]:
    known = ", ".join(guidance.names)
    return [
        _fault(f"no guidance scale named {name[:64]!r}; choose from {known}", (*place, name), value)
        for name, value in named.items()
        if name not in guidance.names
    ]


def _fault(what: str, place: Place, value: Any) -> InitErrorDetails:
    """A fault at a place inside a section, so that the recipe's line can be named."""
    return InitErrorDetails(type=PydanticCustomError("value_error", "{what}", {"what": what}), loc=place, input=value)


def _raise(faults: list[InitErrorDetails]) -> None:
    if faults:
        raise ValidationError.from_exception_data("scales", faults)
