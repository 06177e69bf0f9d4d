"""Imports without a search for garbage.

Torch, diffusers and transformers make a million objects, all of which stay. Looking through them again and again would
take a quarter of the time that they take to load, and once more as much at the end of the process.
"""

from __future__ import annotations

import atexit
import functools
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is collected meanwhile, and none when the process ends; in between it is where it was before."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
        _not_at_the_end()


@functools.cache
def _not_at_the_end() -> None:
    """What the system takes back anyway is not looked through before."""
    atexit.register(gc.freeze)
