"""Decoding latents a few at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fada.teacher import vae
from fada.teacher.vae import decode_latents, new_vae


@pytest.mark.parametrize(("pixels", "slices"), [(2**20, [7]), (3 * 256, [3, 3, 1]), (1, [1] * 7)])
def test_decoding_in_slices_of_bounded_pixels_gives_the_same_frames(
    monkeypatch: pytest.MonkeyPatch, pixels: int, slices: list[int]
) -> None:
    torch.manual_seed(0)
    network = new_vae((8, 16), 4).eval()
    latents = torch.randn(7, 4, 8, 8)
    whole = decode_latents(network, latents)
    seen: list[int] = []
    decode = network.decode
    monkeypatch.setattr(network, "decode", lambda part: seen.append(len(part)) or decode(part))
    monkeypatch.setattr(vae, "DECODED_PIXELS", pixels)
    found = decode_latents(network, latents)
    assert seen == slices
    assert found.shape == (7, 16, 16, 3)
    assert np.abs(found.astype(int) - whole).max() <= 1
