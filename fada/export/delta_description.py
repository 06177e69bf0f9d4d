"""What `delta.json` says: of which parts a student's difference is made, which teacher it needs, what it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from fada.files.strict_json import JSONFault, read_table
from fada.generation.pipelines import DIFFERENCE, pipeline_class
from fada.pretrained.errors import ModelFolderError
from fada.pretrained.networks import CONFIG_BYTES
from fada.pretrained.pipelines import check_index
from fada.pretrained.settings import Settings, first_fault, shortly

VERSION = 1
_Mark = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
_Many = Annotated[int, Field(ge=0, le=2**50)]
_Energy = Annotated[float, Field(ge=0, le=1.001)]


class DeltaError(ValueError):
    """A difference that cannot be made, or does not fit the teacher it is given."""


class _Part(Settings):
    kind: Literal["taken", "whole", "difference"]
    type: Literal["", "float64", "float32", "float16", "bfloat16"] = ""
    changed: _Many = 0
    new: _Many = 0
    bytes: _Many = 0
    kept: _Energy | None = None


class _Teacher(Settings):
    fingerprint: _Mark
    parts: dict[str, _Mark]


class _Description(Settings):
    version: Literal[1]
    fada: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+-]{1,40}$")]
    form: Literal["delta", "lora"]
    dtype: Literal["fp32", "bf16"]
    rank: Annotated[int, Field(ge=1, le=2**20)] | None = None
    kept: _Energy | None = None
    parts: dict[str, _Part]
    teacher: _Teacher
    pipeline: dict[str, Any]


def read_delta(folder: Path) -> dict[str, Any]:
    """What a folder's `delta.json` says, every value typed, every part one of its pipeline's components.

    Raises:
        DeltaError: there is none, a newer fada wrote it, or it names what is not permitted.
    """
    file = folder / DIFFERENCE
    if not file.is_file():
        raise DeltaError(f"{file}: no such file; a student's difference is made by fada export RUN --as delta")
    try:
        told = read_table(file, CONFIG_BYTES)
        if isinstance(told.get("version"), int) and told["version"] > VERSION:
            newer = shortly(told.get("fada"))[1:-1]
            raise DeltaError(f"{file}: has version {told['version']}, this fada reads {VERSION}; install {newer}")
        _Description.model_validate(told)
        kind = pipeline_class(told["pipeline"], file)
        index = check_index(told["pipeline"], file, kind, kind.components_table)
    except ValidationError as error:
        raise DeltaError(f"{file}: {first_fault(error)}; it is damaged, or made to do harm") from error
    except (JSONFault, ModelFolderError) as error:
        raise DeltaError(str(error)) from error
    strange = [name for name in (*told["parts"], *told["teacher"]["parts"]) if name not in index.kinds]
    strange += [name for name, part in told["parts"].items() if not _has_its_base(name, part, told)]
    if strange:
        raise DeltaError(
            f"{file}: {shortly(strange[0])} is no part of a {kind.__name__} and its teacher; copy it again"
        )
    return told


def _has_its_base(name: str, part: dict[str, Any], told: dict[str, Any]) -> bool:
    """Whether the teacher's part that a part is taken from, or differs from, is named with its fingerprint."""
    return part["kind"] == "whole" or name in told["teacher"]["parts"]
