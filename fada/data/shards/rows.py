"""Rows of the table of samples, from the tars themselves: headers, records, and the shapes of features.

The features' own bytes are read where checksums of them are asked for, and else not. What a record names and the tar
lacks stays in the row, and is damage when the sample is read; a sample without a record that can be read has no row.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from fada.data.shards.format import PARTS, PER_FRAME, is_as_written, suffix_of, suffixes_of
from fada.data.shards.members import Member, Skip, group_members, list_members, read_member
from fada.data.shards.record import LARGEST_RECORD, Record, parse_record
from fada.data.shards.table import Row

_LARGEST_HEADER = 2**16
"""Bytes of the header of a safetensors member; a part has at most some ten tensors."""
_LONGEST = 2**32 - 1
_WIDEST = 2**16 - 1


def rows_of(file: Path, number: int, skip: Skip, *, with_sums: bool) -> Iterator[Row]:
    """A row for every sample of a tar that has a record.

    Args:
        number: of the shard in the index.
        skip: told of members without which a sample has no row.
        with_sums: look at every byte, and note the checksums of what is as it was written.
    """
    with file.open("rb") as stream:
        listed = ((member.name, member) for member in list_members(file, suffixes_of(PARTS), skip))
        for key, members in group_members(listed):
            record = members.get("json")
            data = b"" if record is None or record.size > LARGEST_RECORD else read_member(stream, record)
            try:
                parsed = parse_record(key, data)
                row = _row(key, number, parsed, members, data, stream)
                if with_sums:
                    row = replace(row, sums=_sums_of(parsed, members, stream))
            except ValueError as error:
                skip(file.name, f"{key}.json", "missing" if record is None else f"unreadable ({error})")
                continue
            if not row.frames and set(row.parts) & set(PER_FRAME):
                skip(file.name, f"{key}.*", "no header of its features can be read; it counts as a clip of no length")
            yield row


def _row(key: str, number: int, record: Record, members: dict[str, Member], data: bytes, stream: BinaryIO) -> Row:
    frames, sides = 0, (0, 0)
    for part in PER_FRAME:
        member = members.get(suffix_of(part))
        shape = () if member is None else _shape_of(stream, member)
        frames = frames or (shape[0] if shape and shape[0] <= _LONGEST else 0)
        if part == "latents" and len(shape) == 4 and max(shape[2:]) <= _WIDEST:
            sides = (shape[2], shape[3])
    parts = tuple(part for part in PARTS if suffix_of(part) in record.members)
    places = {suffix: (member.offset, member.size) for suffix, member in members.items()}
    quality, split = str(record.meta.get("quality", "A")), str(record.meta.get("split", "train"))
    return Row(key, number, quality, split, parts, frames, sides, places, hashlib.sha256(data).digest())


def _sums_of(record: Record, members: dict[str, Member], stream: BinaryIO) -> dict[str, int]:
    """CRC32 by suffix of the members beside the record that are what it says."""
    sums = {}
    for part in PARTS:
        suffix = suffix_of(part)
        if suffix in members and suffix in record.members:
            data = read_member(stream, members[suffix])
            if is_as_written(part, data, record.members[suffix]):
                sums[suffix] = zlib.crc32(data)
    return sums


def _shape_of(stream: BinaryIO, member: Member) -> tuple[int, ...]:
    """Shape of the first tensor of a safetensors member; nothing where its header cannot be read."""
    head = read_member(stream, Member(member.name, member.offset, min(8, member.size)))
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
    if not 0 < length <= min(_LARGEST_HEADER, member.size - 8):
        return ()
    try:
        header = json.loads(read_member(stream, Member(member.name, member.offset + 8, length)))
        tensors = [value for name, value in header.items() if name != "__metadata__"]
        shape = tensors[0]["shape"] if tensors else ()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()
    is_shape = isinstance(shape, list) and all(type(each) is int and each >= 0 for each in shape)
    return tuple(shape) if is_shape else ()
