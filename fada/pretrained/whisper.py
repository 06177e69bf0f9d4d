"""Whisper's encoder out of its folder: transformers is handed eight settings and tensors, and never sees the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from fada.pretrained.errors import ModelFolderError
from fada.pretrained.networks import CONFIG, build_empty, read_config
from fada.pretrained.settings import Depth, Width, first_fault, shortly
from fada.pretrained.weights import read_safetensors, shapes_in, weight_files

TOKENS_PER_SECOND = 50
_PREFIXES = ("model.encoder.", "encoder.", "")
"""How the encoder's weights are named in files of the model that writes, of the model without a head, of its own."""


class WhisperSettings(BaseModel):
    """Those of the encoder; nothing else of a config is read."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    model_type: Literal["whisper"]
    d_model: Width = 384
    encoder_layers: Depth = 4
    encoder_attention_heads: Annotated[int, Field(ge=1, le=256)] = 6
    encoder_ffn_dim: Annotated[int, Field(ge=1, le=65536)] = 1536
    num_mel_bins: Annotated[int, Field(ge=1, le=256)] = 80
    max_source_positions: Annotated[int, Field(ge=1, le=300 * TOKENS_PER_SECOND, multiple_of=TOKENS_PER_SECOND)] = 1500
    activation_function: Annotated[str, Field(max_length=40)] = "gelu"


def load_whisper_encoder(folder: str | Path) -> WhisperEncoder:
    """The encoder of the Whisper in a local folder (config.json, model.safetensors), in float32, in evaluation mode.

    Raises:
        FileNotFoundError: no config, or no weights as safetensors.
        ModelFolderError: it is of another kind, or settings and weights do not fit.
    """
    folder = Path(folder)
    config = WhisperConfig(**whisper_settings(read_config(folder), folder / CONFIG))
    files = weight_files(folder, stem="model")
    shapes = shapes_in(files)
    prefix = next((each for each in _PREFIXES if f"{each}conv1.weight" in shapes), None)
    if prefix is None:
        raise ModelFolderError(f"{folder}: holds no weights of Whisper's encoder (conv1.weight); fetch it again")
    empty = build_empty(folder, lambda: WhisperEncoder(config))
    _check_shapes(folder, empty.state_dict(), shapes, prefix)
    found = {name: tensor for file in files for name, tensor in read_safetensors(file).items()}
    # Copies: else the encoder would keep the decoder's part of the files mapped too.
    own = {name: found[f"{prefix}{name}"].float().clone() for name in empty.state_dict()}
    empty.load_state_dict(own, assign=True)
    return empty.eval().requires_grad_(False)


def whisper_settings(config: dict[str, Any], source: Path) -> dict[str, Any]:
    """The encoder's settings in a config.json, typed and within limits; raises ModelFolderError where they are not."""
    try:
        settings = WhisperSettings.model_validate(config).model_dump(exclude={"model_type"})
    except ValidationError as error:
        raise ModelFolderError(f"{source}: {first_fault(error)}; it is damaged, or made to do harm") from error
    return settings


def _check_shapes(folder: Path, wanted: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], prefix: str) -> None:
    for name, tensor in wanted.items():
        found = shapes.get(f"{prefix}{name}")
        if found is None:
            raise ModelFolderError(f"{folder}: lacks {prefix}{name} of Whisper's encoder; fetch it again")
        if found != tuple(tensor.shape):
            raise ModelFolderError(
                f"{folder}: {shortly(prefix + name)} is {list(found)}, by its {CONFIG} {list(tensor.shape)}; "
                "fetch it again"
            )
