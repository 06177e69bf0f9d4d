"""An image UNet inflated to the dual UNet: both nets start from Stable Diffusion 1.5 (FADA, section 3.1).

The reference net has no text attention, the denoising net has audio attention in its place, and new temporal layers
start at zero output. A prompt of zeros lets SD's text attention add nothing but its output's bias; that bias moves
into the self-attention before it, so that both nets compute what SD computes for such a prompt, frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from fada.teacher.dual_unet.sd15 import ImageModel, ReleasedWeightsError
from fada.teacher.dual_unet.unets import DenoisingUNet, ReferenceUNet
from fada.teacher.origins import write_import
from fada.teacher.released import write_whole

TextAttention = Literal["silent", "kept", "fresh"]
"""What audio attention starts from.

`silent`: the text attention, its output set to zero, so that audio is learned from nothing (V-Express's zero output).
`kept`: the text attention as it is; audio tokens act as a prompt from the first step on.
`fresh`: new weights, with zero output.
"""
OUTPUT_LAYERS = ("conv_norm_out.", "conv_out.")
FOLDED = ".attn2.to_out.0.bias"


@dataclass(frozen=True)
class Filled:
    """What became of the tensors of one net.

    taken: equal to the image model's; changed: taken with a bias folded in or an output set to zero; new: not in the
    image model; unused: of the image model, without a place here. All are names.
    """

    net: str
    taken: tuple[str, ...]
    changed: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]

    def new_kinds(self) -> list[str]:
        """What the new tensors belong to, for people."""
        names = {"motion_modules.": "temporal layers", ".attn2.": "audio attention"}
        return [name for part, name in names.items() if any(part in key for key in self.new)]


def import_sd15(
    image: ImageModel,
    out: Path,
    *,
    source: Path,
    licence: str | None = None,
    text_attention: TextAttention = "silent",
    audio_dim: int = 768,
    max_frames: int = 32,
    seed: int = 0,
) -> list[Filled]:
    """Write `reference_unet/`, `denoising_unet/` and, where the image model has one, `vae/` into a new folder.

    Args:
        source: where the image model comes from; is written into `import.json` with the settings.
        licence: of the weights; without it that of the card beside them.
        audio_dim: width of an audio token; keys and values of other than SD's 768 are new.
        seed: of new weights.

    Raises:
        ReleasedWeightsError: the weights do not fill the nets, or `out` is in use.
    """
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ReleasedWeightsError(f"{out}: is not empty; give another folder with --out, or empty this one")
    torch.manual_seed(seed)
    tables = []

    def write(folder: Path) -> None:
        # One after the other: at full size each takes gigabytes.
        reference, filled = reference_from(image)
        reference.save_pretrained(str(folder / "reference_unet"))
        tables.append(filled)
        del reference
        denoiser, filled = denoiser_from(image, text_attention, audio_dim, max_frames)
        denoiser.save_pretrained(str(folder / "denoising_unet"))
        tables.append(filled)
        if image.vae is not None:
            image.vae.float().save_pretrained(str(folder / "vae"))
        settings = {"text_attention": text_attention, "audio_dim": audio_dim, "seed": seed}
        write_import(folder, source, licence, **settings)

    write_whole(out, write)
    return tables


def reference_from(image: ImageModel) -> tuple[ReferenceUNet, Filled]:
    """The reference net: SD's UNet up to its output, without text attention."""
    net = ReferenceUNet(**image.shape.settings())
    return net, _fill("reference net", net, image.weights, is_left_out, folds=True)


def denoiser_from(
    image: ImageModel, text_attention: TextAttention, audio_dim: int = 768, max_frames: int = 32
) -> tuple[DenoisingUNet, Filled]:
    """The denoising net: SD's UNet with audio attention for text attention, and temporal layers at zero output."""
    if text_attention not in get_args(TextAttention):
        raise ReleasedWeightsError(
            f"text attention: got {text_attention!r}; choose from {', '.join(get_args(TextAttention))}"
        )
    net = DenoisingUNet(**image.shape.settings(), audio_dim=audio_dim, max_frames=max_frames)
    own = net.state_dict()

    def is_new(key: str) -> bool:
        if text_attention == "fresh" and _is_text(key):
            return True
        return ".attn2.to_" in key and key in own and own[key].shape != image.weights[key].shape

    is_silent = text_attention != "kept"
    return net, _fill("denoising net", net, image.weights, is_new, folds=is_silent, silences=is_silent)


def is_left_out(key: str) -> bool:
    """Whether a tensor of SD's UNet has no place in the reference net: text attention, and the output layers."""
    return _is_text(key) or key.startswith(OUTPUT_LAYERS)


def _is_text(key: str) -> bool:
    return ".attn2." in key or ("transformer_blocks." in key and ".norm2." in key)


@torch.no_grad()
def _fill(
    name: str,
    net: ReferenceUNet | DenoisingUNet,
    weights: dict[str, Tensor],
    is_left: Callable[[str], bool],
    *,
    folds: bool,
    silences: bool = False,
) -> Filled:
    given = {key: value.to(torch.float32) for key, value in weights.items() if not is_left(key)}
    changed = []
    if folds:
        for key in [key for key in weights if key.endswith(FOLDED)]:
            into = key.replace(".attn2.", ".attn1.")
            given[into] = given[into] + weights[key].to(torch.float32)
            changed.append(into)
    if silences:
        outputs = [key for key in given if ".attn2.to_out.0." in key]
        given.update({key: torch.zeros_like(given[key]) for key in outputs})
        changed += outputs
    own = net.state_dict()
    _check(name, own, given)
    net.load_state_dict(given, strict=False)
    new = [key for key in own if key not in given]
    taken = [key for key in given if key not in changed]
    unused = [key for key in weights if key not in own]
    return Filled(name, tuple(taken), tuple(changed), tuple(new), tuple(unused))


def _check(name: str, own: dict[str, Any], given: dict[str, Tensor]) -> None:
    """Know that what is given has its place, and that nothing but the declared new layers is missing."""
    unknown = [key for key in given if key not in own]
    missing = [key for key in own if key not in given and "motion_modules." not in key and not _is_text(key)]
    shapes = [key for key in given if key in own and own[key].shape != given[key].shape]
    for fault, keys in (("unknown", unknown), ("missing", missing), ("of another shape", shapes)):
        if keys:
            raise ReleasedWeightsError(
                f"{name}: the weights are not those of Stable Diffusion 1.5: {len(keys)} {fault}, as {keys[0]}"
            )
