"""YAML from outside: plain values only, no aliases, so that what is read is no larger than its text.

Also who reads it: LibYAML is many times as fast as PyYAML's own reader, and may only say what that one says.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

LARGEST = 2**20
"""Bytes of text; a resolved recipe has some ten thousand."""


_READ_DIFFERENTLY = re.compile("[\t\r?|>\ufeff\x85\u2028\u2029]")
"""LibYAML is laxer with tabs, block texts, question marks and marks of byte order, and knows other ends of lines."""
_DEEPEST = 32
"""Lists and mappings within each other that LibYAML is given: nothing watches its stack."""


class YAMLFault(ValueError):
    """Text that is no YAML, or none that is taken from outside."""


class _PlainLoader(yaml.SafeLoader):
    """Refuses aliases: a few lines of them stand for more values than fit any memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise YAMLFault("has aliases (*name), which are not read; write the values out")
        return super().compose_node(parent, index)


def quick_loader(text: str) -> Any:
    """LibYAML's loader, where PyYAML has it and what it takes of this text is what Python's would; else None.

    What it refuses is Python's to say: whether that one takes it, and if not, in what words.
    """
    return getattr(yaml, "CSafeLoader", None) if _READ_DIFFERENTLY.search(text) is None else None


def parse_yaml(text: str) -> Any:
    """The value that a YAML text holds.

    Raises:
        YAMLFault: no YAML, longer than `LARGEST`, nested too deeply, or with aliases.
    """
    if len(text) > LARGEST:
        raise YAMLFault(f"has {len(text)} letters, at most {LARGEST} are read")
    try:
        return yaml.load(text, Loader=quick_loader(text) if _is_quickly_read(text) else _PlainLoader)
    except YAMLFault:
        raise
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise YAMLFault(f"is no YAML ({said})") from error


def _is_quickly_read(text: str) -> bool:
    """Whether LibYAML reads the text to its end, without aliases and great depth."""
    loader = quick_loader(text)
    if loader is None:
        return False
    depth = 0
    try:
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST or isinstance(event, yaml.AliasEvent):
                return False
    except (yaml.YAMLError, ValueError):
        return False
    return True
