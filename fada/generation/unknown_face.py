"""A portrait that a model does not know is not silently made into mush: it is told beforehand, as a warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fada.generation.ranges import check_portrait
from fada.media.image import square_resize
from fada.teacher.codec import encode_frames

if TYPE_CHECKING:
    from fada.generation.avatar_pipeline import AvatarPipeline


class UnknownFace(UserWarning):
    """A portrait of another kind than those that the model was trained on."""


@torch.no_grad()
def strangeness(pipeline: AvatarPipeline, image: np.ndarray) -> float | None:
    """How far a portrait (H, W, 3) lies outside the faces of the model's training: 1 is as far as theirs do at most.

    None where the model's folder does not say which faces those are (`FaceSpace`), or the model has no VAE.
    """
    if pipeline.face_space is None or pipeline.vae is None:
        return None
    latents = encode_frames(pipeline.vae, square_resize(image, pipeline.config.size)[None])
    return float(pipeline.face_space.strangeness(latents)[0])


def look_at(pipeline: AvatarPipeline, image: np.ndarray) -> None:
    """Raises ValueError for what is no picture, and warns of a face that the model does not know (`UnknownFace`)."""
    check_portrait(image)
    found = strangeness(pipeline, image)
    if found is not None and not found <= 1:
        warnings.warn(told(found), UnknownFace, stacklevel=3)


def told(found: float) -> str:
    """What to say of a face of this strangeness."""
    return (
        f"this portrait is unlike the faces that the model was trained on ({found:.1f} times as far from them as the "
        "farthest of theirs): expect another face than this, or none. A model of drawn faces knows no photographs; "
        "train one on footage (docs/guides/prepare.md), or import one (docs/guides/released.md)"
    )


@contextmanager
def unknown_faces_told(tell: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, `tell` is given what is said of a portrait that the model does not know; nobody else is.

    Python's way of showing warnings is one for the whole process: one such block at a time.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", UnknownFace)
        show = warnings.showwarning

        def told_or_shown(message: Warning | str, category: type[Warning], *where: Any, **rest: Any) -> None:
            if issubclass(category, UnknownFace):
                tell(str(message))
            else:
                show(message, category, *where, **rest)

        warnings.showwarning = told_or_shown
        yield
