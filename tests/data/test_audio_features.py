"""Audio encoders: shapes, timing, independence of batch and length, and round trips."""

import json
from pathlib import Path

import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2Model

from fada.data.audio.features import LogMelEncoder, Wav2Vec2Encoder, load_audio_encoder, window_states


@pytest.fixture(scope="module")
def wav2vec2() -> Wav2Vec2Encoder:
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        vocab_size=8,
    )
    return Wav2Vec2Encoder(Wav2Vec2Model(config))


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(seed))


def test_log_mel_shape_is_bins_times_moments() -> None:
    encoder = LogMelEncoder(bins=20, frames_per_video_frame=4)
    states = encoder(noise(6400).repeat(2, 1), 10)
    assert states.shape == (2, 10, 1, 80)
    assert (encoder.layers, encoder.states_dim) == (1, 80)


def test_log_mel_of_a_click_lies_in_its_video_frame() -> None:
    audio = torch.zeros(1, 6400)
    audio[0, 5 * 640 + 320] = 1.0
    energy = LogMelEncoder()(audio, 10).mean((0, 2, 3))
    assert energy.argmax() == 5
    torch.testing.assert_close(energy[[3, 7]], energy[[0, 0]])


def test_log_mel_moments_within_a_frame_are_in_order() -> None:
    audio = torch.zeros(1, 640)
    audio[0, 160 * 2 + 80] = 1.0
    moments = LogMelEncoder(bins=8)(audio, 1).reshape(4, 8).mean(1)
    assert moments.argmax() == 2


def test_log_mel_of_a_tone_is_highest_in_its_band() -> None:
    time = torch.arange(16000) / 16000
    encoder = LogMelEncoder()
    heights = [
        encoder(0.1 * torch.sin(2 * torch.pi * tone * time)[None], 25)[0, 12, 0].reshape(4, 32).mean(0).argmax().item()
        for tone in (200.0, 600.0, 1800.0, 5000.0)
    ]
    assert heights == sorted(set(heights))


def test_log_mel_ten_times_louder_is_two_decades_higher() -> None:
    encoder = LogMelEncoder()
    quiet, loud = encoder(noise(6400), 10), encoder(10 * noise(6400), 10)
    torch.testing.assert_close((loud - quiet).median() * 1.2, torch.tensor(2.0), atol=0.05, rtol=0)


@pytest.mark.parametrize("samples", [0, 100, 6399, 6400, 9000])
def test_log_mel_takes_audio_of_any_length(samples: int) -> None:
    assert LogMelEncoder()(noise(samples), 10).shape == (1, 10, 1, 128)


def test_log_mel_refuses_hops_that_are_no_whole_samples() -> None:
    with pytest.raises(ValueError, match=r"3 spectra per video frame at 25\.0 frames/s do not divide 16000 Hz"):
        LogMelEncoder(frames_per_video_frame=3)


def test_audio_without_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"audio must be \(batch, samples\), got shape \(640,\)"):
        LogMelEncoder()(torch.zeros(640), 1)


def test_log_mel_comes_back_from_its_folder(tmp_path: Path) -> None:
    encoder = LogMelEncoder(bins=16)
    encoder.save_pretrained(tmp_path)
    back = load_audio_encoder(tmp_path)
    assert isinstance(back, LogMelEncoder)
    assert back.fingerprint() == encoder.fingerprint() != LogMelEncoder().fingerprint()
    torch.testing.assert_close(back(noise(6400), 10), encoder(noise(6400), 10))


def test_wav2vec2_gives_all_layers_at_video_rate(wav2vec2: Wav2Vec2Encoder) -> None:
    states = wav2vec2(noise(25 * 640), 25)
    assert states.shape == (1, 25, 3, 16)
    assert (wav2vec2.layers, wav2vec2.states_dim) == (3, 16)


def test_wav2vec2_interpolates_between_the_two_nearest_tokens(wav2vec2: Wav2Vec2Encoder) -> None:
    # Token j is centred on sample 200 + 320 j, frame f on 320 + 640 f: position 2 f + 0.375.
    audio = noise(10 * 640)
    normal = (audio - audio.mean()) / torch.sqrt(audio.var(correction=0) + 1e-7)
    with torch.no_grad():
        tokens = wav2vec2.model(normal, output_hidden_states=True).hidden_states[2]
    expected = tokens[0, 8] * (1 - 0.375) + tokens[0, 9] * 0.375
    torch.testing.assert_close(wav2vec2(audio, 10)[0, 4, 1], expected)


def test_wav2vec2_in_pieces_is_close_to_whole(wav2vec2: Wav2Vec2Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = noise(60 * 640)
    whole = wav2vec2(audio, 60)
    monkeypatch.setattr(Wav2Vec2Encoder, "piece_frames", 20)
    monkeypatch.setattr(Wav2Vec2Encoder, "context_frames", 15)
    pieces = wav2vec2(audio, 60)
    assert pieces.shape == whole.shape
    assert (pieces - whole).abs().mean() < 0.15 * whole.std()


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_wav2vec2_takes_very_short_audio(wav2vec2: Wav2Vec2Encoder, frames: int) -> None:
    states = wav2vec2(noise(100), frames)
    assert states.shape == (1, frames, 3, 16)
    assert torch.isfinite(states).all()


def test_wav2vec2_stays_frozen_and_without_dropout(wav2vec2: Wav2Vec2Encoder) -> None:
    wav2vec2.train()
    torch.testing.assert_close(wav2vec2(noise(6400), 10), wav2vec2(noise(6400), 10), rtol=0, atol=0)
    assert not any(parameter.requires_grad for parameter in wav2vec2.parameters())


def test_wav2vec2_comes_back_from_its_folder(wav2vec2: Wav2Vec2Encoder, tmp_path: Path) -> None:
    wav2vec2.save_pretrained(tmp_path)
    back = load_audio_encoder(tmp_path)
    assert isinstance(back, Wav2Vec2Encoder)
    assert back.fingerprint() == wav2vec2.fingerprint()
    torch.testing.assert_close(back(noise(6400), 10), wav2vec2(noise(6400), 10))


def test_wav2vec2_fingerprint_changes_with_the_weights(wav2vec2: Wav2Vec2Encoder, tmp_path: Path) -> None:
    wav2vec2.save_pretrained(tmp_path)
    other = Wav2Vec2Encoder.from_pretrained(tmp_path)
    next(other.model.parameters()).data += 1e-3
    assert other.fingerprint() != wav2vec2.fingerprint()


def test_wav2vec2_refuses_pickled_weights(wav2vec2: Wav2Vec2Encoder, tmp_path: Path) -> None:
    wav2vec2.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"no \.safetensors weights"):
        load_audio_encoder(tmp_path)


def test_unknown_encoders_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "hubert"}))
    with pytest.raises(ValueError, match="no audio encoder named 'hubert'; choose from log_mel, wav2vec2, whisper"):
        load_audio_encoder(tmp_path)


def test_a_folder_without_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json: no such file"):
        load_audio_encoder(tmp_path)


def test_windows_hold_the_neighbours_and_repeat_the_ends() -> None:
    states = torch.arange(4.0).reshape(1, 4, 1, 1)
    windows = window_states(states, radius=2)
    assert windows.shape == (1, 4, 5, 1, 1)
    assert windows[0, :, :, 0, 0].tolist() == [[0, 0, 0, 1, 2], [0, 0, 1, 2, 3], [0, 1, 2, 3, 3], [1, 2, 3, 3, 3]]
