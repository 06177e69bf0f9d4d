"""Audio encoders' folders from others: transformers is handed settings and tensors, and never sees the folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC, Wav2Vec2Model

from fada.data.audio.features import Wav2Vec2Encoder, load_audio_encoder
from fada.pretrained.errors import ModelFolderError

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
         "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small wav2vec2 as it is published: with a head, and settings that only training reads."""
    torch.manual_seed(0)
    Wav2Vec2ForCTC(Wav2Vec2Config(**SMALL)).save_pretrained(tmp_path / "encoder")
    change(tmp_path / "encoder", _name_or_path="/home/alice/wav2vec2", gradient_checkpointing=False, torch_dtype=None)
    return tmp_path / "encoder"


def change(folder: Path, **settings: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def test_the_states_and_the_fingerprint_are_those_of_transformers_own_way(folder: Path) -> None:
    own = Wav2Vec2Encoder(Wav2Vec2Model.from_pretrained(folder, local_files_only=True, use_safetensors=True))
    gated = Wav2Vec2Encoder.from_pretrained(folder)
    audio = torch.randn(1, 6400, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(gated(audio, 10), own(audio, 10), rtol=0, atol=0)
    assert gated.fingerprint() == own.fingerprint()


@pytest.mark.parametrize(
    "settings",
    [
        {"auto_map": {"AutoModel": "evil.Evil"}},
        {"_attn_implementation": "someone/kernels"},
        {"attn_implementation": "someone/kernels"},
        {"quantization_config": {"quant_method": "evil"}},
    ],
)
def test_a_config_that_asks_for_code_is_refused(folder: Path, settings: dict[str, Any]) -> None:
    change(folder, **settings)
    with pytest.raises(ModelFolderError, match=r"config.json: asks for code by .*models bring no code"):
        load_audio_encoder(folder)


def test_an_adapter_s_config_leads_nowhere(folder: Path, tmp_path: Path) -> None:
    expected = load_audio_encoder(folder).fingerprint()
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "elsewhere")})
    )
    assert load_audio_encoder(folder).fingerprint() == expected


@pytest.mark.parametrize(
    "settings",
    [
        *({"hidden_size": 10**9}, {"num_hidden_layers": 10**6}, {"conv_dim": [8192] * 7}, {"conv_dim": [[1]]}),
        *({"hidden_size": "16"}, {"num_attention_heads": 3}, {"conv_stride": [1]}, {"conv_kernel": []}),
        *({"hidden_act": "__import__"}, {"add_adapter": True}, {"adapter_attn_dim": 16}, {"torch_dtype": "__class__"}),
        *({"layer_norm_eps": "x"}, {"vocab_size": 10**30}, {"id2label": {str(place): "x" for place in range(2000)}}),
        {"intermediate_size": 64},
    ],
)
def test_settings_that_no_wav2vec2_of_these_weights_has_are_refused(folder: Path, settings: dict[str, Any]) -> None:
    change(folder, **settings)
    with pytest.raises(ModelFolderError, match="/encoder"):
        load_audio_encoder(folder)


@pytest.mark.parametrize(
    "settings", [{"sampling_rate": 8000}, {"fps": 0}, {"fps": "25"}, {"do_normalize": 3}, {"rate": ["states"]}]
)
def test_a_preprocessor_s_settings_are_checked(folder: Path, settings: dict[str, Any]) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": 1, **settings}))
    with pytest.raises(ModelFolderError, match=r"preprocessor_config.json: "):
        load_audio_encoder(folder)


@pytest.mark.parametrize("kind", [["wav2vec2"], {"a": 1}, 3, None, "\x1b[2J"])
def test_a_kind_that_is_none_is_named_plainly(folder: Path, kind: object) -> None:
    change(folder, kind=kind, model_type=kind)
    with pytest.raises(ValueError, match="no audio encoder named") as caught:
        load_audio_encoder(folder)
    assert str(caught.value).isprintable()


def test_weights_that_are_missing_are_told_not_drawn(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    large = next(name for name in weights if name.endswith("layers.0.attention.k_proj.weight"))
    weights["other"] = weights.pop(large)
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ModelFolderError, match=r"lacks 1 weights of wav2vec2, as .*k_proj.weight"):
        load_audio_encoder(folder)


def test_links_and_pickles_are_not_read(folder: Path, tmp_path: Path) -> None:
    os.rename(folder / "model.safetensors", tmp_path / "elsewhere")
    (folder / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelFolderError, match=r"model.safetensors: is a link"):
        load_audio_encoder(folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"no \.safetensors weights"):
        load_audio_encoder(folder)
