"""YAML from outside: plain values only, no aliases, so that what is read is no larger than its text."""

from __future__ import annotations

from typing import Any

import yaml

LARGEST = 2**20
"""Bytes of text; a resolved recipe has some ten thousand."""


class YAMLFault(ValueError):
    """Text that is no YAML, or none that is taken from outside."""


class _PlainLoader(yaml.SafeLoader):
    """Refuses aliases: a few lines of them stand for more values than fit any memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise YAMLFault("has aliases (*name), which are not read; write the values out")
        return super().compose_node(parent, index)


def parse_yaml(text: str) -> Any:
    """The value that a YAML text holds.

    Raises:
        YAMLFault: no YAML, longer than `LARGEST`, nested too deeply, or with aliases.
    """
    if len(text) > LARGEST:
        raise YAMLFault(f"has {len(text)} letters, at most {LARGEST} are read")
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except YAMLFault:
        raise
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise YAMLFault(f"is no YAML ({said})") from error
