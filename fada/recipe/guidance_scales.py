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
        ValidationError: a name is no branch's, or a range that is half the family's is turned round.
    """
    phases: list[Phase] = []
    for index, phase in enumerate(distill.phases):
        place: Place = ("phases", index, "scales")
        _check_names(phase.scales, guidance, place)
        scales = {name: _filled(phase.scales.get(name), guidance, name, place) for name in guidance.names}
        phases.append(phase.model_copy(update={"scales": scales}))
    return distill.model_copy(update={"phases": tuple(phases)})


def with_bench_scales(bench: Bench, guidance: Guidance) -> Bench:
    """The section with a scale and a sweep, which may be empty, of every branch.

    Raises:
        ValidationError: a name is no branch's, or a scale is chosen by a sweep that is empty.
    """
    _check_names(bench.scales, guidance, ("scales",))
    _check_names(bench.sweep, guidance, ("sweep",))
    scales = {name: bench.scales.get(name, float(own)) for name, own in guidance.scales.items()}
    sweep = {name: bench.sweep.get(name, ()) for name in guidance.names}
    for name, scale in scales.items():
        if scale is None and not sweep[name]:
            what = f"null is chosen by a sweep; give bench.sweep.{name} too, as in [1, 2, 4]"
            raise _fault(what, ("scales", name), None)
    return bench.model_copy(update={"scales": scales, "sweep": sweep})


def _filled(given: ScaleRange | None, guidance: Guidance, name: str, place: Place) -> ScaleRange:
    low, high = (float(end) for end in guidance.range_of(name))
    if given is not None:
        low = low if given.low is None else given.low
        high = high if given.high is None else given.high
    if high < low:
        what = f"high must not be below low, got low={low}, high={high}, of which one is the family's: give both"
        raise _fault(what, (*place, name), None)
    return ScaleRange(low=low, high=high)


def _check_names(named: Mapping[str, Any], guidance: Guidance, place: Place) -> None:
    for name, value in named.items():
        if name not in guidance.names:
            what = f"no guidance scale named {name[:64]!r}; choose from {', '.join(guidance.names)}"
            raise _fault(what, (*place, name), value)


def _fault(what: str, place: Place, value: Any) -> ValidationError:
    """A fault at a place inside a section, so that the recipe's line can be named."""
    kind = PydanticCustomError("value_error", "{what}", {"what": what})
    return ValidationError.from_exception_data("scales", [InitErrorDetails(type=kind, loc=place, input=value)])
