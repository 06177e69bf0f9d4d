"""FLOAT's networks by name, and a model of a recipe's shape; what trains the codec is loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fada.diffusion.paths import NoisePath
from fada.teacher.float.audio_projection import FloatAudioProjection
from fada.teacher.float.model import Float
from fada.teacher.float.motion_autoencoder import MotionAutoencoder
from fada.teacher.float.section import Network
from fada.teacher.float.transformer import VectorField

if TYPE_CHECKING:
    from fada.teacher.float.codec_training import new_codec, passes_of_step, train_codec

__all__ = ["CODEC", "MODEL", "NETWORKS", "new", "new_codec", "passes_of_step", "train_codec"]

MODEL, CODEC = Float, MotionAutoencoder
NETWORKS = {"vector_field": VectorField, "audio_projection": FloatAudioProjection}


def new(network: Network, noise: Mapping[str, Any], audio: tuple[int, int, int], latent: tuple[int, ...]) -> Float:
    """A FLOAT with random weights; `audio` is (window, layers, dim)."""
    field = VectorField(latent[0], **network.model_dump())
    return Float(field, FloatAudioProjection(*audio, network.audio_dim), NoisePath.from_config(noise))


def __getattr__(name: str) -> Any:
    """What trains the codec (PEP 562): who only generates needs none of it."""
    if name not in ("new_codec", "passes_of_step", "train_codec"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fada.teacher.float import codec_training

    return getattr(codec_training, name)
