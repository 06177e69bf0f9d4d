"""Whisper's encoder at the video's rate: a frame's tokens, windows of long sound, folders, streams."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from fada.assembly.models import audio_encoder
from fada.data.audio.features import WhisperAudioEncoder, load_audio_encoder
from fada.data.audio.stream import AudioStates
from fada.pretrained.errors import ModelFolderError
from fada.recipe.sections.data import Audio

SECONDS = 2
"""Of a small model's windows: 50 frames, of which it shares 8 with the next."""
SMALL = {"d_model": 16, "encoder_layers": 3, "encoder_attention_heads": 2, "encoder_ffn_dim": 24, "num_mel_bins": 20,
         "max_source_positions": 50 * SECONDS, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 8,
         "vocab_size": 12, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
         "suppress_tokens": [], "begin_suppress_tokens": []}  # fmt: skip


def small_model() -> WhisperEncoder:
    torch.manual_seed(0)
    return WhisperEncoder(WhisperConfig(**SMALL)).eval()


@pytest.fixture(scope="module")
def whisper() -> WhisperAudioEncoder:
    return WhisperAudioEncoder(small_model())


def noise(samples: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def tokens_of(model: WhisperEncoder, audio: Tensor) -> tuple[Tensor, ...]:
    """Each layer's tokens (1, T, dim) of one window, by transformers alone."""
    extractor = WhisperFeatureExtractor(feature_size=20, chunk_length=SECONDS)
    features = extractor(audio[0].numpy(), sampling_rate=16000, return_tensors="pt").input_features
    return model(features, output_hidden_states=True).hidden_states


def test_a_frame_has_the_token_of_its_middle_of_every_layer(whisper: WhisperAudioEncoder) -> None:
    audio = noise(30 * 640)
    _, *layers = tokens_of(whisper.model, audio)
    states = whisper(audio, 30)
    assert states.shape == (1, 30, whisper.layers, whisper.states_dim) == (1, 30, 3, 16)
    for number, tokens in enumerate(layers):
        torch.testing.assert_close(states[0, :, number], tokens[0, 1:60:2])


def test_pairs_are_the_last_layers_tokens_two_by_two() -> None:
    pairs = WhisperAudioEncoder(small_model(), rate="pairs")
    audio = noise(30 * 640)
    expected = tokens_of(pairs.model, audio)[-1][0, :60].reshape(30, 2, 16)
    assert pairs.layers == 2
    torch.testing.assert_close(pairs(audio, 30)[0], expected)


def test_at_another_rate_a_frame_lies_between_two_tokens() -> None:
    slow = WhisperAudioEncoder(small_model(), fps=20.0)
    audio = noise(10 * 800)
    tokens = tokens_of(slow.model, audio)[2][0]
    # The middle of frame 3 is at 0.175 s: between tokens 8 and 9, at 0.16 and 0.18 s.
    torch.testing.assert_close(slow(audio, 10)[0, 3, 1], tokens[8] / 4 + tokens[9] * 3 / 4, rtol=1e-4, atol=1e-5)


def test_every_sound_of_a_batch_is_heard_by_itself(whisper: WhisperAudioEncoder) -> None:
    loud, quiet = noise(6400), 0.01 * noise(6400, 1)
    both = whisper(torch.cat([loud, quiet]), 10)
    torch.testing.assert_close(both, torch.cat([whisper(loud, 10), whisper(quiet, 10)]))


def test_a_window_has_as_many_whole_frames_as_fit_into_its_seconds() -> None:
    fits = {fps: WhisperAudioEncoder(small_model(), fps=fps).window_frames for fps in (25.0, 24.6, 29.97)}
    assert fits == {25.0: 50, 24.6: 49, 29.97: 59}


@pytest.mark.parametrize(("frames", "windows"), [(1, 1), (42, 1), (43, 2), (84, 2), (85, 3)])
def test_windows_begin_as_often_as_sound_goes_on(whisper: WhisperAudioEncoder, frames: int, windows: int) -> None:
    heard: list[int] = []
    hook = whisper.model.register_forward_pre_hook(lambda _, args: heard.append(args[0].shape[-1]))
    try:
        assert whisper(noise(100), frames).shape == (1, frames, 3, 16)
    finally:
        hook.remove()
    assert heard == [100 * SECONDS] * windows


def test_states_go_over_from_one_window_to_the_next(whisper: WhisperAudioEncoder) -> None:
    audio = noise(120 * 640)
    states = whisper(audio, 120)
    earlier, later = (
        torch.stack(tokens_of(whisper.model, audio[:, start * 640 : (start + 50) * 640])[1:], 2)[:, 1:100:2]
        for start in (0, 42)
    )
    torch.testing.assert_close(states[:, :42], earlier[:, :42])
    for frame in range(8):
        share = (frame + 0.5) / 8
        expected = (1 - share) * earlier[:, 42 + frame] + share * later[:, frame]
        torch.testing.assert_close(states[:, 42 + frame], expected)
    torch.testing.assert_close(states[:, 50:84], later[:, 8:42])


def test_no_step_between_frames_is_larger_where_windows_change(whisper: WhisperAudioEncoder) -> None:
    steady = torch.sin(torch.arange(200 * 640) * (2 * torch.pi * 200 / 16000))[None]
    states = whisper(steady, 200)
    steps = (states[:, 1:] - states[:, :-1]).norm(dim=-1).amax((0, 2))
    apart = (whisper(steady, 50)[:, 42:50] - whisper(steady, 8)).norm(dim=-1).amax((0, 2)).min()
    inside, across = steps[4:38].max(), steps[41:51].max()
    assert across < inside + apart / 4


def test_where_a_stream_hears_from_never_goes_back(whisper: WhisperAudioEncoder) -> None:
    starts = [whisper.first_heard(frame) for frame in range(140)]
    assert starts == [0] * 50 + [42] * 42 + [84] * 42 + [126] * 6


@pytest.mark.parametrize("piece", [500, 7000])
def test_a_stream_has_the_windows_of_the_whole_sound(whisper: WhisperAudioEncoder, piece: int) -> None:
    audio = noise(150 * 640)
    cut = [audio[0, at : at + piece].numpy() for at in range(0, audio.shape[1], piece)]

    def streamed(look_ahead: int) -> Tensor:
        states = AudioStates(whisper, iter(cut), 25.0, look_ahead=look_ahead)
        windows = [states.windows(start, 10, 0) for start in range(0, 150, 10)]
        assert len(states._kept[0]) < 70 * 640
        return torch.cat([window[:, 0] for window in windows if window is not None])

    whole = whisper(audio, 150)[0]
    torch.testing.assert_close(streamed(50), whole, rtol=1e-4, atol=1e-5)
    assert (streamed(5) - whole).abs().mean() < 0.2 * whole.std()


def test_it_stays_frozen_and_without_dropout() -> None:
    config = WhisperConfig(**SMALL, dropout=0.5, encoder_layerdrop=0.5)
    encoder = WhisperAudioEncoder(WhisperEncoder(config))
    encoder.train()
    torch.testing.assert_close(encoder(noise(6400), 10), encoder(noise(6400), 10), rtol=0, atol=0)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_a_pairs_folder_comes_back(tmp_path: Path) -> None:
    encoder = WhisperAudioEncoder(small_model(), fps=30.0, rate="pairs")
    encoder.save_pretrained(tmp_path)
    back = load_audio_encoder(tmp_path)
    assert isinstance(back, WhisperAudioEncoder)
    assert (back.rate, back.fps) == ("pairs", 30.0)
    assert back.fingerprint() == encoder.fingerprint()
    torch.testing.assert_close(back(noise(6400), 10), encoder(noise(6400), 10), rtol=0, atol=0)


def test_the_fingerprint_knows_rate_frame_rate_heads_and_weights() -> None:
    model = small_model()
    found = {WhisperAudioEncoder(model).fingerprint(), WhisperAudioEncoder(model, rate="pairs").fingerprint()}
    # As many frames in a window as at 25.
    found.add(WhisperAudioEncoder(model, fps=25.1).fingerprint())
    other = WhisperEncoder(WhisperConfig(**SMALL | {"encoder_attention_heads": 4}))
    other.load_state_dict(model.state_dict())
    found.add(WhisperAudioEncoder(other).fingerprint())
    other = small_model()
    other.layers[1].fc1.bias.data += 1e-3
    found.add(WhisperAudioEncoder(other).fingerprint())
    assert len(found) == 5


@pytest.mark.parametrize("kind", [WhisperForConditionalGeneration, WhisperModel, WhisperEncoder])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_folders_of_transformers_give_their_encoder(tmp_path: Path, kind: Any, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = kind(WhisperConfig(**SMALL)).to(dtype)
    model.save_pretrained(tmp_path)
    WhisperFeatureExtractor(feature_size=20, chunk_length=SECONDS).save_pretrained(tmp_path)
    encoder = load_audio_encoder(tmp_path)
    own = model if kind is WhisperEncoder else model.get_encoder()
    assert encoder.dtype == torch.float32
    torch.testing.assert_close(encoder(noise(6400), 10), WhisperAudioEncoder(own.float())(noise(6400), 10))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    WhisperForConditionalGeneration(WhisperConfig(**SMALL)).save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def change(folder: Path, **settings: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


@pytest.mark.parametrize(
    "settings",
    [
        *({"d_model": 10**9}, {"d_model": "16"}, {"d_model": 17}, {"encoder_layers": 10**6}, {"encoder_layers": 4}),
        *({"encoder_attention_heads": 3}, {"encoder_ffn_dim": 48}, {"num_mel_bins": 0}, {"num_mel_bins": 80}),
        *({"max_source_positions": 99}, {"max_source_positions": 150}, {"max_source_positions": 10**6}),
        *({"activation_function": "__import__"}, {"activation_function": ["gelu"]}),
    ],
)
def test_settings_that_no_whisper_of_these_weights_has_are_refused(folder: Path, settings: dict[str, Any]) -> None:
    change(folder, **settings)
    with pytest.raises(ModelFolderError, match="/encoder"):
        load_audio_encoder(folder)


def test_windows_of_broken_seconds_are_refused(tmp_path: Path) -> None:
    WhisperEncoder(WhisperConfig(**SMALL | {"max_source_positions": 120})).save_pretrained(tmp_path)
    with pytest.raises(ModelFolderError, match=r"max_source_positions: .* multiple of 50, got 120"):
        load_audio_encoder(tmp_path)


def test_what_a_config_asks_for_beside_is_not_followed(folder: Path) -> None:
    expected = load_audio_encoder(folder).fingerprint()
    change(folder, auto_map={"AutoModel": "evil.Evil"}, _attn_implementation="someone/kernels", dtype="__class__")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "elsewhere"}))
    assert load_audio_encoder(folder).fingerprint() == expected


