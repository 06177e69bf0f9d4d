"""Whether one voice speaks throughout a sound, by the speaker embedding of Resemblyzer.

The weights are a file of safetensors that the user names (`fada weights get voices`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from fada.data.scores.speech import one_thread, spoken_parts
from fada.files.manifest import hash_file
from fada.media.sample_rate import SAMPLE_RATE

WINDOW, STEP = 160, 40
"""Spectra, 10 ms apart, that the network hears at once, and between the beginnings of two windows."""
STRETCH = 3
"""Windows of the shortest stretch that is set against the rest: 2.4 seconds."""
SHORTEST_SECONDS = 3.6
"""Of speech: two such stretches."""
PUBLISHED = "a5d4776b403b69593e4a10212aeacf7d35b56e9d0a2022058c6d4f888202e069"
_N_FFT, _HOP, _BINS, _WIDTH = 400, 160, 40, 256
_LEVEL = 10 ** (-30 / 20)
"""Root mean square, -30 dB, to which quieter sounds are raised."""
_WHERE = "make it with fada weights get voices (--list says of what)"


class VoiceError(ValueError):
    """The weights cannot be had; the message says why and what to do."""


class VoiceEncoder(nn.Module):
    """Mel spectra (B, WINDOW, 40) to embeddings (B, 256) of length 1: alike for one speaker, whatever is said.

    Source: Wan et al. 2018 (arXiv:1710.10467), as in Resemblyzer 0.1.4.
    """

    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_BINS, _WIDTH, num_layers=3, batch_first=True)
        self.linear = nn.Linear(_WIDTH, _WIDTH)
        filters = mel_filter_bank(_N_FFT // 2 + 1, _BINS, 0.0, 8000.0, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)

    def forward(self, spectra: Tensor) -> Tensor:
        """The embedding of each window."""
        _, (hidden, _) = self.lstm(spectra)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)

    @torch.no_grad()
    def embed(self, speech: np.ndarray) -> Tensor:
        """Embeddings (W, 256) of windows of speech (N,) at 16 kHz; none where it is shorter than a window."""
        sound = torch.from_numpy(np.ascontiguousarray(speech))
        if len(sound) <= _N_FFT:
            return torch.zeros(0, _WIDTH)
        window = torch.hann_window(_N_FFT)
        spectra = torch.stft(sound, _N_FFT, _HOP, window=window, pad_mode="constant", return_complex=True)
        mels = (self.filters.T @ spectra.abs().square()).T
        if len(mels) < WINDOW:
            return torch.zeros(0, _WIDTH)
        windows = mels.unfold(0, WINDOW, STEP).transpose(1, 2)
        with one_thread():
            return torch.cat([self(part) for part in windows.split(256)])


class VoiceLikeness:
    """How alike the voices of a sound are, by Resemblyzer's network, on the CPU.

    Args:
        weights: `voice_encoder.safetensors`.

    Raises:
        VoiceError: there is no such file, or it is another one.
    """

    def __init__(self, weights: Path) -> None:
        check_weights(weights)
        self.encoder = VoiceEncoder().eval().requires_grad_(False)
        self.encoder.load_state_dict(load(weights.read_bytes()))

    def __call__(self, audio: np.ndarray) -> float | None:
        """Cosine between the voice of a stretch of speech and the voice of all other speech, where it is least.

        A clip with a second voice has a stretch in which that one speaks.

        Args:
            audio: float32 (N,) mono at 16 kHz in [-1, 1].

        Returns:
            None for less than `SHORTEST_SECONDS` of speech.
        """
        return least_likeness(self.encoder.embed(speech_of(audio)).numpy())


def speech_of(audio: np.ndarray) -> np.ndarray:
    """What is spoken in a sound (N,), one part behind the other, loud enough for the network."""
    level = float(np.sqrt(np.mean(np.square(audio)))) if len(audio) else 0.0
    raised = audio * np.float32(_LEVEL / level) if 0 < level < _LEVEL else audio
    return np.concatenate([np.zeros(0, np.float32), *(raised[start:end] for start, end in spoken_parts(raised))])


def least_likeness(embeddings: np.ndarray) -> float | None:
    """Of embeddings (W, D) in order: the least cosine between the sum of some in a row and the sum of the others.

    Of both there are at least `STRETCH`; None where there are too few for that.
    """
    count = len(embeddings)
    if count < 2 * STRETCH:
        return None
    sums = np.cumsum(np.concatenate([np.zeros_like(embeddings[:1]), embeddings]), axis=0, dtype=np.float64)
    least = 1.0
    for start in range(count - STRETCH + 1):
        stretches = sums[start + STRETCH : start + count - STRETCH + 1] - sums[start]
        rests = sums[-1] - stretches
        lengths = np.linalg.norm(stretches, axis=1) * np.linalg.norm(rests, axis=1)
        least = min(least, float(np.min(np.sum(stretches * rests, axis=1) / lengths)))
    return least


def check_weights(weights: Path) -> str:
    """SHA-256 of the weights' file; raises VoiceError where there is none, or another."""
    if not weights.is_file():
        raise VoiceError(f"--voices {weights}: no such file; {_WHERE}")
    found = hash_file(weights)
    if found != PUBLISHED:
        raise VoiceError(
            f"--voices {weights}: its SHA-256 begins {found[:12]}, the known one {PUBLISHED[:12]}; {_WHERE}"
        )
    return found
