"""Memory that a process has freed and keeps: blocks of megabytes that come one after another take the same pages."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""What mallopt(3) calls its settings."""
LARGEST = 2**25
"""Bytes of what comes out of kept memory, at most; glibc takes no more."""
KEPT = 2**28
"""Bytes that are free at the end of a heap before any are given back."""


def keep_memory() -> bool:
    """Let this process keep what it frees, and say whether its C library can be told so (glibc).

    By itself glibc gives large blocks back as soon as they are free, and each of their pages comes anew, empty, with an
    interruption: now and then reading clips took twice the system's time for that.
    """
    try:
        tell = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(tell(_MMAP_THRESHOLD, LARGEST) and tell(_TRIM_THRESHOLD, KEPT))
