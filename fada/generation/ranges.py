"""What numbers a pipeline takes: of its config, which may come from anyone, and of a call.

A config of no frames, a thousand million steps or a scale that is not a number would divide by zero, run for ever or
draw black pictures. Every limit is far beyond what is of use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fada.pretrained.ranges import PIPELINE, SCALE, SHARE, STEPS, Range

GUIDANCES = ("auto", "ladder", "embedded", "none")
"""Of denoising.py, named here so that the command line can check a call without loading torch."""
SOLVERS = ("ddim", "dpmpp_2m", "dpmpp_2m_log_snr")
"""Of solvers.py, likewise."""
SPACINGS = ("time", "log_snr", "noise_share")
"""Of spacing.py, likewise."""


SEED = Range(-(2**63), 2**64 - 1, is_whole=True)
MOTION = Range(-100, 100)
"""How far frames are moved along a direction."""
MAX_FRAMES = Range(1, 10**7, is_whole=True)
SECONDS = Range(0, 6 * 3600)
"""As much sound as is read at most."""


class PipelineConfigError(ValueError):
    """A pipeline's config that nothing can be generated with."""


def check_config(config: Mapping[str, Any], scales: Sequence[str] = ("reference", "audio")) -> None:
    """Know that clips can be generated with a pipeline's config.

    Args:
        scales: names of the family's guidance scales.

    Raises:
        PipelineConfigError: a value is missing, of another type or out of its range.
    """
    try:
        for name, allowed in (PIPELINE | {f"{name}_scale": SCALE for name in scales}).items():
            allowed.check(name, config.get(name))
        if config["motion_frames"] > config["frames"]:
            raise ValueError(
                f"motion_frames: at most the {config['frames']} frames of a clip can precede the next, "
                f"got {config['motion_frames']}"
            )
        if config.get("gamma") is not None:
            SHARE.check("gamma", config["gamma"])
        if not isinstance(config.get("is_student"), bool):
            raise ValueError(f"is_student: must be true or false, got {config.get('is_student')!r}")
        if config.get("guidance") not in GUIDANCES:
            raise ValueError(f"guidance: got {config.get('guidance')!r}; choose from {', '.join(GUIDANCES)}")
    except ValueError as error:
        raise PipelineConfigError(f"the model's config: {error}") from None


def check_portrait(image: Any) -> None:
    """Know that an array is a picture.

    Raises:
        ValueError: another shape or type.
    """
    shape, dtype = getattr(image, "shape", None), getattr(image, "dtype", None)
    if shape is None or len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
        raise ValueError(f"image: must be pixels uint8 (H, W, 3), got {dtype} {shape}; read_image gives them")


def check_call(
    *,
    steps: int | None,
    seed: int,
    max_frames: int | None,
    look_ahead: float | None = None,
) -> None:
    """Know that a call's numbers can be meant; None is the model's own.

    Raises:
        ValueError: one is of another type, not finite or out of its range.
    """
    SEED.check("seed", seed)
    given = {
        "steps": (STEPS, steps),
        "max_frames": (MAX_FRAMES, max_frames),
        "look_ahead": (SECONDS, look_ahead),
    }
    for name, (allowed, value) in given.items():
        if value is not None:
            allowed.check(name, value)


def check_sampler(is_student: bool, solver: str | None, spacing: str | None) -> None:
    """Know that a model can be sampled with a solver and with steps so spaced; None is the model's own way.

    Raises:
        ValueError: one is unknown, they contradict each other, or a student is asked, whose windows fix its steps.
    """
    for name, value, known in (("solver", solver, SOLVERS), ("spacing", spacing, SPACINGS)):
        if value is None:
            continue
        if value not in known:
            raise ValueError(f"{name}: got {value!r}; choose from {', '.join(known)}")
        if is_student:
            raise ValueError(
                f"{name}: got {value!r}, but this is a student: its windows fix where its steps lie; leave {name} out, "
                "or use the teacher"
            )
    if solver == "dpmpp_2m_log_snr" and spacing not in (None, "log_snr"):
        raise ValueError(f"spacing: got {spacing!r}, but dpmpp_2m_log_snr has its own; use solver dpmpp_2m with it")
