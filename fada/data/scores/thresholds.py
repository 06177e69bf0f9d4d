"""Thresholds on scores, from YAML files: what a clip must be like to belong to a set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from fada.data.scores.catalogue import AXES, SCORES, Axis
from fada.recipe.errors import KeyPath, RecipeError, did_you_mean, dotted
from fada.recipe.loading import read_text
from fada.recipe.reading import read_yaml
from fada.recipe.shipped import THRESHOLDS


class Limit(BaseModel):
    """From where to where a score may lie."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    min: float | None = None
    max: float | None = None
    unmeasured: Literal["pass", "fail"] = "pass"
    """Of a clip for which the score could not be measured."""

    @model_validator(mode="after")
    def some_limit(self) -> Limit:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: no clip would pass")
        return self

    def holds(self, value: float | None) -> bool:
        """Whether a score passes."""
        if value is None:
            return self.unmeasured == "pass"
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def implies(self, other: Limit) -> bool:
        """Whether whatever passes here passes there."""
        low = other.min is None or (self.min is not None and self.min >= other.min)
        high = other.max is None or (self.max is not None and self.max <= other.max)
        return low and high and (other.unmeasured == "pass" or self.unmeasured == "fail")


def _known(axis: Axis) -> Any:
    names = [score.name for score in SCORES.values() if score.axis == axis]

    def check(content: Any) -> Any:
        for name in content if isinstance(content, dict) else ():
            if name not in names:
                where = f"; it belongs to {SCORES[name].axis}" if name in SCORES else did_you_mean(name, names)
                raise ValueError(f"no score {name!r} on this axis{where} (scores here: {', '.join(names)})")
        return content

    return Annotated[dict[str, Limit], BeforeValidator(check), Field(default_factory=dict)]


class _File(BaseModel):
    """A section per axis."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: _known("source")  # type: ignore[valid-type]
    image: _known("image")  # type: ignore[valid-type]
    sync: _known("sync")  # type: ignore[valid-type]
    background: _known("background")  # type: ignore[valid-type]
    movement: _known("movement")  # type: ignore[valid-type]


@dataclass(frozen=True)
class Thresholds:
    """The limits of one set, by score."""

    name: str
    by_score: dict[str, Limit]

    @property
    def limits(self) -> dict[str, tuple[float | None, float | None]]:
        """Lowest and highest value that passes, by score."""
        return {name: (limit.min, limit.max) for name, limit in self.by_score.items()}

    def failed(self, scores: dict[str, float | None]) -> list[str]:
        """Scores that speak against a clip, in the catalogue's order."""
        return [name for name in SCORES if name in self.by_score and not self.by_score[name].holds(scores.get(name))]


def load_thresholds(path: str | Path) -> Thresholds:
    """Thresholds in a YAML file: `axis: {score: {min: x, max: y, unmeasured: pass|fail}}`.

    Args:
        path: a file, or the name of a shipped one, `strict` or `lenient`.

    Raises:
        RecipeError: no such file, or something in it is wrong; every fault is named.
    """
    file = _find(path)
    data, places = read_yaml(read_text(file), str(file))
    if not isinstance(data, dict):
        raise RecipeError(f"{file}: thresholds are a mapping of axes ({', '.join(AXES)}), got {type(data).__name__}")
    try:
        content = _File.model_validate(data)
    except ValidationError as error:
        raise RecipeError("\n".join(_line(dict(item), places, file) for item in error.errors())) from error
    by_score = {name: limit for axis in AXES for name, limit in getattr(content, axis).items()}
    return Thresholds(file.stem, by_score)


def check_nested(strict: Thresholds, lenient: Thresholds) -> None:
    """Set A must be part of set B.

    Raises:
        RecipeError: a clip could pass the strict thresholds and fail the lenient ones.
    """
    for name, limit in lenient.by_score.items():
        inner = strict.by_score.get(name)
        if inner is None or not inner.implies(limit):
            raise RecipeError(
                f"{lenient.name}: {SCORES[name].axis}.{name} refuses clips that {strict.name} takes; set A must be "
                f"part of set B: tighten it in {strict.name}, or loosen it in {lenient.name}"
            )


def _find(path: str | Path) -> Path:
    if Path(path).is_file():
        return Path(path)
    name = Path(path).as_posix().removeprefix("recipes/").removeprefix("data/").removesuffix(".yaml")
    if (THRESHOLDS / f"{name}.yaml").is_file():
        return THRESHOLDS / f"{name}.yaml"
    shipped = sorted(file.stem for file in THRESHOLDS.glob("*.yaml"))
    raise RecipeError(f"{path}: no such file{did_you_mean(name, shipped)} (shipped thresholds: {', '.join(shipped)})")


def _line(item: dict[str, Any], places: dict[KeyPath, str], file: Path) -> str:
    path: KeyPath = tuple(item["loc"])
    place = next((places[path[:length]] for length in range(len(path), 0, -1) if path[:length] in places), str(file))
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        known = AXES if len(path) == 1 else tuple(Limit.model_fields)
        message = f"unknown key{did_you_mean(path[-1], known)} (keys here: {', '.join(known)})"
    return f"{place}: {dotted(path)}: {message}"
