"""Stable Diffusion 1.5 as its files have it: the image UNet's weights under diffusers' names, and its shape.

Reads a diffusers folder (the pipeline or its UNet alone) and single files in the original layout. What becomes of the
weights is `inflation.py`'s matter.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from diffusers import AutoencoderKL
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import save_file
from torch import Tensor

from fada.pretrained.errors import ModelFolderError
from fada.pretrained.networks import load_network, read_config
from fada.pretrained.weights import NotOnlyTensors, read_pickle, read_safetensors

TEXT_DIM = 768
"""Width of SD 1.5's text embeddings (CLIP ViT-L/14)."""
OTHER_WIDTHS = {1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL", 1280: "the refiner of Stable Diffusion XL"}
SINGLE_FILE = "model.diffusion_model."
FIRST_STAGE = "first_stage_model."
STEM = "diffusion_pytorch_model"
SETTINGS: dict[str, Any] = {
    "use_linear_projection": False,
    "class_embed_type": None,
    "addition_embed_type": None,
    "dual_cross_attention": False,
    "only_cross_attention": False,
    "resnet_time_scale_shift": "default",
    "transformer_layers_per_block": 1,
    "time_embedding_type": "positional",
    "norm_eps": 1e-5,
    "act_fn": "silu",
}
"""Settings of diffusers' UNet2DConditionModel that the dual UNet has built in."""


class ReleasedWeightsError(ValueError):
    """Weights that are not there, damaged, or of another model."""


@dataclass(frozen=True)
class ImageShape:
    """Shape of an image UNet of SD 1.5's layout, in the words of `ReferenceUNet`."""

    in_channels: int
    channels: tuple[int, ...]
    layers_per_block: int
    heads: int
    attention_levels: tuple[bool, ...]
    norm_groups: int

    def settings(self) -> dict[str, Any]:
        """As arguments of the networks, which attend over time at every level."""
        return {**asdict(self), "temporal_levels": (True,) * len(self.channels)}


@dataclass(frozen=True)
class ImageModel:
    """Weights of an image UNet under diffusers' names, its shape, and the autoencoder that came with it."""

    weights: dict[str, Tensor]
    shape: ImageShape
    vae: AutoencoderKL | None


def read_sd15(path: Path, *, with_vae: bool = True) -> ImageModel:
    """The UNet (and autoencoder, where there is one) of Stable Diffusion 1.5.

    Args:
        path: a diffusers folder, of the pipeline or of its UNet; or a single file, .safetensors or .ckpt, in the
            original layout. Pickled files are only read as tensors (`weights_only`).

    Raises:
        ReleasedWeightsError: something is missing or damaged, or it is not Stable Diffusion 1.x.
    """
    if path.is_dir():
        return _from_folder(path, with_vae)
    if not path.is_file():
        raise ReleasedWeightsError(f"{path}: no such folder or file; give a diffusers folder or a checkpoint")
    return _from_file(path, with_vae)


def _from_folder(path: Path, with_vae: bool) -> ImageModel:
    unet = path / "unet" if (path / "unet").is_dir() else path
    config = _config(unet)
    name = config.get("_class_name", "UNet2DConditionModel")
    if name != "UNet2DConditionModel":
        raise ReleasedWeightsError(
            f"{unet}: holds a {name}; give the folder of Stable Diffusion 1.5, or of its UNet (UNet2DConditionModel)"
        )
    _check_width(unet, config.get("cross_attention_dim", TEXT_DIM))
    other = {key: config[key] for key, value in SETTINGS.items() if config.get(key, value) != value}
    if other:
        listed = ", ".join(f"{key}: {value}" for key, value in other.items())
        raise ReleasedWeightsError(f"{unet}: is not Stable Diffusion 1.5 ({listed}); its layers are of other kinds")
    # diffusers calls the number of heads `attention_head_dim` in SD 1.5's config, by an old mistake.
    heads = config.get("num_attention_heads") or config.get("attention_head_dim", 8)
    weights = read_tensors(_weights_file(unet))
    shape = _shape(unet, weights, heads, config.get("norm_num_groups", 32))
    vae = path / "vae"
    return ImageModel(weights, shape, _read_vae(vae) if with_vae and vae.is_dir() else None)


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    if not file.is_file():
        raise ReleasedWeightsError(f"{file}: no such file; a UNet's folder holds config.json and {STEM}.safetensors")
    try:
        return read_config(folder)
    except ModelFolderError as error:
        raise ReleasedWeightsError(f"{file}: damaged ({error}); copy or download it again") from error


def _weights_file(folder: Path) -> Path:
    for ending in ("safetensors", "fp16.safetensors", "non_ema.safetensors", "bin", "fp16.bin"):
        if (folder / f"{STEM}.{ending}").is_file():
            return folder / f"{STEM}.{ending}"
    raise ReleasedWeightsError(f"{folder}: no weights; {STEM}.safetensors or {STEM}.fp16.safetensors is looked for")


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Named tensors of a .safetensors file, or of a pickle from which nothing but tensors is taken.

    Raises:
        ReleasedWeightsError: the file is damaged, or holds code.
    """
    try:
        if file.suffix == ".safetensors":
            return read_safetensors(file)
        content = read_pickle(file)
    except NotOnlyTensors as error:
        raise ReleasedWeightsError(
            f"{file}: holds more than tensors, or is damaged; such files can run code and are not read. "
            "Use the .safetensors version"
        ) from error
    except ModelFolderError as error:
        raise ReleasedWeightsError(f"{file}: damaged or cut off ({error}); copy or download it again") from error
    content = content.get("state_dict", content) if isinstance(content, dict) else {}
    return {key: value for key, value in content.items() if isinstance(value, Tensor)}


def _from_file(path: Path, with_vae: bool) -> ImageModel:
    found = read_tensors(path)
    if "conv_in.weight" in found:
        return ImageModel(found, _shape(path, found), None)
    unet = {key: value for key, value in found.items() if key.startswith(SINGLE_FILE)}
    if not unet:
        shown = ", ".join(sorted({key.partition(".")[0] for key in found})[:5]) or "nothing"
        raise ReleasedWeightsError(
            f"{path}: holds no UNet: no name begins with {SINGLE_FILE} (there are {shown}); "
            "give a whole checkpoint of Stable Diffusion 1.5"
        )
    if f"{SINGLE_FILE}label_emb.0.0.weight" in unet:
        raise ReleasedWeightsError(f"{path}: is Stable Diffusion XL, not 1.5")
    halving = re.compile(re.escape(SINGLE_FILE) + r"input_blocks\.(\d+)\.0\.op\.weight")
    halvings = [int(match[1]) for match in map(halving.fullmatch, unet) if match]
    if not halvings:
        raise ReleasedWeightsError(
            f"{path}: is not Stable Diffusion 1.5: its UNet has no halvings (input_blocks.*.0.op)"
        )
    try:
        weights = convert_ldm_unet_checkpoint(unet, {"layers_per_block": min(halvings) - 1})
    except KeyError as error:
        raise ReleasedWeightsError(f"{path}: is not Stable Diffusion 1.5: {error} is missing") from error
    first_stage = {key: value for key, value in found.items() if key.startswith(FIRST_STAGE)}
    vae = _vae_of(path, first_stage) if with_vae and first_stage else None
    return ImageModel(weights, _shape(path, weights), vae)


def _shape(source: Path, weights: dict[str, Tensor], heads: Any = 8, norm_groups: int = 32) -> ImageShape:
    """Shape as the weights tell it; number of heads and groups they do not."""
    try:
        levels = _count(weights, "down_blocks")
        channels = tuple(weights[f"down_blocks.{level}.resnets.0.conv1.weight"].shape[0] for level in range(levels))
        layers, images = _count(weights, "down_blocks.0.resnets"), weights["conv_in.weight"].shape[1]
    except KeyError as error:
        raise ReleasedWeightsError(f"{source}: is not a UNet of Stable Diffusion 1.5: {error} is missing") from error
    for key, value in weights.items():
        if key.endswith("attn2.to_k.weight"):
            _check_width(source, value.shape[1])
    if images != 4:
        raise ReleasedWeightsError(
            f"{source}: reads {images} channels, Stable Diffusion 1.5 reads 4; inpainting and depth models do not fit"
        )
    if not isinstance(heads, int):
        raise ReleasedWeightsError(f"{source}: has {heads} attention heads by level, Stable Diffusion 1.5 has 8 in all")
    attention = tuple(
        any(key.startswith(f"down_blocks.{level}.attentions.") for key in weights) for level in range(levels)
    )
    return ImageShape(images, channels, layers, heads, attention, norm_groups)


def _count(names: Iterable[str], prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({match[1] for match in map(pattern.match, names) if match})


def _check_width(source: Path, width: Any) -> None:
    if width != TEXT_DIM:
        other = OTHER_WIDTHS.get(width) if isinstance(width, int) else None
        raise ReleasedWeightsError(
            f"{source}: cross-attention is {width} wide, in Stable Diffusion 1.5 {TEXT_DIM}"
            + (f"; this is {other}" if other else "")
        )


def _read_vae(folder: Path) -> AutoencoderKL:
    _config(folder)
    file = _weights_file(folder)
    variant = "fp16" if ".fp16." in file.name else "non_ema" if ".non_ema." in file.name else None
    try:
        if file.suffix == ".safetensors":
            return cast(AutoencoderKL, load_network(folder, AutoencoderKL, variant=variant))
        # Pickled weights are read here, as tensors; diffusers, who knows the old names of layers, sees a safe copy.
        with tempfile.TemporaryDirectory() as copy:
            shutil.copyfile(folder / "config.json", Path(copy) / "config.json")
            tensors = {name: value.contiguous() for name, value in read_tensors(file).items()}
            save_file(tensors, Path(copy) / f"{STEM}.safetensors")
            return cast(AutoencoderKL, load_network(copy, AutoencoderKL))
    except (OSError, ValueError) as error:
        raise ReleasedWeightsError(f"{folder}: the VAE cannot be read ({error})") from error


def _vae_of(path: Path, weights: dict[str, Tensor]) -> AutoencoderKL:
    """The autoencoder in a single file, with SD 1.5's scaling factor."""
    levels = _count(weights, f"{FIRST_STAGE}encoder.down")
    try:
        channels = [weights[f"{FIRST_STAGE}encoder.down.{n}.block.0.conv1.weight"].shape[0] for n in range(levels)]
        settings: dict[str, Any] = {
            "down_block_types": ("DownEncoderBlock2D",) * levels,
            "up_block_types": ("UpDecoderBlock2D",) * levels,
            "block_out_channels": channels,
            "layers_per_block": _count(weights, f"{FIRST_STAGE}encoder.down.0.block"),
            "latent_channels": weights[f"{FIRST_STAGE}post_quant_conv.weight"].shape[0],
            "scaling_factor": 0.18215,
        }
        vae = AutoencoderKL(**settings)
        vae.load_state_dict(convert_ldm_vae_checkpoint(weights, settings))
    except (KeyError, RuntimeError) as error:
        raise ReleasedWeightsError(
            f"{path}: its VAE is not Stable Diffusion's ({error}); leave it with --no-vae"
        ) from error
    return vae
