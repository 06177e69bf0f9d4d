"""wav2vec2 out of its folder: transformers is handed settings and tensors, and never sees the folder.

Given a folder, transformers would follow an `adapter_config.json` to another one, fetch the attention code that a
config names, or ask for classes in `auto_map`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from transformers import Wav2Vec2Config, Wav2Vec2Model

from fada.pretrained.errors import ModelFolderError
from fada.pretrained.networks import CONFIG, build_empty, check_size, read_config
from fada.pretrained.settings import Depth, Width, first_fault, shortly
from fada.pretrained.weights import read_safetensors, shapes_in, weight_files

_ASKS_FOR_CODE = ("auto_map", "quantization_config", "attn_implementation", "_attn_implementation", "custom_pipelines")
_UNUSED = {"masked_spec_embed"}
"""Weights that only training reads."""
_OF_ALL_MODELS = (
    "add_cross_attention", "architectures", "bad_words_ids", "chunk_size_feed_forward", "cross_attention_hidden_size",
    "decoder_start_token_id", "do_sample", "early_stopping", "finetuning_task", "gradient_checkpointing",
    "hidden_dropout_prob", "id2label", "is_decoder", "is_encoder_decoder", "label2id", "length_penalty",
    "mask_channel_length", "mask_channel_min_space",
    "mask_channel_other", "mask_channel_prob", "mask_channel_selection", "mask_time_min_space", "mask_time_other",
    "mask_time_selection", "max_length", "min_length", "no_repeat_ngram_size", "num_beams", "num_feat_extract_layers",
    "num_return_sequences", "output_attentions", "output_hidden_states", "output_scores", "prefix", "problem_type",
    "repetition_penalty", "return_dict", "return_dict_in_generate", "task_specific_params", "temperature",
    "tie_encoder_decoder", "tie_word_embeddings", "tokenizer_class", "top_k", "top_p", "torch_dtype", "torchscript",
    "transformers_version", "use_bfloat16",
)  # fmt: skip
"""What configs of transformers hold beside a model's own settings; it changes no network."""

_Steps = Annotated[list[Annotated[int, Field(ge=1, le=1024)]], Field(min_length=1, max_length=16)]
_Type = Literal["float32", "float16", "bfloat16"] | None


class Wav2Vec2Settings(BaseModel):
    """Those that decide size and shape; the others are taken as they are, or not at all."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    model_type: Literal["wav2vec2"]
    hidden_size: Width = 768
    num_hidden_layers: Depth = 12
    num_attention_heads: Annotated[int, Field(ge=1, le=256)] = 12
    intermediate_size: Annotated[int, Field(ge=1, le=65536)] = 3072
    hidden_act: Annotated[str, Field(max_length=40)] = "gelu"
    feat_extract_norm: Literal["group", "layer"] = "group"
    feat_extract_activation: Annotated[str, Field(max_length=40)] = "gelu"
    conv_dim: Annotated[list[Annotated[int, Field(ge=1, le=8192)]], Field(min_length=1, max_length=16)] = Field(
        default=[512] * 7
    )
    conv_stride: _Steps = Field(default=[5, 2, 2, 2, 2, 2, 2])
    conv_kernel: _Steps = Field(default=[10, 3, 3, 3, 3, 2, 2])
    num_conv_pos_embeddings: Annotated[int, Field(ge=1, le=1024)] = 128
    num_conv_pos_embedding_groups: Annotated[int, Field(ge=1, le=1024)] = 16
    layer_norm_eps: Annotated[float, Field(ge=0, le=1)] = 1e-5
    add_adapter: Literal[False] = False
    adapter_attn_dim: None = None
    dtype: _Type = None
    torch_dtype: _Type = None


def load_wav2vec2(folder: str | Path) -> Wav2Vec2Model:
    """The wav2vec2 in a local folder (config.json, model.safetensors), in evaluation mode.

    Raises:
        FileNotFoundError: no config, or no weights as safetensors.
        ModelFolderError: it is of another kind, asks for code, or settings and weights do not fit.
    """
    folder = Path(folder)
    settings = wav2vec2_settings(read_config(folder), folder / CONFIG)
    files = weight_files(folder, stem="model")
    config = Wav2Vec2Config.from_dict(settings)
    empty = build_empty(folder, lambda: Wav2Vec2Model(config))
    check_size(folder, {name: tuple(each.shape) for name, each in empty.state_dict().items()}, shapes_in(files))
    tensors = {name: tensor for file in files for name, tensor in read_safetensors(file).items()}
    try:
        model, found = Wav2Vec2Model.from_pretrained(None, config=config, state_dict=tensors, output_loading_info=True)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelFolderError(f"{folder}: cannot be read as wav2vec2 ({error})") from error
    lacking = sorted(set(found["missing_keys"]) - _UNUSED)
    if lacking:
        raise ModelFolderError(f"{folder}: lacks {len(lacking)} weights of wav2vec2, as {lacking[0]}; fetch it again")
    return model.eval()


def wav2vec2_settings(config: dict[str, Any], source: Path) -> dict[str, Any]:
    """The settings of a wav2vec2 in a config.json: typed, within limits, and nothing that transformers would follow.

    Raises:
        ModelFolderError: see `load_wav2vec2`.
    """
    asked = [name for name in _ASKS_FOR_CODE if config.get(name) is not None]
    if asked:
        raise ModelFolderError(f"{source}: asks for code by {asked[0]}; models bring no code, take one without it")
    try:
        Wav2Vec2Settings.model_validate(config)
    except ValidationError as error:
        raise ModelFolderError(f"{source}: {first_fault(error)}; it is damaged, or made to do harm") from error
    known = {*Wav2Vec2Config().to_dict(), *Wav2Vec2Settings.model_fields, *_OF_ALL_MODELS}
    taken = {name: value for name, value in config.items() if name in known and not name.startswith("_")}
    for name, value in taken.items():
        if not _is_small(value):
            raise ModelFolderError(f"{source}: {name}: {shortly(value)} is no setting of wav2vec2")
    if len({len(taken.get(name, ())) for name in ("conv_dim", "conv_stride", "conv_kernel")}) > 1:
        raise ModelFolderError(f"{source}: conv_dim, conv_stride and conv_kernel are of different lengths")
    return taken


def _is_small(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= 1000 and all(_is_small(each) for each in value)
    if isinstance(value, dict):
        return len(value) <= 1000 and all(_is_small(each) for each in value.values())
    if isinstance(value, int | float):
        return abs(value) <= 2**31
    return value is None or (isinstance(value, str) and len(value) <= 200)
