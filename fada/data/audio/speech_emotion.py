"""Speech to an emotion: a wav2vec2 with a classifying head, out of a folder of transformers.

Two forms of head are known: that of transformers (`projector`, `classifier`), whose layers stand before the mean over
time, and the one that many published classifiers have (`classifier.dense`, `classifier.out_proj`), behind it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Model

from fada.data.clips.emotion import EMOTIONS
from fada.media.sample_rate import SAMPLE_RATE
from fada.pretrained.errors import ModelFolderError
from fada.pretrained.networks import CONFIG, read_config, read_preprocessor
from fada.pretrained.settings import shortly
from fada.pretrained.wav2vec2 import load_wav2vec2
from fada.pretrained.weight_hash import weights_hash
from fada.pretrained.weights import read_safetensors, weight_files

PIECE_SECONDS = 30
"""Longer speech is judged in pieces, so that memory does not grow with its square; their shares are averaged."""
_SHORTEST = SAMPLE_RATE // 4
_WORDS = {
    "angry": ("anger", "ang"),
    "disgust": ("disgusted", "dis"),
    "fear": ("fearful", "fea"),
    "happy": ("happiness", "hap", "joy"),
    "neutral": ("neu", "calm"),
    "sad": ("sadness",),
    "surprise": ("surprised", "sur"),
}
"""Other words for the emotions, in labels of classifiers."""
_HEADS = (("projector", "classifier"), ("classifier.dense", "classifier.out_proj"))


class SpeechEmotion(nn.Module):
    """Soft labels of speech.

    Args:
        model: gives hidden states.
        layers: the head's two layers. is_pooled_first: whether the mean over time is taken before both.
        emotions: of each output, its number in `EMOTIONS`.
        mix: weights of all hidden states, softened; None takes the last one.
        is_normalised: whether sound is brought to mean 0 and variance 1.
    """

    mix: Tensor | None

    def __init__(
        self,
        model: Wav2Vec2Model,
        layers: tuple[nn.Linear, nn.Linear],
        is_pooled_first: bool,
        emotions: tuple[int, ...],
        mix: Tensor | None = None,
        is_normalised: bool = True,
    ) -> None:
        super().__init__()
        self.model, self.first, self.second = model, *layers
        self.is_pooled_first, self.emotions, self.is_normalised = is_pooled_first, emotions, is_normalised
        self.register_buffer("mix", mix)
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def label(self, audio: np.ndarray) -> Tensor:
        """Soft label (7,) of speech (N,) at 16 kHz; what the classifier has no output for has no share."""
        length = PIECE_SECONDS * SAMPLE_RATE
        pieces = [audio[start : start + length] for start in range(0, max(1, len(audio)), length)]
        # What is left over is judged only where it is long enough to hear something in it, or is all there is.
        pieces = [piece for piece in pieces if len(piece) >= _SHORTEST] or pieces[:1]
        shares = torch.stack([self._shares(piece) for piece in pieces]).mean(0)
        label = torch.zeros(len(EMOTIONS)).index_add(0, torch.tensor(self.emotions), shares)
        return label / label.sum()

    def _shares(self, audio: np.ndarray) -> Tensor:
        place = self.first.weight.device
        sound = nn.functional.pad(torch.from_numpy(np.ascontiguousarray(audio)), (0, max(0, _SHORTEST - len(audio))))
        if self.is_normalised:
            sound = (sound - sound.mean()) / torch.sqrt(sound.var(correction=0) + 1e-7)
        given = self.model(sound[None].to(place), output_hidden_states=self.mix is not None)
        hidden = given.last_hidden_state
        if self.mix is not None:
            hidden = torch.einsum("l,lbtd->btd", self.mix.softmax(0), torch.stack(given.hidden_states))
        if self.is_pooled_first:
            scores = self.second(torch.tanh(self.first(hidden.mean(1))))
        else:
            scores = self.second(self.first(hidden).mean(1))
        return scores[0].softmax(0).cpu()

    def fingerprint(self) -> str:
        """A short hash of everything that decides the labels."""
        told = [self.is_pooled_first, self.emotions, self.is_normalised, PIECE_SECONDS]
        told.append(self.model.config.to_diff_dict())
        before = json.dumps(told, sort_keys=True, default=str).encode()
        return weights_hash(self.state_dict(), "bits", before=before)


def load_speech_emotion(folder: str | Path) -> SpeechEmotion:
    """The classifier in a local folder (config.json with `id2label`, model.safetensors).

    Raises:
        FileNotFoundError: no config, or no weights as safetensors.
        ModelFolderError: as `load_wav2vec2`; or it has no head, or its labels are no emotions.
    """
    folder = Path(folder)
    config, model = read_config(folder), load_wav2vec2(folder)
    found = [read_safetensors(file) for file in weight_files(folder, stem="model")]
    tensors = {name: tensor.float() for each in found for name, tensor in each.items()}
    names = next((each for each in _HEADS if all(f"{name}.weight" in tensors for name in each)), None)
    if names is None:
        raise ModelFolderError(
            f"{folder}: has no head that classifies ({' or '.join(' and '.join(each) for each in _HEADS)}); give a "
            "wav2vec2 that was trained to classify"
        )
    if config.get("pooling_mode", "mean") != "mean":
        raise ModelFolderError(
            f"{folder / CONFIG}: pooling_mode: {shortly(config['pooling_mode'])}; only mean is known"
        )
    first, second = (_linear(folder, tensors, name) for name in names)
    emotions = _emotions(folder / CONFIG, config.get("id2label"), second.out_features)
    mix = tensors.get("layer_weights") if config.get("use_weighted_layer_sum") else None
    width, layers = int(model.config.hidden_size), int(model.config.num_hidden_layers)
    fits = first.in_features == width and second.in_features == first.out_features
    if not fits or (mix is not None and mix.shape != (layers + 1,)):
        raise ModelFolderError(f"{folder}: its head does not fit a wav2vec2 of width {width}; fetch it again")
    is_normalised = read_preprocessor(folder).do_normalize
    return SpeechEmotion(model, (first, second), names is _HEADS[1], emotions, mix, is_normalised)


def _linear(folder: Path, tensors: Mapping[str, Tensor], name: str) -> nn.Linear:
    weight, bias = tensors[f"{name}.weight"], tensors.get(f"{name}.bias")
    if weight.ndim != 2 or bias is None or bias.shape != weight.shape[:1]:
        raise ModelFolderError(f"{folder}: {name} is no linear layer with a bias; fetch it again")
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def _emotions(source: Path, labels: Any, count: int) -> tuple[int, ...]:
    """Of each output its number in `EMOTIONS`, by the names in a config."""
    if not isinstance(labels, dict) or sorted(labels) != sorted(map(str, range(count))):
        raise ModelFolderError(f"{source}: id2label: must name the {count} outputs, 0 to {count - 1}")
    numbers = {word: number for number, name in enumerate(EMOTIONS) for word in (name, *_WORDS[name])}
    found = []
    for output in range(count):
        name = labels[str(output)]
        if not isinstance(name, str) or name.lower() not in numbers:
            raise ModelFolderError(
                f"{source}: id2label: {shortly(name)} is no emotion; wanted are names of {', '.join(EMOTIONS)}"
            )
        found.append(numbers[name.lower()])
    return tuple(found)
