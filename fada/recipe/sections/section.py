"""What all sections have in common: strict types, finite numbers, and ranges in which a number can be meant.

Types are strict: a truth value or a text is no number. The upper ends are generous; beyond them a number is a mistake
that would fill the memory or never end.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from fada.files.names import PlainName
from fada.pretrained.shipped import located

T = TypeVar("T")
MOST_STEPS = 10**8
_LONGEST_PATH = 4000
"""Bytes; Linux takes 4096 with what is appended."""
_LONGEST_PART = 255


class Section(BaseModel):
    """A frozen part of a recipe; unknown keys are errors, field docstrings become descriptions."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        protected_namespaces=(),
        strict=True,
        allow_inf_nan=False,
    )


def _whole(value: Any) -> Any:
    """1e4 is a float to YAML, and a whole number all the same."""
    return int(value) if type(value) is float and value.is_integer() else value


def _printable(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError(f"give 1 to 200 printable characters, got {text!r}")
    return text


def check_path(path: Path) -> Path:
    """A path that can be one.

    Raises:
        ValueError: it is empty, too long, or holds characters that no one types.
    """
    text = str(path)
    if text == ".":
        # What an empty text becomes too.
        raise ValueError("empty, or the current folder; give the path of another one")
    if not text.isprintable():
        raise ValueError(f"{text[:80]!r} holds characters that cannot be seen; give a plain path")
    if len(os.fsencode(text)) > _LONGEST_PATH or any(len(os.fsencode(part)) > _LONGEST_PART for part in path.parts):
        raise ValueError(f"a path has at most {_LONGEST_PATH} bytes, its parts {_LONGEST_PART}; got {text[:40]!r}...")
    return path


def _model(path: Path) -> Path:
    """The path as it stands, so that recipes hold no place of this machine; names of shipped models are checked."""
    located(path)
    return path


def check_output(path: Path) -> Path:
    """A folder that a run may fill.

    Raises:
        ValueError: it is the current folder, one above it, or the home folder: what lies there is not a run's.
    """
    whole = Path(os.path.abspath(path))
    here = Path(os.path.abspath("."))
    if whole == here or whole in here.parents or whole == Path.home():
        raise ValueError(f"{str(path)!r} is the current folder, one above it, or home; give a new one, as in runs/NAME")
    return path


Steps = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=MOST_STEPS)]
"""Of an optimiser, or samples that are made."""
StepsOrNone = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=MOST_STEPS)]
"""Steps, where 0 turns something off."""
Count = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=10**6)]
"""Clips, batches, repetitions."""
CountOrNone = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=10**6)]
Frames = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=10**5)]
FramesOrNone = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=10**5)]
Few = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=1000)]
"""Steps of a solver, windows, tokens, heads, layers, processes."""
Width = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=2**15)]
"""Channels."""
Pixels = Annotated[int, BeforeValidator(_whole), Field(ge=16, le=2**13)]
Seed = Annotated[int, BeforeValidator(_whole), Field(ge=0, lt=2**63)]
Rate = Annotated[float, Field(gt=0.0, le=100.0)]
"""A learning rate."""
Weight = Annotated[float, Field(ge=0.0, le=1e6)]
PositiveWeight = Annotated[float, Field(gt=0.0, le=1e6)]
"""A weight of what is left out where it shall have none."""
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Scale = Annotated[float, Field(ge=-1000.0, le=1000.0)]
"""A guidance scale."""
Title = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
FilePath = Annotated[Path, Field(strict=False), AfterValidator(check_path)]
ModelPath = Annotated[FilePath, AfterValidator(_model)]
"""A model's folder, or the name of one that comes with the package, as in ``shipped:drawn`` (`located`)."""
OutputPath = Annotated[FilePath, AfterValidator(check_output)]
Listed = Annotated[tuple[T, ...], Field(strict=False, max_length=200)]
"""A list in YAML."""
Named = Annotated[dict[str, T], Field(max_length=200)]
"""A mapping in YAML, whose keys are names of the teacher's family: of its guidance branches."""

__all__ = [
    "Count",
    "CountOrNone",
    "Few",
    "FilePath",
    "Frames",
    "FramesOrNone",
    "Listed",
    "ModelPath",
    "Named",
    "OutputPath",
    "Pixels",
    "PlainName",
    "PositiveWeight",
    "Rate",
    "Scale",
    "Section",
    "Seed",
    "Share",
    "Steps",
    "StepsOrNone",
    "Title",
    "Weight",
    "Width",
]
