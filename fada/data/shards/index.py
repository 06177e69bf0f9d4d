"""The index of a set of shards, checked as it is read: names that stay in their folder, sizes and hashes that can be.

An index may lie in a store that others write to. Its names become files on this machine, its counts sizes of lists.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fada.files.manifest import hash_file
from fada.files.strict_json import JSONFault, parse_json
from fada.pretrained.settings import first_fault

_Many = Annotated[int, Field(ge=0, le=2**53)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}\z")]
_ShardName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}\.tar\z")]


class ShardError(ValueError):
    """A folder of shards that cannot be written or read at all."""


@dataclass(frozen=True)
class ShardInfo:
    """One tar of a set of shards; shards of the first versions have no hash."""

    name: str
    samples: int
    bytes: int
    sha256: str = ""


@dataclass(frozen=True)
class ShardIndex:
    """What index.json says about a set of shards."""

    shards: list[ShardInfo]
    samples: int
    splits: dict[str, int]
    """Samples per split."""
    parts: dict[str, int]
    """Samples that hold each part."""
    features: dict[str, Any] = field(default_factory=dict)
    """Where latents and states come from, for example the fingerprints of the encoders."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Shard(_Strict):
    name: _ShardName
    samples: _Many
    bytes: _Many
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?\z")] = ""


class _Index(_Strict):
    shards: Annotated[list[_Shard], Field(max_length=1_000_000)]
    samples: _Many
    splits: Annotated[dict[_Name, _Many], Field(max_length=1000)]
    parts: Annotated[dict[_Name, _Many], Field(max_length=100)]
    features: Annotated[dict[_Name, Any], Field(max_length=100)] = Field(default_factory=dict)


def parse_index(data: bytes) -> ShardIndex:
    """The index that an index.json holds.

    Raises:
        ValueError: it is none; the message says why, not where.
    """
    try:
        index = _Index.model_validate(parse_json(data))
    except JSONFault as error:
        raise ValueError(str(error)) from error
    except ValidationError as error:
        raise ValueError(first_fault(error)) from error
    shards = [ShardInfo(**shard.model_dump()) for shard in index.shards]
    if len({shard.name for shard in shards}) < len(shards):
        raise ValueError("names a shard twice")
    if sum(shard.samples for shard in shards) != index.samples:
        raise ValueError(f"has {index.samples} samples, its shards {sum(shard.samples for shard in shards)}")
    return ShardIndex(shards, index.samples, index.splits, index.parts, index.features)


_whole: set[tuple[Any, ...]] = set()
"""Files that were hashed in this process and fitted, by place, time and hash."""
_guard = threading.Lock()


def fault_of(file: Path, shard: ShardInfo) -> str | None:
    """How a shard's file differs from what the index says, None where it does not.

    Its size is looked at first, its hash once per process as long as the file stays as it is.
    """
    found = file.stat()
    if found.st_size != shard.bytes:
        return f"has {found.st_size} bytes, the index says {shard.bytes}"
    key = (os.path.realpath(file), found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size, shard.sha256)
    with _guard:
        if not shard.sha256 or key in _whole:
            return None
    if hash_file(file) != shard.sha256:
        return "is not the file of the index (its SHA-256 differs)"
    with _guard:
        _whole.add(key)
    return None
