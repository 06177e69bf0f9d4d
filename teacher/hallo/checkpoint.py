"""Hallo's released file, `net.pth`, as networks: every key accounted for, nothing unpickled but tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.dual_unet.unets import SD15_CHANNELS
from fada.teacher.hallo.projections import FaceLocator, FaceProjection
from fada.teacher.hallo.unets import HalloDenoisingUNet, HalloReferenceUNet
from fada.teacher.released import Imported, Row, Sizes, account, key_faults, listed, read_tensors

__all__ = ["Imported", "Row", "empty_networks", "read_hallo", "read_tensors"]

PREFIXES = {
    "reference_unet": "reference_unet",
    "denoising_unet": "denoising_unet",
    "audioproj": "audio_projection",
    "imageproj": "face_projection",
    "face_locator": "face_locator",
}
"""Prefix in the file → name of the part here."""
KINDS = {kind: kind for kind in ("audio_modules", "motion_modules")}
"""Layers of the denoising net that have rows of their own in the account."""
FILES = ("net.pth", "net.safetensors")
WINDOW, LAYERS = 5, 12
"""Video frames and wav2vec2 layers that an audio window holds; the weights tell only their product."""
OTHER_LAYOUTS = (
    ("attn1_5", "V-Express (fada teacher import v-express)"),
    ("model.diffusion_model.", "a single-file Stable Diffusion checkpoint (fada teacher import sd15)"),
    ("motion_modules.", "motion modules or a denoising net alone, as AnimateDiff and EchoMimic publish them"),
    ("down_blocks.", "one UNet alone, as diffusers names it (SD 1.5: fada teacher import sd15)"),
)
"""What a key holds → whose layout that is; the first that fits."""


def read_hallo(path: Path) -> Imported:
    """The five networks of a `net.pth`, or of the folder that holds it; sizes are read from the weights.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no file of tensors, of another layout, or not exactly Hallo's keys and shapes.
    """
    file = find_file(path)
    tensors = read_tensors(file)
    _refuse_other_layouts(file, tensors)
    faults: list[str] = []
    parts: dict[str, Any] = {}
    rows: list[Row] = []
    for prefix, network in empty_networks(tensors).items():
        given = {
            key.removeprefix(f"{prefix}."): value for key, value in tensors.items() if key.startswith(f"{prefix}.")
        }
        faults += key_faults(network, given, f"{prefix}.")
        rows += account(PREFIXES[prefix], network.state_dict(), KINDS)
        if not faults:
            network.load_state_dict(given, assign=True)
        parts[PREFIXES[prefix]] = network.eval().requires_grad_(False)
    faults += [f"unexpected {key}" for key in tensors if key.partition(".")[0] not in PREFIXES]
    if faults:
        raise ValueError(f"{file}: not the weights of a Hallo: {listed(faults)}")
    return Imported(parts, rows)


def find_file(path: Path) -> Path:
    """The weights' file that `path` is, or holds."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such file or folder; give the folder that holds Hallo's net.pth")
    for name in FILES:
        if (path / name).is_file():
            return path / name
    inside = ", ".join(sorted(each.name for each in path.iterdir())[:8]) or "nothing"
    raise FileNotFoundError(f"{path}: no {' or '.join(FILES)} in it; it holds {inside}")


def empty_networks(tensors: Mapping[str, Tensor]) -> dict[str, nn.Module]:
    """The five networks by their prefixes, without memory, in the sizes of these tensors."""
    with torch.device("meta"):
        return new_networks(tensors)


def new_networks(tensors: Mapping[str, Tensor]) -> dict[str, nn.Module]:
    """The same with random weights, where and in what new tensors are made; without a key, the released size."""
    sizes = Sizes(tensors)
    unet, block = "denoising_unet.down_blocks", "transformer_blocks.0"
    channels = tuple(
        sizes.of(f"{unet}.{level}.resnets.0.conv1.weight", 0, width) for level, width in enumerate(SD15_CHANNELS)
    )
    token_dim = sizes.of(f"{unet}.0.attentions.0.{block}.attn2.to_k.weight", 1, 768)
    audio_dim = sizes.of(f"{unet}.0.audio_modules.0.{block}.attn2_0.to_k.weight", 1, 768)
    positions = f"{unet}.0.motion_modules.0.temporal_transformer.{block}.attention_blocks.0.pos_encoder.pe"
    shape: dict[str, Any] = {"channels": channels, "token_dim": token_dim}
    return {
        "reference_unet": HalloReferenceUNet(**shape),
        "denoising_unet": HalloDenoisingUNet(**shape, audio_dim=audio_dim, max_frames=sizes.of(positions, 1, 32)),
        "audioproj": AudioProjection(
            window=WINDOW,
            layers=LAYERS,
            states_dim=sizes.share("audioproj.proj1.weight", 1, WINDOW * LAYERS, 768),
            hidden=sizes.of("audioproj.proj1.weight", 0, 512),
            tokens=sizes.share("audioproj.proj3.weight", 0, audio_dim, 32),
            token_dim=audio_dim,
        ),
        "imageproj": FaceProjection(
            face_dim=sizes.of("imageproj.proj.weight", 1, 512),
            tokens=sizes.share("imageproj.proj.weight", 0, token_dim, 4),
            token_dim=token_dim,
        ),
        "face_locator": FaceLocator(channels[0]),
    }


def _refuse_other_layouts(file: Path, tensors: Mapping[str, Tensor]) -> None:
    if any(key.partition(".")[0] in PREFIXES for key in tensors):
        return
    nearest = next((whose for mark, whose in OTHER_LAYOUTS if any(mark in key for key in tensors)), None)
    looks = f"it looks like {nearest}" if nearest else f"its keys begin with {next(iter(tensors), 'nothing')!r}"
    raise ValueError(f"{file}: not Hallo's layout (prefixes {', '.join(PREFIXES)}): {looks}")
