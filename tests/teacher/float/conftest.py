"""The small FLOAT, for all tests here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fada.diffusion.paths import NoisePath
from fada.teacher.float.audio_projection import FloatAudioProjection
from fada.teacher.float.model import Float
from fada.teacher.float.transformer import VectorField

sys.path.insert(0, str(Path(__file__).parent))
import small_float as small


@pytest.fixture
def model() -> Float:
    """With the weights that the public code was recorded with."""
    field = VectorField(
        small.LATENT, small.DIM, small.DEPTH, small.HEADS, audio_dim=small.LATENT, attention_window=small.WINDOW,
        max_frames=small.MOTION_FRAMES + small.FRAMES,
    )  # fmt: skip
    projection = FloatAudioProjection(1, small.LAYERS, small.STATES_DIM, small.LATENT)
    for network, prefix, names in (
        (field, "fmt.", {}),
        (projection, "audio_projection.", {"proj": "0", "norm": "1"}),
    ):
        shapes = {}
        for key, tensor in network.state_dict().items():
            first, _, rest = key.partition(".")
            shapes[f"{names[first]}.{rest}" if first in names else key] = tensor.shape
        drawn = small.weights(shapes, prefix)
        own = {number: name for name, number in names.items()}
        state = {
            f"{own[key.partition('.')[0]]}.{key.partition('.')[2]}" if own else key: value
            for key, value in drawn.items()
        }
        missing, unexpected = network.load_state_dict(state, strict=False)
        assert not unexpected
        assert set(missing) <= set(small.NOT_WEIGHTS)
    return Float(field, projection, NoisePath(prediction_type="flow_prediction"))
