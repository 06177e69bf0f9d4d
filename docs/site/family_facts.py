"""What the toolkit knows of a family, as a table: from the value that the code itself reads."""

from __future__ import annotations

from fada.family import Family, families


def table(name: str) -> str:
    """Rows of what a family is; `name` is its `teacher.kind`."""
    family = families()[name]
    rows = {
        "in recipes": f"`teacher.kind: {family.name}`",
        "pipeline": f"`{family.pipeline}`",
        "branches of guidance": " → ".join(f"`{branch}`" for branch in family.guidance.branches),
        "scales where nobody says": ", ".join(f"{key} {scale:g}" for key, scale in family.guidance.scales.items()),
        "scales that a fast student learns": ", ".join(_range(family, key) for key in family.guidance.names),
        "clips must have, beside sound": ", ".join(sorted(family.conditions)) or "nothing",
        "evaluations of the teacher": _evaluations(family),
        "trained here": ", ".join(f"`{stage}`" for stage in family.stages) or "no: released weights",
        "released weights": "`fada teacher import`" if family.is_imported else "none of its own",
        "codec": "its own, trained here" if family.codec_section else "a VAE",
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows.items())])


def _range(family: Family, name: str) -> str:
    low, high = family.guidance.range_of(name)
    return f"{name} {low:g} to {high:g}"


def _evaluations(family: Family) -> str:
    steps = family.settings().steps
    branches = len(family.guidance.branches)
    return f"{steps} steps × {branches} branches = {steps * branches} a chunk, where all scales differ"
