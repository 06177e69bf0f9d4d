"""A small student, and what ComfyUI lends its nodes, as a stand-in: its device, its folder, its bar and its button."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from fada.comfyui import models
from tests.student.conftest import student_run

__all__ = ["student_run"]


class Interrupted(Exception):
    """As ComfyUI's InterruptProcessingException."""


@dataclass
class Comfy:
    """The stand-in: what was told to the bar of which node, and after how many steps the button is pressed."""

    folder: Path
    bar: list[tuple[str | None, int, int]] = field(default_factory=list)
    stops_after: int | None = None


@pytest.fixture(autouse=True)
def _nothing_loaded() -> Iterator[None]:
    """Models of one test are gone in the next."""
    models._latest.clear()
    yield
    models._latest.clear()
    models._alive.clear()


@pytest.fixture
def comfy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Comfy:
    """ComfyUI, as far as nodes see of it; its bar asks the context which node runs, as ComfyUI's hook does."""
    import contextvars

    made = Comfy(tmp_path / "models")
    made.node = contextvars.ContextVar("node", default=None)  # type: ignore[attr-defined]

    class ProgressBar:
        def __init__(self, total: int) -> None: ...

        def update_absolute(self, value: int, total: int) -> None:
            made.bar.append((made.node.get(), value, total))  # type: ignore[attr-defined]

    def throw() -> None:
        if made.stops_after is not None and len(made.bar) >= made.stops_after:
            raise Interrupted

    parts: dict[str, dict[str, Any]] = {
        "comfy": {},
        "comfy.utils": {"ProgressBar": ProgressBar},
        "comfy.model_management": {
            "throw_exception_if_processing_interrupted": throw,
            "get_torch_device": lambda: torch.device("cpu"),
        },
        "folder_paths": {"models_dir": str(made.folder)},
    }
    for name, content in parts.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return made
