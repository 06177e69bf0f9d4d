"""Shapes of arrays, as `fada/diffusion/shapes.py` names them, checked at every call while tests run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray, install_import_hook

CHECKED = (
    "fada.diffusion",
    "fada.student.guidance",
    "fada.student.mixed_loss",
    "fada.teacher.denoiser",
    "fada.teacher.dual_unet.model",
    "fada.teacher.guidance",
    "fada.teacher.hallo.model",
    "fada.teacher.loss_weights",
    "fada.teacher.v_express.model",
)


def check_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """beartype of what says arrays alone: other arguments have errors of their own, which have tests."""
    hints = function.__annotations__
    function.__annotations__ = {name: hint if _has_arrays(hint) else Any for name, hint in hints.items()}
    return beartype(function)


def _has_arrays(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_has_arrays(part) for part in get_args(hint))


def check_shapes() -> None:
    """From here on, in modules that nobody has imported yet."""
    install_import_hook(CHECKED, "tests.shapes.check_arrays")
