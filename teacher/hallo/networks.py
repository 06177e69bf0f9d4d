"""Hallo's networks by name, and a model in its released sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fada.diffusion.paths import NoisePath
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.hallo.checkpoint import PREFIXES, new_networks
from fada.teacher.hallo.model import Hallo
from fada.teacher.hallo.projections import FaceLocator, FaceProjection
from fada.teacher.hallo.unets import HalloDenoisingUNet, HalloReferenceUNet

MODEL = Hallo
NETWORKS = {
    "reference_unet": HalloReferenceUNet,
    "denoising_unet": HalloDenoisingUNet,
    "audio_projection": AudioProjection,
    "face_projection": FaceProjection,
    "face_locator": FaceLocator,
}


def new(network: Any, noise: Mapping[str, Any], audio: tuple[int, int, int], latent: tuple[int, ...]) -> Hallo:
    """A Hallo in its released sizes, with random weights; what it hears has its released shape too."""
    networks: dict[str, Any] = {PREFIXES[name]: each for name, each in new_networks({}).items()}
    return Hallo(**networks, path=NoisePath.from_config(noise))
