"""Emotions heard by a classifier: those of transformers' own way, by the names of its labels, stored with shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

from fada.cli.app import run as command
from fada.data.audio.speech_emotion import SpeechEmotion, load_speech_emotion
from fada.data.clips.emotion import EMOTIONS, soft_label
from fada.data.shards.reading import read_index, read_shards
from fada.data.world import make_world
from fada.data.world.emotion_truth import emotion_of_truth
from fada.pretrained.errors import ModelFolderError

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
         "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2,
         "classifier_proj_size": 12}  # fmt: skip
LABELS = ("neu", "HAPPINESS", "anger", "sad")
SOUND = (np.random.default_rng(0).standard_normal(16000) * 0.1 + 0.05).astype(np.float32)


def saved(folder: Path, labels: tuple[str, ...] = LABELS, **settings: Any) -> Path:
    torch.manual_seed(0)
    config = Wav2Vec2Config(**SMALL, id2label=dict(enumerate(labels)), num_labels=len(labels), **settings)
    model = Wav2Vec2ForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.weight *= 300
        if config.use_weighted_layer_sum:
            model.layer_weights.copy_(torch.tensor([0.5, -1.0, 2.0]))
    model.save_pretrained(folder)
    return folder


def change(folder: Path, **settings: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def normalised(sound: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((sound - sound.mean()) / np.sqrt(sound.var() + 1e-7))[None]


def by_name(shares: torch.Tensor) -> list[float]:
    """Shares of `LABELS` as those of `EMOTIONS`."""
    named = dict(zip(("neutral", "happy", "angry", "sad"), shares.tolist(), strict=True))
    return [named.get(name, 0.0) for name in EMOTIONS]


@pytest.mark.parametrize("mixes", [False, True])
def test_labels_are_those_of_transformers_own_way_by_name(tmp_path: Path, mixes: bool) -> None:
    folder = saved(tmp_path / "m", use_weighted_layer_sum=mixes)
    own = Wav2Vec2ForSequenceClassification.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    with torch.no_grad():
        expected = own(normalised(SOUND)).logits[0].softmax(0)
    label = load_speech_emotion(folder).label(SOUND)
    assert label.tolist() == pytest.approx(by_name(expected), abs=1e-5)
    assert float(expected.max()) > 0.3
    soft_label(label)


def test_the_other_form_of_head_stands_behind_the_mean_over_time(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    file = folder / "model.safetensors"
    tensors = {name: value for name, value in load_file(file).items() if name.startswith("wav2vec2.")}
    dense, out = torch.randn(16, 16), 3 * torch.randn(4, 16)
    tensors |= {"classifier.dense.weight": dense, "classifier.dense.bias": torch.ones(16)}
    tensors |= {"classifier.out_proj.weight": out, "classifier.out_proj.bias": torch.arange(4) / 4}
    save_file(tensors, file, metadata={"format": "pt"})
    found = load_speech_emotion(folder)
    with torch.no_grad():
        hidden = found.model(normalised(SOUND)).last_hidden_state.mean(1)
        expected = (torch.tanh(hidden @ dense.T + 1) @ out.T + torch.arange(4) / 4)[0].softmax(0)
    assert found.label(SOUND).tolist() == pytest.approx(by_name(expected), abs=1e-5)
    change(folder, pooling_mode="max")
    with pytest.raises(ModelFolderError, match="pooling_mode: 'max'; only mean is known"):
        load_speech_emotion(folder)


def test_long_speech_is_judged_in_pieces_and_short_speech_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load_speech_emotion(saved(tmp_path / "m"))
    monkeypatch.setattr("fada.data.audio.speech_emotion.PIECE_SECONDS", 1)
    halves = np.concatenate([SOUND, SOUND[::-1], SOUND[:100]])
    expected = (found.label(SOUND) + found.label(SOUND[::-1].copy())) / 2
    torch.testing.assert_close(found.label(halves), expected)
    soft_label(found.label(SOUND[:50]))


def test_sound_is_taken_as_it_is_where_the_folder_says_so(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    before = load_speech_emotion(folder)
    (folder / "preprocessor_config.json").write_text('{"do_normalize": false}')
    after = load_speech_emotion(folder)
    assert not torch.allclose(before.label(SOUND), after.label(SOUND))
    assert before.fingerprint() != after.fingerprint()
    assert before.fingerprint() == load_speech_emotion(saved(tmp_path / "n")).fingerprint()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (("happy", "boredom"), "id2label: 'boredom' is no emotion; wanted are names of angry, disgust"),
        (("LABEL_1", "LABEL_0"), "id2label: 'LABEL_1' is no emotion"),
    ],
)
def test_labels_that_are_no_emotions_are_refused(tmp_path: Path, labels: tuple[str, ...], said: str) -> None:
    with pytest.raises(ModelFolderError, match=said):
        load_speech_emotion(saved(tmp_path / "m", labels))


def test_folders_that_are_no_classifiers_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    change(folder, id2label={"0": "happy"})
    with pytest.raises(ModelFolderError, match="id2label: must name the 4 outputs, 0 to 3"):
        load_speech_emotion(folder)
    whole = load_file(folder / "model.safetensors")
    headless = {name: value for name, value in whole.items() if not name.startswith("classifier")}
    save_file(headless, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelFolderError, match="has no head that classifies"):
        load_speech_emotion(folder)
    for name, value in (("projector.bias", None), ("projector.weight", torch.zeros(12, 15))):
        wrong = {**whole, name: value}
        kept = {each: tensor for each, tensor in wrong.items() if tensor is not None}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
        change(folder, id2label=dict(enumerate(LABELS)))
        with pytest.raises(
            ModelFolderError, match=r"projector is no linear layer|head does not fit a wav2vec2 of width 16"
        ):
            load_speech_emotion(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="safetensors"):
        load_speech_emotion(folder)


def test_clips_are_sharded_with_what_is_heard_and_drawn_ones_with_what_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path / "m")
    make_world(tmp_path / "plain", 2, size=32, frames=8)
    make_world(tmp_path / "felt", 2, size=32, frames=8, emotion=True)
    for name in ("plain", "felt"):
        call = ["data", "shard", str(tmp_path / name), "--out", str(tmp_path / f"{name}-s")]
        assert command([*call, "--emotion-classifier", str(folder)]) == 0
    found = load_speech_emotion(folder)
    for sample in read_shards(tmp_path / "plain-s/train"):
        assert sample.audio is not None
        # Shards keep sound in 16 bits.
        torch.testing.assert_close(sample.emotion, found.label(sample.audio), atol=1e-3, rtol=0)
    for sample in read_shards(tmp_path / "felt-s/train"):
        assert torch.equal(sample.emotion, emotion_of_truth(sample.meta))  # type: ignore[arg-type]
    index = read_index(tmp_path / "plain-s/train")
    assert (index.parts["emotion"], index.features["emotion_classifier"]) == (2, found.fingerprint())
    monkeypatch.setattr(SpeechEmotion, "fingerprint", lambda self: "other")
    call = ["data", "shard", str(tmp_path / "plain"), "--out", str(tmp_path / "plain-s")]
    assert command([*call, "--emotion-classifier", str(folder)]) != 0
