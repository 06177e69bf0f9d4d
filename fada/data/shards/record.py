"""What the JSON member of a sample says, checked: whose parts they are, how fast, and what is known of the clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fada.data.clips.clip import ClipError, check_key
from fada.files.strict_json import JSONFault, parse_json
from fada.pretrained.settings import first_fault

LARGEST_RECORD = 16 * 2**20
"""Bytes; the truth of a long drawn clip, frame by frame, has some hundred thousand."""
_Short = Annotated[str, Field(max_length=500)]


class _Meta(BaseModel):
    """What is read by name of a clip's meta; everything else in it is kept as it is."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    split: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}\z")] = "train"
    quality: Annotated[str, Field(max_length=64)] = "A"
    identity: _Short | int | None = None
    source: _Short | dict[str, Any] | None = None
    flaws: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=100)] = Field(default_factory=list)


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    key: str
    meta: _Meta
    fps: Annotated[float, Field(ge=1, le=1000)]
    sample_rate: Annotated[int, Field(ge=1000, le=768_000)]
    members: Annotated[
        dict[
            Annotated[str, Field(max_length=100)],
            Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")],
        ],
        Field(max_length=50),
    ]


@dataclass(frozen=True)
class Record:
    """A sample's JSON; `members` are the hashes of its siblings, by suffix."""

    meta: dict[str, Any]
    members: dict[str, str]
    fps: float
    sample_rate: int


def parse_record(key: str, data: bytes) -> Record:
    """The record of the sample whose members are called `key`.

    Raises:
        ValueError: it is none, or of another sample; the message says why.
    """
    try:
        check_key(key)
        content = parse_json(data, LARGEST_RECORD)
        record = _Record.model_validate(content)
    except (JSONFault, ClipError) as error:
        raise ValueError(str(error)) from error
    except ValidationError as error:
        raise ValueError(first_fault(error)) from error
    if record.key != key:
        raise ValueError(f"is of {record.key!r}")
    return Record(dict(content["meta"]), record.members, record.fps, record.sample_rate)
