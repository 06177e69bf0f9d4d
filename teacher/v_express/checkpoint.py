"""V-Express's five released files as four networks: every key accounted for, nothing unpickled but tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fada.teacher.dual_unet.unets import SD15_CHANNELS
from fada.teacher.hallo.projections import FaceLocator
from fada.teacher.released import Imported, Row, Sizes, account, key_faults, listed, read_tensors
from fada.teacher.v_express.audio_projection import AudioResampler
from fada.teacher.v_express.keypoints import GUIDER_CHANNELS
from fada.teacher.v_express.unets import VExpressDenoisingUNet, VExpressReferenceUNet

NETWORKS = {
    "reference_net": "reference_unet",
    "denoising_unet": "denoising_unet",
    "audio_projection": "audio_projection",
    "v_kps_guider": "keypoint_guider",
}
"""Name of the file → name of the part here."""
MOTION = "motion_module"
"""The file of the denoising net's motion modules."""
ENDINGS = (".bin", ".safetensors")
"""Of the files; where both are there, the last is read."""
KINDS = {"reference attention": "1_5.", "motion_modules": "motion_modules"}
"""Rows of the account beside SD 1.5's layers → what their keys hold."""
HEADS = 12
"""Heads of the audio projection; the weights tell only the width of all together."""


def read_v_express(folder: Path) -> Imported:
    """The four networks of a folder with the five files; sizes are read from the weights.

    The denoising net's own file may hold motion modules too; as in the public script those of the file of their own
    take their place.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: one is no file of tensors, or they are not exactly V-Express's keys and shapes.
    """
    files = find_files(folder)
    tensors = {name: read_tensors(file) for name, file in files.items()}
    motion = tensors.pop(MOTION)
    strays = [f"unexpected {MOTION}.{key}" for key in motion if ".motion_modules." not in key]
    replaced = {key: value for key, value in tensors["denoising_unet"].items() if key in motion}
    tensors["denoising_unet"] = tensors["denoising_unet"] | motion
    faults: list[str] = []
    parts: dict[str, Any] = {}
    rows: list[Row] = []
    for name, network in empty_networks(tensors).items():
        faults += key_faults(network, tensors[name], f"{name}.")
        rows += account(NETWORKS[name], network.state_dict(), KINDS)
        if not faults:
            network.load_state_dict(tensors[name], assign=True)
        parts[NETWORKS[name]] = network.eval().requires_grad_(False)
    if strays or faults:
        raise ValueError(f"{folder}: not the weights of a V-Express: {listed(strays + faults)}")
    if replaced:
        rows += account(f"also in {files['denoising_unet'].name}, not used", replaced)
    return Imported(parts, rows)


def find_files(folder: Path) -> dict[str, Path]:
    """The five files of a folder by their names without ending.

    Raises:
        FileNotFoundError: no folder, or not all of them in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; give the one that holds V-Express's denoising_unet.bin")
    names = [*NETWORKS, MOTION]
    files = {name: file for name in names for end in ENDINGS if (file := folder / f"{name}{end}").is_file()}
    missing = [f"{name}.bin" for name in names if name not in files]
    if missing:
        inside = ", ".join(sorted(each.name for each in folder.iterdir())[:8]) or "nothing"
        raise FileNotFoundError(f"{folder}: no {', '.join(missing)} (nor .safetensors) in it; it holds {inside}")
    return files


def empty_networks(tensors: Mapping[str, Mapping[str, Tensor]]) -> dict[str, nn.Module]:
    """The four networks by their file's name, without memory, in these sizes; where a key is missing, the released."""
    sizes = {name: Sizes(tensors.get(name, {})) for name in NETWORKS}
    level, block = "down_blocks.{}.resnets.0.conv1.weight", "down_blocks.0.attentions.0.transformer_blocks.0"
    positions = "transformer_blocks.0.attention_blocks.0.pos_encoder.pe"

    def channels(name: str) -> tuple[int, ...]:
        return tuple(sizes[name].of(level.format(index), 0, width) for index, width in enumerate(SD15_CHANNELS))

    denoiser, guider = sizes["denoising_unet"], sizes["v_kps_guider"]
    with torch.device("meta"):
        return {
            "reference_net": VExpressReferenceUNet(
                channels=channels("reference_net"),
                token_dim=sizes["reference_net"].of(f"{block}.attn2.to_k.weight", 1, 768),
            ),
            "denoising_unet": VExpressDenoisingUNet(
                channels=channels("denoising_unet"),
                audio_dim=denoiser.of(f"{block}.attn2.to_k.weight", 1, 768),
                max_frames=denoiser.of(f"down_blocks.0.motion_modules.0.temporal_transformer.{positions}", 1, 32),
            ),
            "audio_projection": _empty_projection(sizes["audio_projection"]),
            "v_kps_guider": FaceLocator(guider.of("conv_out.weight", 0, 320), GUIDER_CHANNELS),
        }


def _empty_projection(sizes: Sizes) -> AudioResampler:
    return AudioResampler(
        states=sizes.of("pos_emb.weight", 0, 10),
        states_dim=sizes.of("pos_emb.weight", 1, 768),
        dim=sizes.of("latents", 2, 768),
        inner=sizes.of("layers.0.0.to_q.weight", 0, 768),
        heads=HEADS,
        feed_forward=sizes.of("layers.0.1.1.weight", 0, 3072),
        queries=sizes.of("latents", 1, 5),
        token_dim=sizes.of("norm_out.weight", 0, 768),
    )
