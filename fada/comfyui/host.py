"""What ComfyUI lends its nodes: its device, its models' folder, a progress bar, the button that stops, videos.

All of it is missing where the nodes are called outside of ComfyUI, and some of it in its older versions.
"""

from __future__ import annotations

import contextvars
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _module(name: str) -> Any:
    """A module of ComfyUI; None where there is none."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


def device() -> str | None:
    """The device that ComfyUI computes on, as it was started; None outside of it."""
    management = _module("comfy.model_management")
    return None if management is None else str(management.get_torch_device())


def models_folder() -> Path | None:
    """The folder `models/fada` of ComfyUI; None outside of it."""
    paths = _module("folder_paths")
    return None if paths is None else Path(paths.models_dir) / "fada"


def progress() -> Callable[[int, int], None]:
    """What is to be called with (steps done, steps in all): it moves the node's bar, and raises where it shall stop.

    It may be called from another thread, as it is where clips overlap: ComfyUI knows by the context which node it is.
    """
    utils, management = _module("comfy.utils"), _module("comfy.model_management")
    if utils is None or management is None:
        return lambda done, in_all: None
    context, bar = contextvars.copy_context(), utils.ProgressBar(1)

    def on_step(done: int, in_all: int) -> None:
        management.throw_exception_if_processing_interrupted()
        context.run(bar.update_absolute, done, in_all)

    return on_step


def video_types() -> tuple[Any, Any] | None:
    """ComfyUI's class of a video of frames and sound, and of those two; None where it is older than May 2025."""
    latest = _module("comfy_api.latest")
    if latest is not None and hasattr(latest, "InputImpl"):
        return latest.InputImpl.VideoFromComponents, latest.Types.VideoComponents
    made, parts = _module("comfy_api.input_impl"), _module("comfy_api.util")
    return None if made is None or parts is None else (made.VideoFromComponents, parts.VideoComponents)
