"""A small V-Express drawn from seeds: its files, and what a video is made of."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
import small_v_express as small

from fada.teacher.v_express.audio_projection import AudioResampler, audio_windows
from fada.teacher.v_express.conditions import VExpressInputs
from fada.teacher.v_express.keypoints import keypoint_guider
from fada.teacher.v_express.unets import VExpressDenoisingUNet, VExpressReferenceUNet


@pytest.fixture(scope="session")
def small_states() -> dict[str, dict[str, Tensor]]:
    """The state dicts of the five small files by name; as released, the denoising net's holds motion modules too."""
    projection = {
        "states": small.STATES,
        "states_dim": small.STATES_DIM,
        "dim": small.RESAMPLER_DIM,
        "inner": small.HEADS * small.HEAD_DIM,
        "heads": small.HEADS,
        "feed_forward": small.WIDER * small.RESAMPLER_DIM,
        "depth": small.DEPTH,
        "queries": small.QUERIES,
        "token_dim": small.AUDIO_DIM,
    }
    with torch.device("meta"):
        networks = {
            "reference_net": VExpressReferenceUNet(channels=small.CHANNELS, token_dim=small.TOKEN_DIM),
            "denoising_unet": VExpressDenoisingUNet(channels=small.CHANNELS, audio_dim=small.AUDIO_DIM),
            "audio_projection": AudioResampler(**projection),
            "v_kps_guider": keypoint_guider(small.CHANNELS[0]),
        }
    states = {
        name: small.weights({key: value.shape for key, value in network.state_dict().items()}, name)
        for name, network in networks.items()
    }
    motion = {key: value for key, value in states["denoising_unet"].items() if ".motion_modules." in key}
    return states | {"motion_module": motion}


@pytest.fixture(scope="session")
def small_folder(small_states: dict[str, dict[str, Tensor]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the five small files."""
    folder = tmp_path_factory.mktemp("v-express")
    for name, state in small_states.items():
        torch.save(state, folder / f"{name}.bin")
    return folder


@pytest.fixture(scope="session")
def inputs() -> VExpressInputs:
    """A video of two contexts."""
    drawn = small.inputs()
    windows = audio_windows(drawn["states"][None], small.VIDEO_FRAMES)
    return VExpressInputs(drawn["reference"][None], windows, drawn["keypoints"][None])


@pytest.fixture(scope="session")
def noise() -> Tensor:
    """Noise (1, F, C, h, w) of that video."""
    return small.inputs()["noise"][None]