def test_a_missing_weight_is_named_and_files_without_encoder_too(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    name = "model.encoder.layers.1.fc2.bias"
    save_file({key: value for key, value in weights.items() if key != name}, file, metadata={"format": "pt"})
    with pytest.raises(ModelFolderError, match=rf"encoder: lacks {name} of Whisper's encoder"):
        load_audio_encoder(folder)
    save_file({key: value for key, value in weights.items() if "encoder" not in key}, file)
    with pytest.raises(ModelFolderError, match="holds no weights of Whisper's encoder"):
        load_audio_encoder(folder)


@pytest.mark.parametrize(("rate", "expected"), [(None, "pairs"), ("states", "states")])
def test_a_recipe_takes_the_folders_rate_or_its_own(tmp_path: Path, rate: str | None, expected: str) -> None:
    WhisperAudioEncoder(small_model(), rate="pairs").save_pretrained(tmp_path)
    built = audio_encoder(Audio.model_validate({"kind": "whisper", "path": tmp_path, "rate": rate}), 30.0)
    assert isinstance(built, WhisperAudioEncoder)
    assert (built.fps, built.rate) == (30.0, expected)


def test_a_rate_that_it_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"audio\.path: a whisper folder is needed when audio\.kind is whisper"):
        Audio(kind="whisper")
    with pytest.raises(ValueError, match=r"audio\.rate: whisper has no features, .*; choose states or pairs"):
        Audio(kind="whisper", path=tmp_path, rate="features")
    WhisperAudioEncoder(small_model()).save_pretrained(tmp_path)
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "rate": "features"}))
    with pytest.raises(ValueError, match="rate: nothing of Whisper is named 'features'; choose from states, pairs"):
        load_audio_encoder(tmp_path)


def test_silence_is_finite(whisper: WhisperAudioEncoder) -> None:
    assert torch.isfinite(whisper(torch.from_numpy(np.zeros((1, 640), np.float32)), 1)).all()
