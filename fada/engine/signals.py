"""Handling the signals that ask a run to stop; no torch, so that whoever asks may import it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)
STARTED_HERE = "FADA_STARTED_HERE"
"""In the environment of processes that one of fada's started and waits for (launch.py): that one passes signals on, and
the report is left to it."""


@contextmanager
def on_stop(ask: Callable[[int], None]) -> Iterator[None]:
    """Within the block SIGINT and SIGTERM call `ask` with their number instead of what they did before."""

    def handle(number: int, frame: FrameType | None) -> None:
        ask(number)

    before = {}
    # Elsewhere than in the main thread (tests, notebooks) signals stay as they are.
    with suppress(ValueError):
        before = {number: signal.signal(number, handle) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
