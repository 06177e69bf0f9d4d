"""The motion autoencoder against FLOAT's public code, run by record_public.py on the same weights."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fada.teacher.float.motion_autoencoder import MotionAutoencoder

sys.path.insert(0, str(Path(__file__).parent))
import released_layout as layout

RECORD = load_file(str(Path(__file__).parent / "public.safetensors"))


def built(size: int) -> MotionAutoencoder:
    """The released layout at a size, with the rule's weights, in float64."""
    codec = MotionAutoencoder(size=size).double().eval().requires_grad_(False)
    shapes = {name: value.shape for name, value in codec.state_dict().items()}
    codec.load_state_dict(layout.weights(shapes), strict=False)
    return codec


def recorded(size: int, name: str) -> Tensor:
    return RECORD[f"{size}.{name}"]


@pytest.mark.parametrize("size", layout.SIZES)
def test_it_has_the_released_names_and_shapes_and_no_others(size: int) -> None:
    with torch.device("meta"):
        ours = {name: list(value.shape) for name, value in MotionAutoencoder(size=size).state_dict().items()}
    answers = {"w", "factors", "motion", "pictures"}
    names = (name.removeprefix(f"{size}.") for name in RECORD if name.startswith(f"{size}."))
    assert ours == {name: recorded(size, name).tolist() for name in names if name not in answers}


@pytest.mark.parametrize("size", [64, pytest.param(256, marks=pytest.mark.slow)])
def test_encoder_and_decoder_answer_as_the_public_code(size: int) -> None:
    codec, pictures = built(size), layout.frames(size)
    with torch.no_grad():
        w, maps = codec.enc.net_app(pictures[:1])
        factors = codec.enc.fc(codec.enc.net_app(pictures[1:])[0])
        latents = codec.latents_of(factors)
        made = codec.dec(w + codec.motion_of(latents), codec.dec.appearance(w, maps))
    torch.testing.assert_close(w, recorded(size, "w"), atol=1e-6, rtol=0)
    torch.testing.assert_close(factors, recorded(size, "factors"), atol=1e-6, rtol=0)
    torch.testing.assert_close(latents, recorded(size, "motion"), atol=1e-6, rtol=0)
    step = max(1, size // 64)
    pictures = recorded(size, "pictures")
    assert float(pictures.std()) > 0.1
    torch.testing.assert_close(made[..., ::step, ::step].float(), pictures, atol=1e-4, rtol=0)


def test_a_whole_table_of_levels_up_to_1024_pixels_can_be_built() -> None:
    with torch.device("meta"):
        codec = MotionAutoencoder(size=1024)
    assert codec.enc.net_app.convs[0][0].weight.shape == (16, 3, 1, 1)
    assert len(codec.dec.to_flows) == 8
