"""Image quality without a reference by any metric of pyiqa (the extra `iqa`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from fada.data.scores.picture import some_frames
from fada.data.scores.torchvision_operators import declare_torchvision_operators


class QualityError(ValueError):
    """The metric cannot be had; the message says why and what to do."""


class ImageQuality:
    """A pyiqa metric, mean over a few frames of a clip.

    Args:
        metric: its name, such as `piqe` (no weights), `niqe`, `musiq`.
        weights: a local file with its weights; without it pyiqa fetches what it needs.

    Raises:
        QualityError: pyiqa is not installed, has no such metric, or cannot load it.
    """

    def __init__(self, metric: str, weights: Path | None = None) -> None:
        declare_torchvision_operators()
        try:
            import pyiqa
        except (ImportError, RuntimeError) as error:
            # A torchvision that does not fit torch fails with a RuntimeError.
            raise QualityError(
                f"--iqa {metric}: pyiqa cannot be imported ({error}); install the extra `iqa` beside the torch "
                "build that fits its torchvision: pip install 'fada[iqa]'"
            ) from error
        if metric not in pyiqa.list_models():
            raise QualityError(f"--iqa {metric}: pyiqa has no such metric; `pyiqa -ls` lists them")
        own = {} if weights is None else {"pretrained_model_path": str(weights)}
        try:
            self._metric = pyiqa.create_metric(metric, device=torch.device("cpu"), **own)
        except Exception as error:
            raise QualityError(
                f"--iqa {metric}: cannot be loaded ({error}); give its weights with --iqa-weights"
            ) from error
        self.name = metric

    @torch.no_grad()
    def __call__(self, frames: np.ndarray) -> float:
        """Of frames uint8 (F, H, W, 3); the metric says whether more is better."""
        pictures = torch.from_numpy(np.ascontiguousarray(some_frames(frames))).permute(0, 3, 1, 2).float() / 255.0
        return float(torch.stack([self._metric(picture[None]).flatten()[0] for picture in pictures]).mean())
