"""One voice or two: which stretch is set against which rest, what the network hears, and (with it) public figures."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fada.data.scores import Models, VoiceError, VoiceLikeness, load_thresholds, score_folder, voice
from fada.data.scores.voice import VoiceEncoder, least_likeness, speech_of
from fada.data.world import make_world
from fada.eval.instruments.conversion import voice_encoder_weights
from fada.eval.instruments.packages import PACKAGES, plan, write
from fada.files.manifest import hash_file
from fada.pretrained.errors import ModelFolderError
from fada.pretrained.weights import NotOnlyTensors, read_pickle

RATE = 16_000
A, B = np.array([1.0, 0.0]), np.array([0.6, 0.8])


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "voice_encoder.safetensors"
    save_file(VoiceEncoder().state_dict(), path)
    monkeypatch.setattr(voice, "PUBLISHED", hash_file(path))
    return path


@pytest.mark.parametrize(
    ("windows", "least"),
    [
        ([A] * 6, 1.0),
        ([A] * 3 + [B] * 3, 0.6),
        ([B] * 3 + [A] * 5, 0.6),
        ([A] * 5 + [B] * 3, 0.6),
        ([A] * 4 + [B] * 3 + [A] * 2, 0.6),
        # A longer stretch than three, and two at both ends that are the rest of what lies between.
        ([A] * 2 + [B] * 5 + [A], 0.6),
        # Only one window is another's: three in a row with it, 2 A + B, against 3 A.
        ([A] * 5 + [B], 2.6 / np.hypot(2.6, 0.8)),
        ([B] + [A] * 5, 2.6 / np.hypot(2.6, 0.8)),
    ],
)
def test_the_likeness_is_that_of_the_stretch_which_is_least_like_the_rest(windows: list, least: float) -> None:
    assert least_likeness(np.array(windows)) == pytest.approx(least)


def test_too_little_speech_has_none() -> None:
    assert least_likeness(np.array([A] * 5)) is None
    assert least_likeness(np.zeros((0, 2))) is None


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=round(seconds * RATE))).astype(np.float32)


def test_windows_are_160_spectra_long_and_begin_40_apart() -> None:
    torch.manual_seed(0)
    encoder = VoiceEncoder().eval()
    sound = noise(3.0)
    found = encoder.embed(sound)
    # 301 spectra: windows at 0, 40, 80 and 120.
    assert found.shape == (4, 256)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))
    # What comes after a window changes nothing, and 0.4 s later the second one is the first, but for its edge.
    torch.testing.assert_close(encoder.embed(sound[: 6400 + 25_840])[1], found[1])
    assert (found @ encoder.embed(sound[6400:])[0]).argmax() == 1


@pytest.mark.parametrize(("samples", "windows"), [(0, 0), (400, 0), (25_439, 0), (25_440, 1), (31_840, 2)])
def test_speech_shorter_than_a_window_has_no_embedding(samples: int, windows: int) -> None:
    assert len(VoiceEncoder().embed(np.zeros(samples, np.float32) + 0.1)) == windows


def test_a_tone_is_loudest_in_its_band() -> None:
    heard: list[torch.Tensor] = []
    encoder = VoiceEncoder()
    encoder.lstm.register_forward_pre_hook(lambda _, args: heard.append(args[0]))
    for tone in (300, 1000, 5000):
        encoder.embed((0.1 * np.sin(2 * np.pi * tone * np.arange(2 * RATE) / RATE)).astype(np.float32))
    bands = [int(spectra[0, 80].argmax()) for spectra in heard]
    # Slaney's scale: 200/3 Hz per mel below 1 kHz, 27 mels per factor of 6.4 above; 41 steps up to 8 kHz.
    top = 15 + 27 * np.log(8) / np.log(6.4)
    mels = [300 * 3 / 200, 15, 15 + 27 * np.log(5) / np.log(6.4)]
    assert bands == [round(mel / top * 41) - 1 for mel in mels]


def test_spectra_are_powers_of_pieces_with_silence_before_the_first() -> None:
    heard: list[torch.Tensor] = []
    encoder = VoiceEncoder()
    encoder.lstm.register_forward_pre_hook(lambda _, args: heard.append(args[0]))
    sound = noise(1.7)
    assert (encoder.embed(sound) >= 0).all()
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    for place, piece in ((0, np.concatenate([np.zeros(200), sound[:200]])), (3, sound[280:680])):
        power = np.abs(np.fft.rfft(piece * hann)) ** 2
        np.testing.assert_allclose(heard[0][0, place], power @ encoder.filters.numpy(), rtol=1e-3)
    # The last filter goes up to half the rate.
    assert encoder.filters[199, -1] > 0


def test_only_what_is_spoken_is_heard_and_quiet_sounds_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[np.ndarray] = []

    def parts(audio: np.ndarray) -> list[tuple[int, int]]:
        asked.append(audio)
        return [(10, 20), (50, 55)]

    monkeypatch.setattr(voice, "spoken_parts", parts)
    loud, quiet = np.full(100, 0.5, np.float32), np.linspace(-0.001, 0.001, 100, dtype=np.float32)
    assert np.array_equal(speech_of(loud), loud[:15])
    raised = speech_of(quiet)
    assert 20 * np.log10(np.sqrt(np.mean(asked[1] ** 2))) == pytest.approx(-30, abs=1e-3)
    assert np.array_equal(raised, np.concatenate([asked[1][10:20], asked[1][50:55]]))
    monkeypatch.setattr(voice, "spoken_parts", lambda audio: [])
    assert len(speech_of(np.zeros(100, np.float32))) == len(speech_of(np.zeros(0, np.float32))) == 0


def test_its_score_stands_beside_the_others_and_makes_earlier_ones_stale(
    stub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_world(tmp_path / "world", clips=1, size=48, frames=100)
    before = score_folder(tmp_path / "world")
    assert next(iter(before.scores.values()))["voice_likeness"] is None
    assert next(iter(before.unmeasured.values())).get("voice_likeness") is None
    monkeypatch.setattr(voice, "spoken_parts", lambda audio: [(0, len(audio))])
    scored = score_folder(tmp_path / "world", Models(voices=stub))
    assert scored.measured == 1
    assert 0 < next(iter(scored.scores.values()))["voice_likeness"] <= 1
    assert score_folder(tmp_path / "world", Models(voices=stub)).measured == 0


def test_of_too_little_speech_the_table_says_why(stub: Path, tmp_path: Path) -> None:
    make_world(tmp_path / "world", clips=1, size=48, frames=30)
    scored = score_folder(tmp_path / "world", Models(voices=stub))
    assert next(iter(scored.scores.values()))["voice_likeness"] is None
    assert next(iter(scored.unmeasured.values()))["voice_likeness"].startswith("under 3.6 s of speech")


def test_models_have_absolute_paths_where_others_need_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    models = Models(Path("a"), "piqe", None, Path("b"), Path("c"), Path("d")).absolute()
    assert models == Models(tmp_path / "a", "piqe", None, tmp_path / "b", tmp_path / "c", tmp_path / "d")


def test_thresholds_know_it(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("sync:\n  voice_likeness: {min: 0.8}\n")
    limits = load_thresholds(tmp_path / "own.yaml")
    assert limits.failed({"voice_likeness": 0.79}) == ["voice_likeness"]
    assert limits.failed({"voice_likeness": 0.81}) == limits.failed({}) == []


def test_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match=r"--voices .*none: no such file; make it with fada weights get voices"):
        VoiceLikeness(tmp_path / "none")
    (tmp_path / "a").write_bytes(b"nothing")
    with pytest.raises(VoiceError, match="its SHA-256 begins 1785cfc3bc6a, the known one a5d4776b403b"):
        Models(voices=tmp_path / "a").identity()


def test_a_checkpoint_becomes_the_network_and_nothing_more() -> None:
    torch.manual_seed(0)
    state = VoiceEncoder().state_dict()
    more = {"similarity_weight": torch.ones(1)}
    found = voice_encoder_weights({"step": 3, "model_state": {**state, **more}, "optimizer_state": {}})
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)
    for wrong in ({}, {"model_state": []}, [], {"model_state": state | {"linear.bias": torch.zeros(3)}}):
        with pytest.raises(ModelFolderError, match=r"Resemblyzer: .*; fetch the package again"):
            voice_encoder_weights(wrong)


def test_a_pickle_in_memory_runs_nothing(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "good.pt")
    content = (tmp_path / "good.pt").read_bytes()
    assert read_pickle(Path("p.pt"), content)["a"].tolist() == [1, 1]
    torch.save({"a": Path}, tmp_path / "bad.pt")
    with pytest.raises(NotOnlyTensors, match=r"p\.pt: holds more than tensors"):
        read_pickle(Path("p.pt"), (tmp_path / "bad.pt").read_bytes())
    with pytest.raises(ModelFolderError, match=r"p\.pt: "):
        read_pickle(Path("p.pt"), content[:100])


def test_the_published_network_says_what_resemblyzer_says(tmp_path: Path) -> None:
    package = os.environ.get("FADA_RESEMBLYZER")
    if not package:
        pytest.skip("FADA_RESEMBLYZER names no package resemblyzer 0.1.4")
    write(plan(PACKAGES["voices"], [Path(package)], tmp_path))
    encoder = VoiceLikeness(tmp_path / "voice_encoder.safetensors").encoder
    time = np.arange(5 * RATE) / RATE
    sweep = time * (1 + 0.02 * np.sin(2 * np.pi * 2 * time))
    tones = sum(0.1 / number * np.sin(2 * np.pi * 140 * number * sweep) for number in range(1, 12))
    found = encoder.embed((tones * (np.sin(2 * np.pi * 3 * time) > -0.5)).astype(np.float32))
    assert found.shape == (9, 256)
    # resemblyzer 0.1.4 with librosa 0.11: embed_utterance(sound, return_partials=True, rate=2.5, min_coverage=1.0).
    expected = [[0.3404, 0.2093, 0.1616, 0.1866, 0.1485], [0.2936, 0.2313, 0.1769, 0.2051, 0.1464]]
    torch.testing.assert_close(found[:2, [243, 158, 127, 16, 78]], torch.tensor(expected), rtol=0, atol=1e-3)
