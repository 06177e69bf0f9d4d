"""wav2vec2 brought to video rate before its transformer, as Hallo does it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import Wav2Vec2Config, Wav2Vec2Model

from fada.assembly.models import audio_encoder
from fada.data.audio.features import Wav2Vec2Encoder, load_audio_encoder
from fada.data.audio.stream import AudioStates
from fada.data.sampling.dataset import audio_windows as windows_of_frames
from fada.recipe.sections.data import Audio
from fada.teacher.v_express.audio_projection import audio_windows as v_express_windows


def small_model() -> Wav2Vec2Model:
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
    return Wav2Vec2Model(config).eval()


@pytest.fixture(scope="module")
def encoder() -> Wav2Vec2Encoder:
    return Wav2Vec2Encoder(small_model(), rate="features")


def noise(samples: int) -> Tensor:
    return 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def by_hand(model: Wav2Vec2Model, audio: Tensor, frames: int) -> Tensor:
    """States (1, frames, layers, dim), step by step: convolutions, straight lines in between, transformer."""
    normal = (audio - audio.mean()) / torch.sqrt(audio.var(correction=0) + 1e-7)
    features = model.feature_extractor(normal)[0].double().numpy()
    places = np.linspace(0, features.shape[1] - 1, frames)
    lines = [np.interp(places, np.arange(features.shape[1]), channel) for channel in features]
    hidden, _ = model.feature_projection(torch.from_numpy(np.stack(lines, axis=1)).float()[None])
    hidden = model.encoder.layer_norm(hidden + model.encoder.pos_conv_embed(hidden))
    states = []
    for layer in model.encoder.layers:
        hidden = layer(hidden)
        states.append(hidden[0] if isinstance(hidden, tuple) else hidden)
    return torch.stack(states, dim=2)


@pytest.mark.parametrize("frames", [1, 2, 13, 60])
def test_features_at_video_rate_are_the_formula_run_by_hand(encoder: Wav2Vec2Encoder, frames: int) -> None:
    audio = noise(frames * 640)
    torch.testing.assert_close(encoder(audio, frames), by_hand(encoder.model, audio, frames), rtol=0, atol=1e-5)


def test_the_two_rates_are_not_the_same(encoder: Wav2Vec2Encoder) -> None:
    audio = noise(10 * 640)
    assert not torch.allclose(encoder(audio, 10), Wav2Vec2Encoder(encoder.model)(audio, 10), atol=0.1)


def test_the_model_is_left_as_it_was(encoder: Wav2Vec2Encoder) -> None:
    plain = Wav2Vec2Encoder(encoder.model)
    before = plain(noise(6400), 10)
    encoder(noise(3200), 5)
    torch.testing.assert_close(plain(noise(6400), 10), before, rtol=0, atol=0)


def test_a_piece_of_longer_sound_lies_at_the_same_moments(
    encoder: Wav2Vec2Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = noise(60 * 640)
    whole = encoder(audio, 60)
    monkeypatch.setattr(Wav2Vec2Encoder, "piece_frames", 20)
    monkeypatch.setattr(Wav2Vec2Encoder, "context_frames", 15)
    pieces = encoder(audio, 60)
    error = (pieces - whole).abs().mean()
    assert error < 0.15 * whole.std()
    assert error < 0.5 * (pieces[:, 1:] - whole[:, :-1]).abs().mean()


def test_a_stream_gives_the_states_of_the_whole_sound(encoder: Wav2Vec2Encoder) -> None:
    audio = noise(12 * 640)
    states = AudioStates(encoder, np.split(audio[0].numpy(), 6), fps=25)
    windows = [states.windows(start, 4, 0) for start in (0, 4, 8)]
    together = torch.cat([window[:, 0] for window in windows if window is not None])
    torch.testing.assert_close(together, encoder(audio, 12)[0], rtol=0, atol=1e-5)


def test_the_rate_is_saved_and_can_be_chosen(encoder: Wav2Vec2Encoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    back = load_audio_encoder(tmp_path)
    assert isinstance(back, Wav2Vec2Encoder)
    assert back.rate == "features"
    assert back.fingerprint() == encoder.fingerprint()
    assert Wav2Vec2Encoder.from_pretrained(tmp_path, "states").rate == "states"


def test_a_folder_that_says_nothing_has_states(encoder: Wav2Vec2Encoder, tmp_path: Path) -> None:
    encoder.model.save_pretrained(tmp_path)
    assert Wav2Vec2Encoder.from_pretrained(tmp_path).rate == "states"
    assert Wav2Vec2Encoder.from_pretrained(tmp_path, "features").rate == "features"


def test_an_unknown_rate_is_refused(encoder: Wav2Vec2Encoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "rate": "tokens"}))
    with pytest.raises(ValueError, match="rate: nothing of wav2vec2 is named 'tokens'; choose from states, features"):
        load_audio_encoder(tmp_path)


def test_states_keep_the_fingerprint_that_they_had_before_there_was_a_choice(encoder: Wav2Vec2Encoder) -> None:
    digest = hashlib.sha256(repr((25.0, True, 750, 50)).encode())
    digest.update(json.dumps(encoder.model.config.to_diff_dict(), sort_keys=True, default=str).encode())
    for name, tensor in sorted(encoder.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    assert Wav2Vec2Encoder(encoder.model).fingerprint() == digest.hexdigest()[:16] != encoder.fingerprint()


@pytest.mark.parametrize(("rate", "expected"), [(None, "features"), ("states", "states")])
def test_a_recipe_takes_the_folders_rate_or_its_own(
    encoder: Wav2Vec2Encoder, tmp_path: Path, rate: str | None, expected: str
) -> None:
    encoder.save_pretrained(tmp_path)
    built = audio_encoder(Audio.model_validate({"kind": "wav2vec2", "path": tmp_path, "rate": rate}), 30.0)
    assert built.fps == 30.0
    assert isinstance(built, Wav2Vec2Encoder)
    assert built.rate == expected


def test_log_mel_has_no_rate() -> None:
    with pytest.raises(ValueError, match=r"audio\.rate: log_mel has none; leave it out, or set audio\.kind=wav2vec2"):
        Audio(rate="features")


@torch.no_grad()
def test_pairs_are_two_states_of_the_last_layer_per_frame_stretched_over_the_sound() -> None:
    encoder = Wav2Vec2Encoder(small_model(), rate="pairs")
    audio, frames = noise(13 * 640), 13
    found = encoder(audio, frames)
    assert (encoder.layers, tuple(found.shape)) == (2, (1, frames, 2, 16))
    normal = (audio - audio.mean()) / torch.sqrt(audio.var(correction=0) + 1e-7)
    states = encoder.model(normal).last_hidden_state
    # Frame by frame, away from the ends, a window of them is what V-Express's own code cuts out of the same states.
    theirs = v_express_windows(states, frames)
    ours = windows_of_frames(found[0], 0, frames, 2).flatten(1, 2)
    torch.testing.assert_close(ours[2:-2], theirs[0, 2:-2])
    # At the ends frames that are not there are the first and last ones again; V-Express has zeros.
    torch.testing.assert_close(ours[0, :4], found[0, :1].repeat(2, 1, 1).flatten(0, 1))
    assert not theirs[0, 0, :4].any()
    torch.testing.assert_close(ours[0, 4:], theirs[0, 0, 4:])
    assert not theirs[0, -1, 6:].any()


@torch.no_grad()
def test_pairs_of_sound_shorter_than_a_state_are_there() -> None:
    assert Wav2Vec2Encoder(small_model(), fps=100.0, rate="pairs")(noise(160), 1).shape == (1, 1, 2, 16)


def test_a_folder_says_that_it_makes_pairs(tmp_path: Path) -> None:
    encoder = Wav2Vec2Encoder(small_model(), fps=30.0, rate="pairs")
    encoder.save_pretrained(tmp_path)
    again = load_audio_encoder(tmp_path)
    assert isinstance(again, Wav2Vec2Encoder)
    assert (again.rate, again.fps, again.layers) == ("pairs", 30.0, 2)
    assert again.fingerprint() == encoder.fingerprint()
    assert again.fingerprint() != Wav2Vec2Encoder(encoder.model, fps=30.0).fingerprint()
