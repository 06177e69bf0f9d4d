"""The rows of FLOAT's ablations: what each changes in the paper's setting, and what the paper says comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

PAPER = "paper"
"""The row that others are compared with: `recipes/tiny/float.yaml` as it is."""


@dataclass(frozen=True)
class Row:
    """name: of the row; words: what it is; changes: settings by their path in a recipe, nothing else differs."""

    name: str
    words: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def overrides(self) -> list[str]:
        """The changes as a command line says them."""
        return [f"{path}={_in_yaml(value)}" for path, value in self.changes.items()]


def _in_yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


ROWS = (
    Row(PAPER, "flow matching, AdaLN of every frame, motion frames of the window before, velocity loss"),
    Row(
        "cross-attention",
        "frames attend to what they and their neighbours are told, at equal width, depth and steps",
        {"teacher.network.conditioning": "cross_attention"},
    ),
    # Both end free of noise, as the flow does; the path's own end would be heard as jitter.
    Row(
        "epsilon",
        "diffusion that predicts the noise",
        {"noise.prediction_type": "epsilon", "noise.set_alpha_to_one": True},
    ),
    Row(
        "x0",
        "diffusion that predicts the latents, from pure noise (zero terminal SNR)",
        {
            "noise.prediction_type": "sample",
            "noise.set_alpha_to_one": True,
            "noise.rescale_betas_zero_snr": True,
        },
    ),
    Row(
        "independent-windows",
        "no motion frames, neither in training nor in calls: each window by itself",
        {"clip.motion_frames": 0},
    ),
    Row("no-velocity-loss", "squared errors of single frames alone", {"teacher.stages.all.velocity_weight": 0.0}),
)


@dataclass(frozen=True)
class Claim:
    """What the paper says of a row against its own setting: by `measure`, the row has less (-1) or more (1) of it."""

    row: str
    measure: str
    sign: int
    words: str


CLAIMS = (
    Claim("cross-attention", "response", -1, "AdaLN of every frame makes mouths follow the sound better"),
    Claim("cross-attention", "emotion_error", 1, "and expressions better"),
    Claim("cross-attention", "motion", -1, "and more motion"),
    Claim("epsilon", "response", -1, "flows follow the sound better than diffusion of noise"),
    Claim("x0", "response", -1, "and than diffusion of latents"),
    Claim("independent-windows", "boundary", 1, "motion frames make windows continuous"),
    Claim("no-velocity-loss", "jitter", 1, "the velocity loss makes motion smoother"),
)
"""Written before any of the rows was run; the tests are of these and of no other differences."""

AXES = {"audio": (0.0, 0.5, 1.0, 2.0, 4.0), "emotion": (0.0, 0.5, 1.0, 2.0, 4.0)}
"""Scales that the paper's row is called with, one moved at a time."""
