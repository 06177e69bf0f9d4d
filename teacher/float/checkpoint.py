"""FLOAT's released file as codec, vector field and audio projection: every key accounted for, nothing run.

The file holds all of the public model: beside these three an audio encoder and a classifier of emotions, which others
publish and which the public script reads from their own folders; and constants, which are made of settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fada.teacher.float.audio_projection import FloatAudioProjection
from fada.teacher.float.motion_autoencoder import MotionAutoencoder
from fada.teacher.float.transformer import VectorField
from fada.teacher.released import Imported, Row, Sizes, account, key_faults, listed, read_tensors

PARTS = {"motion_autoencoder.": "vae", "fmt.": "vector_field", "audio_encoder.audio_projection.": "audio_projection"}
"""Prefix in the file → name of the part here."""
OTHERS = {
    "audio_encoder.wav2vec2.": "wav2vec2, not used: give --audio-encoder",
    "emotion_encoder.": "classifier of emotions, not used",
}
"""Prefix → what is there that others publish."""
CONSTANTS = re.compile(r"(^|\.)kernel$|^alignment_mask$")
"""Buffers: blurs, and which frames attend to which."""
MADE_ANEW = "constants, made of settings"
LAYERS = {"0.": "proj.", "1.": "norm."}
"""Of the audio projection, in the file → here."""
FILE = "float.pth"
ENDINGS = (".safetensors", ".pth", ".pt")
STATES_DIM = 768
"""Of wav2vec2-base, whose layers the projection takes side by side."""


def find_file(path: Path) -> Path:
    """The file that `path` is, or that it holds.

    Raises:
        FileNotFoundError: there is none.
    """
    if path.is_file():
        return path
    found = [file for ending in ENDINGS if (file := path / f"float{ending}").is_file()]
    if not found:
        raise FileNotFoundError(f"{path}: no {FILE} (nor float.safetensors); give FLOAT's file, or the folder with it")
    return found[0]


def read_float(path: Path) -> Imported:
    """The codec (`vae`), the vector field and the audio projection of a file; sizes are read from the weights.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: it is no file of tensors, or they are not exactly FLOAT's keys and shapes.
    """
    file = find_file(path)
    given, others = _sorted_out(read_tensors(file))
    faults = [f"unexpected {key}" for key in others.pop("", [])]
    parts: dict[str, Any] = {}
    rows: list[Row] = []
    for (prefix, name), network in zip(PARTS.items(), new_networks(given).values(), strict=True):
        wanted = _weights_of(network)
        faults += key_faults(wanted, given[name], prefix)
        rows += account(name, wanted)
        if not faults:
            # What the file says of constants, settings say as well; they stay as they were made.
            network.load_state_dict(given[name], assign=True, strict=False)
        parts[name] = network.eval().requires_grad_(False)
    if faults:
        raise ValueError(f"{file}: not the weights of a FLOAT: {listed(faults)}")
    return Imported(parts, rows + [Row(what, len(held), sum(held.values())) for what, held in others.items() if held])


def new_networks(given: Mapping[str, Mapping[str, Tensor]]) -> dict[str, nn.Module]:
    """The three networks by name in the sizes of these tensors; where a key is missing, the released ones.

    Raises:
        ValueError: sizes that no codec has.
    """
    codec, field, sound = (Sizes(given.get(name, {})) for name in PARTS.values())
    blocks = {key.split(".")[1] for key in given.get("vector_field", {}) if key.startswith("blocks.")}
    downs = {key.split(".")[3] for key in given.get("vae", {}) if key.startswith("enc.net_app.convs.")}
    states = sound.of("proj.weight", 1, 12 * STATES_DIM)
    layers = 12 if states % 12 == 0 else 1
    dim = field.of("x_embedder.proj.weight", 0, 1024)
    # One block halves the picture; beside them stand one layer in front and one behind.
    size = 4 * 2 ** (len(downs) - 2) if downs else 512
    widths = tuple(
        codec.of(f"dec.convs.{2 * level - 2}.conv.weight" if level else "dec.input.input", 1, 0)
        for level in range(size.bit_length() - 2)
    )
    return {
        "vae": MotionAutoencoder(
            size,
            codec.of("dec.direction.weight", 0, 512),
            codec.of("dec.direction.weight", 1, 20),
            widths if all(widths) else (),
        ),
        "vector_field": VectorField(
            latent_dim=field.of("x_embedder.proj.weight", 1, 512),
            dim=dim,
            depth=len(blocks) or 8,
            mlp_ratio=field.of("blocks.0.mlp.fc1.weight", 0, 4 * dim) / dim,
            audio_dim=sound.of("proj.weight", 0, 512),
            max_frames=field.of("pos_embed", 1, 60),
        ),
        "audio_projection": FloatAudioProjection(1, layers, states // layers, sound.of("proj.weight", 0, 512)),
    }


def _sorted_out(tensors: Mapping[str, Tensor]) -> tuple[dict[str, dict[str, Tensor]], dict[str, dict[str, int]]]:
    """Weights by part under our names; and, by what it is, the rest with its numbers, under "" what nobody knows."""
    given: dict[str, dict[str, Tensor]] = {name: {} for name in PARTS.values()}
    others: dict[str, dict[str, int]] = {"": {}, **{what: {} for what in (*OTHERS.values(), MADE_ANEW)}}
    for key, tensor in tensors.items():
        prefix = next((each for each in (*PARTS, *OTHERS) if key.startswith(each)), "")
        name = PARTS.get(prefix)
        if name is None:
            others[OTHERS.get(prefix, "")][key] = tensor.numel()
            continue
        own = key.removeprefix(prefix)
        if CONSTANTS.search(own):
            others[MADE_ANEW][key] = tensor.numel()
            continue
        first = own[:2] if name == "audio_projection" else ""
        given[name][LAYERS.get(first, first) + own[len(first) :]] = tensor
    return given, others


def _weights_of(network: nn.Module) -> dict[str, Tensor]:
    """All of a network's state but for constants."""
    return {key: value for key, value in network.state_dict().items() if not CONSTANTS.search(key)}
