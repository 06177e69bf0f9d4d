"""Writing is the subject here: the disk is really waited for."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _real_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", os.fsync.__wrapped__)  # type: ignore[attr-defined]
