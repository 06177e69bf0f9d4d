"""A small Hallo drawn from seeds: its file, and what a clip is made of."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
import small_checkpoint as small

from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.hallo.conditions import HalloInputs
from fada.teacher.hallo.projections import FaceLocator, FaceProjection
from fada.teacher.hallo.unets import HalloDenoisingUNet, HalloReferenceUNet


@pytest.fixture(scope="session")
def small_state() -> dict[str, Tensor]:
    """The state dict of a small `net.pth`."""
    shape = {"channels": small.CHANNELS, "token_dim": small.TOKEN_DIM}
    audio = (small.WINDOW, small.LAYERS, small.STATES_DIM, small.HIDDEN, small.AUDIO_TOKENS, small.AUDIO_DIM)
    with torch.device("meta"):
        networks = {
            "reference_unet": HalloReferenceUNet(**shape),
            "denoising_unet": HalloDenoisingUNet(**shape, audio_dim=small.AUDIO_DIM),
            "audioproj": AudioProjection(*audio),
            "imageproj": FaceProjection(small.FACE_DIM, small.FACE_TOKENS, small.TOKEN_DIM),
            "face_locator": FaceLocator(small.CHANNELS[0]),
        }
    state: dict[str, Tensor] = {}
    for prefix, network in networks.items():
        drawn = small.weights({key: value.shape for key, value in network.state_dict().items()}, f"{prefix}.")
        state |= {f"{prefix}.{key}": value for key, value in drawn.items()}
    return state | small.positions(state)


@pytest.fixture(scope="session")
def small_file(small_state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small `net.pth`."""
    folder = tmp_path_factory.mktemp("hallo")
    torch.save(small_state, folder / "net.pth")
    return folder


@pytest.fixture(scope="session")
def inputs() -> HalloInputs:
    """One clip."""
    drawn = {name: tensor[None] for name, tensor in small.inputs().items()}
    masks = tuple(drawn[f"mask_{level}"] for level in range(4))
    names = ("reference", "audio", "face_embedding", "face_region")
    return HalloInputs(*(drawn[name] for name in names), masks, drawn["motion"])


@pytest.fixture(scope="session")
def noise() -> Tensor:
    """Noise (1, F, C, h, w) of that clip."""
    return small.inputs()["noise"][None]
