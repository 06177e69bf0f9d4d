"""Ways in which reading must never end; importable in worker processes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np


def crash(file: Path, is_prepared: bool) -> tuple[str, str]:
    os.abort()


def hang(file: Path, is_prepared: bool) -> tuple[str, str]:
    while True:
        pass


def swell(file: Path, is_prepared: bool) -> tuple[str, str]:
    np.ones(80_000_000)  # 640 MB
    return "read", ""


def fail(file: Path, is_prepared: bool) -> tuple[str, str]:
    raise IndexError("nobody foresaw this")


def intrude(case: Path, _: bool) -> tuple[str, str]:
    (case.parent / "canary" / "new").write_text("not asked for")
    return "read", ""


def run_code(case: Path, _: bool) -> tuple[str, str]:
    """Imports what the folder brings, as a library that trusts it would."""
    import runpy

    runpy.run_path(str(case / "student" / "evil.py"))
    return "read", ""
