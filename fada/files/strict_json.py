"""JSON from outside: bounded in size and depth, every key once, finite numbers, text that can be written again.

Python's own reader takes NaN, keys that come twice (the last one counts, other readers take the first), halves of
surrogate pairs that no file can hold, and numbers of any size.
"""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

LARGEST = 64 * 2**20
"""Bytes of a JSON file that is read at all; an index of 100,000 shards has 20 MB."""
DEEPEST = 32


class JSONFault(ValueError):
    """Text that is no JSON, or none that is taken from outside; the message says what is wrong, not where."""


def parse_json(data: bytes | str, largest: int = LARGEST) -> Any:
    """The value that a JSON text holds.

    Args:
        largest: bytes of text that are read.

    Raises:
        JSONFault: no JSON, not UTF-8, too long, nested too deeply, a key twice in one table, or a number that is not
            finite.
    """
    if len(data) > largest:
        raise JSONFault(f"has {len(data)} bytes, at most {largest} are read")
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_table, parse_float=_number, parse_constant=_number)
    except JSONFault:
        raise
    except UnicodeDecodeError as error:
        raise JSONFault(f"is not UTF-8 ({error.reason} at byte {error.start})") from error
    except RecursionError as error:
        raise JSONFault(f"is nested more than {DEEPEST} deep") from error
    except ValueError as error:
        raise JSONFault(f"is no JSON ({error})") from error
    _check(value)
    return value


def read_json(file: Path, largest: int = LARGEST) -> Any:
    """What a JSON file holds: an ordinary file, not a link, a pipe or a device.

    Raises:
        FileNotFoundError: there is none.
        JSONFault: as `parse_json`, with the file's name.
    """
    # A pipe would keep the reader waiting, a link may lead anywhere.
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if file.is_symlink():
            raise JSONFault(f"{file}: is a link, it may lead anywhere; replace it by the file itself") from error
        raise
    with open(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise JSONFault(f"{file}: is no ordinary file")
        data = opened.read(largest + 1)
    try:
        return parse_json(data, largest)
    except JSONFault as error:
        raise JSONFault(f"{file}: {error}") from error


def read_table(file: Path, largest: int = LARGEST) -> dict[str, Any]:
    """`read_json` of a file that holds a table, `{...}`; anything else is a JSONFault too."""
    value = read_json(file, largest)
    if not isinstance(value, dict):
        raise JSONFault(f"{file}: holds a {type(value).__name__}, a table of settings is wanted")
    return value


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in table if names.count(name) > 1)
        raise JSONFault(f"has the key {ascii(double)[:60]} twice")
    return table


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise JSONFault(f"holds {text[:20]}, numbers must be finite")
    return value


def _check(value: Any) -> None:
    """Level by level, as what is deep must not be followed by calls."""
    level: list[Any] = [value]
    for _ in range(DEEPEST + 1):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += [*each.keys(), *each.values()]
            elif isinstance(each, list):
                below += each
            elif isinstance(each, str) and not each.isascii():
                _check_text(each)
        if not below:
            return
        level = below
    raise JSONFault(f"is nested more than {DEEPEST} deep")


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise JSONFault("holds half a surrogate pair, which is no text") from error
