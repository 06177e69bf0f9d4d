"""Hallo's released file, `net.pth`, as networks: every key accounted for, nothing unpickled but tensors."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.dual_unet.unets import SD15_CHANNELS
from fada.teacher.hallo.projections import FaceLocator, FaceProjection
from fada.teacher.hallo.unets import HalloDenoisingUNet, HalloReferenceUNet

PREFIXES = {
    "reference_unet": "reference_unet",
    "denoising_unet": "denoising_unet",
    "audioproj": "audio_projection",
    "imageproj": "face_projection",
    "face_locator": "face_locator",
}
"""Prefix in the file → name of the part here."""
FILES = ("net.pth", "net.safetensors")
WINDOW, LAYERS = 5, 12
"""Video frames and wav2vec2 layers that an audio window holds; the weights tell only their product."""
SHOWN = 5
OTHER_LAYOUTS = (
    ("attn1_5", "V-Express"),
    ("model.diffusion_model.", "a single-file Stable Diffusion checkpoint (fada teacher import sd15)"),
    ("motion_modules.", "motion modules or a denoising net alone, as AnimateDiff and EchoMimic publish them"),
    ("down_blocks.", "one UNet alone, as diffusers names it (SD 1.5: fada teacher import sd15)"),
)
"""What a key holds → whose layout that is; the first that fits."""


@dataclass(frozen=True)
class Row:
    """One line of the account: what, how many tensors, how many numbers in them."""

    part: str
    keys: int
    parameters: int


@dataclass(frozen=True)
class Imported:
    """The networks by name, without gradients, and the account of their keys."""

    parts: dict[str, Any]
    rows: list[Row]


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
        faults += _faults(prefix, network, given)
        rows += _account(PREFIXES[prefix], network.state_dict())
        if not faults:
            network.load_state_dict(given, assign=True)
        parts[PREFIXES[prefix]] = network.eval().requires_grad_(False)
    faults += [f"unexpected {key}" for key in tensors if key.partition(".")[0] not in PREFIXES]
    if faults:
        more = f", and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise ValueError(f"{file}: not the weights of a Hallo: {'; '.join(faults[:SHOWN])}{more}")
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


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a pickle that holds nothing else, mapped from the disk where possible.

    Raises:
        ValueError: the file is something else.
    """
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(file)
        except SafetensorError as error:
            raise ValueError(f"{file}: no safetensors file ({error}); fetch it again") from error
    with file.open("rb") as opened:
        if opened.read(24).startswith(b"version https://git-lfs"):
            raise ValueError(f"{file}: a Git LFS pointer, not the weights; run git lfs pull where it came from")
    try:
        loaded: Any = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{file}: refused: reading it would run code that it brings, or it is damaged; weights are read only from "
            "files that hold tensors and nothing else. Convert it to safetensors where you trust it"
        ) from error
    except (EOFError, RuntimeError) as error:
        raise ValueError(f"{file}: torch cannot read it ({error}); fetch it again") from error
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        inside = ", ".join(map(str, list(loaded)[:5])) if isinstance(loaded, dict) else type(loaded).__name__
        raise ValueError(f"{file}: no table of tensors: it holds {inside}; Hallo's net.pth is a plain state dict")
    return loaded


def empty_networks(tensors: Mapping[str, Tensor]) -> dict[str, nn.Module]:
    """The five networks without memory, in the sizes of these tensors; where a key is missing, in the released ones."""

    def size(key: str, axis: int, released: int) -> int:
        return int(tensors[key].shape[axis]) if key in tensors and tensors[key].ndim > axis else released

    def share(key: str, axis: int, of: int, released: int) -> int:
        return max(1, size(key, axis, released * of) // of)

    unet, block = "denoising_unet.down_blocks", "transformer_blocks.0"
    channels = tuple(
        size(f"{unet}.{level}.resnets.0.conv1.weight", 0, width) for level, width in enumerate(SD15_CHANNELS)
    )
    token_dim = size(f"{unet}.0.attentions.0.{block}.attn2.to_k.weight", 1, 768)
    audio_dim = size(f"{unet}.0.audio_modules.0.{block}.attn2_0.to_k.weight", 1, 768)
    positions = f"{unet}.0.motion_modules.0.temporal_transformer.{block}.attention_blocks.0.pos_encoder.pe"
    shape: dict[str, Any] = {"channels": channels, "token_dim": token_dim}
    with torch.device("meta"):
        return {
            "reference_unet": HalloReferenceUNet(**shape),
            "denoising_unet": HalloDenoisingUNet(**shape, audio_dim=audio_dim, max_frames=size(positions, 1, 32)),
            "audioproj": AudioProjection(
                window=WINDOW,
                layers=LAYERS,
                states_dim=share("audioproj.proj1.weight", 1, WINDOW * LAYERS, 768),
                hidden=size("audioproj.proj1.weight", 0, 512),
                tokens=share("audioproj.proj3.weight", 0, audio_dim, 32),
                token_dim=audio_dim,
            ),
            "imageproj": FaceProjection(
                face_dim=size("imageproj.proj.weight", 1, 512),
                tokens=share("imageproj.proj.weight", 0, token_dim, 4),
                token_dim=token_dim,
            ),
            "face_locator": FaceLocator(channels[0]),
        }


def _faults(prefix: str, network: nn.Module, given: Mapping[str, Tensor]) -> list[str]:
    wanted = network.state_dict()
    faults = [f"missing {prefix}.{key}" for key in wanted if key not in given]
    faults += [f"unexpected {prefix}.{key}" for key in given if key not in wanted]
    for key, value in given.items():
        if key in wanted and value.shape != wanted[key].shape:
            faults.append(f"{prefix}.{key} is {list(value.shape)}, not {list(wanted[key].shape)}")
    return faults


def _account(part: str, state: Mapping[str, Tensor]) -> list[Row]:
    """Rows of a part; the denoising net's own layers apart from SD 1.5's."""

    def row(name: str, keys: Sequence[str]) -> Row:
        return Row(name, len(keys), sum(state[key].numel() for key in keys))

    kinds = ("audio_modules", "motion_modules")
    rows = [row(part, [key for key in state if not any(kind in key for kind in kinds)])]
    for kind in kinds:
        keys = [key for key in state if kind in key]
        if keys:
            rows.append(row(f"{part}: {kind}", keys))
    return rows


def _refuse_other_layouts(file: Path, tensors: Mapping[str, Tensor]) -> None:
    if any(key.partition(".")[0] in PREFIXES for key in tensors):
        return
    nearest = next((whose for mark, whose in OTHER_LAYOUTS if any(mark in key for key in tensors)), None)
    looks = f"it looks like {nearest}" if nearest else f"its keys begin with {next(iter(tensors), 'nothing')!r}"
    raise ValueError(f"{file}: not Hallo's layout (prefixes {', '.join(PREFIXES)}): {looks}")
