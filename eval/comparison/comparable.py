"""What two benchmarks must have in common before their figures may be set side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fada.eval.bench.results import BenchResults
from fada.eval.bench.summary import metric_names, system_names
from fada.eval.metrics.catalogue import CATALOGUE

MAY_DIFFER = frozenset(
    # What is compared, how often it was timed, and what follows from the clips, which are compared by their content.
    ("fingerprint", "recipe", "systems", "warmups", "repeats", "clips", "identities", "frames", "metrics")
)
"""Keys of a protocol; beside them those of guidance scales, each under `NAME_scale`."""
SCALE = "_scale"
HOW_MEASURED = ("implementation", "input", "weights")
"""Keys of a metric's protocol; a metric in which they differ is left out."""
SAME_MACHINE = ("system", "processor", "cores", "torch_threads", "gpu", "python", "torch", "cuda")
OWN_REFERENCE = "latent_mse_reference"
"""The metric that measures against the run's own reference."""


class CompareError(ValueError):
    """Two benchmarks that cannot be set against each other."""


def results_at(place: Path) -> BenchResults:
    """The results of a ``results.json``, of a report's folder, or of a run's.

    Raises:
        CompareError: there are none.
        ResultsError: they cannot be read.
    """
    candidates = (place, place / "results.json", place / "report" / "results.json")
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise CompareError(f"{place}: no results.json here or in report/; run fada bench on that run first")
    return BenchResults.load(found)


def check_protocols(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Nothing, if all that must be equal is; CompareError names the keys and both values otherwise."""
    keys = sorted({*before, *after} - MAY_DIFFER - {*scale_keys(before, after)})
    wrong = [f"{key} ({before.get(key)!r} and {after.get(key)!r})" for key in keys if before.get(key) != after.get(key)]
    if wrong:
        raise CompareError(
            f"protocols differ in {', '.join(wrong)}; figures measured differently cannot be compared: "
            "run the bench of one again as the other was run"
        )


def scale_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Keys of the guidance scales that either protocol names, in the order of the branches."""
    return [key for key in {**before, **after} if key.endswith(SCALE)]


def common_clips(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Keys of the clips that both protocols name, in the first one's order.

    Raises:
        CompareError: a key stands for different clips, or there is none in common.
    """
    own, other = before["clips"], after["clips"]
    common = [key for key in own if key in other]
    changed = [key for key in common if own[key] != other[key]]
    if changed:
        raise CompareError(f"clips {', '.join(changed)}: same name, other content; measure both runs on the same clips")
    if not common:
        raise CompareError(f"no clip in common ({_few(own)}; {_few(other)}); measure both runs on the same clips")
    return common


def _few(names: Sequence[str] | Mapping[str, Any]) -> str:
    shown = list(names)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def paired_systems(before: BenchResults, after: BenchResults, systems: Mapping[str, str] | None) -> dict[str, str]:
    """Names in ``before`` to names in ``after``: those asked for, or all that are equal.

    Raises:
        CompareError: an unknown name, or none in common.
    """
    own, other = system_names(before), system_names(after)
    if systems is None:
        pairs = {name: name for name in own if name in other}
        if not pairs:
            raise CompareError(
                f"no system in common ({', '.join(own)}; {', '.join(other)}); name pairs: --system {own[0]}={other[0]}"
            )
        return pairs
    for name, known in [*((name, own) for name in systems), *((name, other) for name in systems.values())]:
        if name not in known:
            raise CompareError(f"no system named {name!r}; choose from {', '.join(known)}")
    return dict(systems)


def common_metrics(before: BenchResults, after: BenchResults, wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """The metrics to compare, in the catalogue's order, and a note on what had to be left out.

    Raises:
        CompareError: a wanted metric that one of the runs lacks.
    """
    common = [name for name in metric_names(before) if name in metric_names(after)]
    unknown = [name for name in wanted if name not in common]
    if unknown:
        raise CompareError(f"{', '.join(unknown)}: not measured in both runs; choose from {', '.join(common)}")
    chosen = [name for name in common if not wanted or name in wanted]
    otherwise = _measured_otherwise(before, after)
    if set(otherwise) & set(wanted):
        raise CompareError(
            f"{'; '.join(otherwise[name] for name in wanted if name in otherwise)}; measure one run again"
        )
    notes = [f"Left out: {why}." for why in otherwise.values()]
    chosen = [name for name in chosen if name not in otherwise]
    if OWN_REFERENCE in chosen and _mark(before, before.reference) != _mark(after, after.reference):
        chosen.remove(OWN_REFERENCE)
        notes.append(f"Left out: {CATALOGUE[OWN_REFERENCE].label}, as the runs have different references.")
    return chosen, notes


def _measured_otherwise(before: BenchResults, after: BenchResults) -> dict[str, str]:
    """For every metric that both runs measured in different ways: which."""
    own, other = before.protocol.get("metrics", {}), after.protocol.get("metrics", {})
    differing = {
        name: [key for key in HOW_MEASURED if own[name].get(key) != other[name].get(key)]
        for name in own
        if name in other
    }
    return {name: f"{name}, as its {' and '.join(keys)} differ" for name, keys in differing.items() if keys}


def _mark(results: BenchResults, name: str) -> str:
    return str(results.system(name)["fingerprint"])


def differing_settings(before: BenchResults, after: BenchResults) -> list[str]:
    """Sentences on settings that differ and may."""
    notes = [
        f"{key} differs: {before.protocol.get(key)} and {after.protocol.get(key)}."
        for key in (*scale_keys(before.protocol, after.protocol), "warmups", "repeats")
        if before.protocol.get(key) != after.protocol.get(key)
    ]
    commits = [each.environment.get("commit") for each in (before, after)]
    if commits[0] != commits[1]:
        notes.append(f"Measured by commits {commits[0] or 'unknown'} and {commits[1] or 'unknown'}.")
    own, other = len(before.protocol["clips"]), len(after.protocol["clips"])
    common = len(common_clips(before.protocol, after.protocol))
    if not own == other == common:
        notes.append(f"{common} clips in common, of {own} and {other}: only those are compared.")
    return notes


def same_systems(before: BenchResults, after: BenchResults, pairs: Mapping[str, str]) -> list[str]:
    """A sentence on the systems whose weights and settings are the same in both runs; none where there is none."""
    same = [name for name, other in pairs.items() if _mark(before, name) and _mark(before, name) == _mark(after, other)]
    if not same:
        return []
    return [
        f"Same weights and settings in both runs: {', '.join(same)}. What differs there comes from code or machine."
    ]
