"""Recipes in the words of earlier versions, whose keys named two guidance scales instead of a family's branches.

A run's own record is translated, so that it opens for ever. In a recipe that a person wrote an earlier word is an
error, which says the new words with that person's own value.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from fada.files.folders import kind_of

RUN = "run"
"""What fada's mark says in a run's folder."""
RECIPE, ENVIRONMENT = "recipe.yaml", "environment.json"
"""Files of a run, in its folder."""
BESIDE = (ENVIRONMENT, "model_index.json", "delta.json")
"""Files that lie with a recorded recipe: in a run, or in a model that was exported from one."""
PHASE = {"audio_scale": ("scales", "audio"), "reference_scale": ("scales", "reference")}
"""Key of a phase → where its value stands now."""
BENCH = PHASE | {"sweep_audio": ("sweep", "audio"), "sweep_reference": ("sweep", "reference")}
"""Likewise of the section `bench`."""
LOW = 1.0
USUAL: dict[str, Any] = {
    "audio_scale": {"low": LOW, "high": 9.0}, "reference_scale": {"low": LOW, "high": 4.0},
}  # fmt: skip
"""What a phase that said nothing had, and what a range began with that had a highest scale alone."""
USUAL_BENCH: dict[str, Any] = {"audio_scale": 6.5, "reference_scale": 2.5, "sweep_audio": [], "sweep_reference": []}
"""Likewise the section `bench`."""
LONGEST = 120
"""Characters of a value that are shown."""


def is_record(file: Path) -> bool:
    """Whether a recipe was written by a run into its own folder, or copied from there by an export."""
    folder = file.parent
    return file.name == RECIPE and (kind_of(folder) == RUN or any((folder / name).is_file() for name in BESIDE))


def translated(data: Any) -> Any:
    """The data of a recipe with new words for earlier ones; what is no mapping where one belongs stays as it is."""
    if not isinstance(data, dict):
        return data
    found = dict(data)
    if isinstance(found.get("bench"), dict):
        found["bench"] = _renamed(found["bench"], BENCH)
    distill = found.get("distill")
    if isinstance(distill, dict) and isinstance(distill.get("phases"), list):
        phases = [_renamed(each, PHASE) if isinstance(each, dict) else each for each in distill["phases"]]
        found["distill"] = {**distill, "phases": phases}
    return found


def in_earlier_words(content: dict[str, Any], *, has_defaults: bool) -> dict[str, Any]:
    """What a resolved recipe was dumped as before; for hashes under which results of earlier versions are stored.

    Args:
        content: a dump in JSON's types, with every scale and sweep.
        has_defaults: whether what had its default then is part of it.
    """
    found = dict(content)
    if "bench" in content:
        section = dict(content["bench"])
        named = {f"{name}_scale": scale for name, scale in section.pop("scales", {}).items()}
        named |= {f"sweep_{name}": scales for name, scales in section.pop("sweep", {}).items()}
        found["bench"] = section | (named if has_defaults else _unusual(named, USUAL_BENCH))
        if not found["bench"]:
            del found["bench"]
    if "phases" in content.get("distill", {}):
        phases = [_earlier_phase(phase, has_defaults) for phase in content["distill"]["phases"]]
        found["distill"] = {**content["distill"], "phases": phases}
    return found


def _earlier_phase(phase: dict[str, Any], has_defaults: bool) -> dict[str, Any]:
    named = {f"{name}_scale": ends for name, ends in phase.get("scales", {}).items()}
    if not has_defaults:
        named = _unusual(named, USUAL)
        named = {key: ends if ends["low"] != LOW else {"high": ends["high"]} for key, ends in named.items()}
    return {key: value for key, value in phase.items() if key != "scales"} | named


def _unusual(named: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in named.items() if key not in usual or value != usual[key]}


def now_at(path: Sequence[str | int]) -> tuple[str, str] | None:
    """Where the value of an earlier key stands now, below the section that it was in; None for any other key."""
    if not path:
        return None
    *above, key = path
    is_phase = len(above) == 3 and tuple(above[:2]) == ("distill", "phases")
    table = PHASE if is_phase else BENCH if tuple(above) == ("bench",) else {}
    return table.get(str(key))


def new_words(path: Sequence[str | int], value: Any) -> str | None:
    """What to write for an earlier key with this value, as in `scales: {audio: {low: 1, high: 9}}`; None for others."""
    place = now_at(path)
    if place is None:
        return None
    outer, name = place
    written = yaml.safe_dump({name: value}, default_flow_style=True, width=float("inf"), sort_keys=False).strip()
    return f"{outer}: {written if len(written) <= LONGEST else f'{{{name}: ...}}'}"


def _renamed(section: dict[str, Any], table: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """The section with earlier keys where their values stand now; what is there already is kept, and they too."""
    found: dict[str, Any] = {}
    for key, value in section.items():
        outer, name = table.get(key, (key, ""))
        if key not in table or outer in section:
            found[key] = value
        else:
            found.setdefault(outer, {})[name] = value
    return found
