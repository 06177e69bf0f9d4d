"""Sound to states per video frame: what the denoising network attends to.

Encoders with one interface (encoder.py): log-mel (no weights) for the drawn world, wav2vec2 (wav2vec2.py) and Whisper
(whisper.py) for speech.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from fada.data.audio.encoder import FPS, AudioEncoder, Moments, fit_length
from fada.data.audio.wav2vec2 import Rate, Wav2Vec2Encoder
from fada.data.audio.whisper import WhisperAudioEncoder
from fada.media.frame_count import exact_rate, sample_count
from fada.media.sample_rate import SAMPLE_RATE
from fada.pretrained.networks import CONFIG, check_settings, read_config
from fada.pretrained.settings import shortly

__all__ = [
    "FPS",
    "AudioEncoder",
    "LogMelEncoder",
    "Moments",
    "Rate",
    "Wav2Vec2Encoder",
    "WhisperAudioEncoder",
    "fit_length",
    "load_audio_encoder",
    "window_states",
]
_N_FFT = 512
# Log-mel of speech-like sound at ordinary level: measured mean and standard deviation over the drawn world.
_FLOOR, _MEAN, _DEVIATION = 1e-3, -2.23, 1.2


class LogMelEncoder(AudioEncoder):
    """Log-mel energies, several moments per video frame side by side; no weights, always the same.

    Frame f sees the sound from f / fps to (f + 1) / fps, plus half an analysis window at both ends.
    """

    filters: Tensor
    window: Tensor
    frames_around = 1

    def __init__(self, bins: int = 32, frames_per_video_frame: int = 4, fps: float = FPS) -> None:
        super().__init__()
        for name, value in (("bins", bins), ("frames_per_video_frame", frames_per_video_frame)):
            if not isinstance(value, int) or not 1 <= value <= _N_FFT // 2:
                raise ValueError(f"log_mel: {name} must be a whole number from 1 to {_N_FFT // 2}, got {value!r}")
        hop = SAMPLE_RATE / exact_rate(fps) / frames_per_video_frame
        if hop.denominator != 1:
            raise ValueError(
                f"{frames_per_video_frame} spectra per video frame at {fps} frames/s do not divide {SAMPLE_RATE} Hz; "
                "choose a frames_per_video_frame that does (4 at 25 frames/s)"
            )
        self.bins, self.frames_per_video_frame, self.fps, self.hop = bins, frames_per_video_frame, fps, int(hop)
        filters = mel_filter_bank(_N_FFT // 2 + 1, bins, 50.0, 7600.0, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
        # Area-normalised filters, scaled so that white noise of unit variance gives about 1.
        self.register_buffer("filters", torch.from_numpy(filters * (SAMPLE_RATE / _N_FFT)).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(_N_FFT), persistent=False)

    @property
    def layers(self) -> int:
        """Layers of states per video frame."""
        return 1

    @property
    def states_dim(self) -> int:
        """Width of a state."""
        return self.bins * self.frames_per_video_frame

    @torch.no_grad()
    def forward(self, audio: Tensor, frames: int) -> Tensor:
        """States (B, frames, 1, states_dim) of audio (B, N); short audio counts as silence after its end."""
        audio = fit_length(audio, sample_count(frames, SAMPLE_RATE, self.fps))
        # Spectrum j is centred on the middle of its hop, so that a video frame holds its own moments only.
        margin = (_N_FFT - self.hop) // 2
        padded = nn.functional.pad(audio, (margin, _N_FFT - self.hop - margin))
        pieces = padded.unfold(-1, _N_FFT, self.hop) * self.window
        power = torch.fft.rfft(pieces).abs().square() / self.window.square().sum()
        logs = torch.log10(power @ self.filters * 100.0 + _FLOOR)
        states = (logs - _MEAN) / _DEVIATION
        return states.reshape(len(audio), frames, 1, self.states_dim)

    def config(self) -> dict[str, Any]:
        """What rebuilds the encoder."""
        return {
            "kind": "log_mel",
            "bins": self.bins,
            "frames_per_video_frame": self.frames_per_video_frame,
            "fps": self.fps,
        }

    def fingerprint(self) -> str:
        """A short hash of everything that decides the states."""
        values = [*sorted(self.config().items()), _N_FFT, _FLOOR, _MEAN, _DEVIATION]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]

    def save_pretrained(self, path: str | Path) -> None:
        """Write config.json into the folder."""
        Path(path).mkdir(parents=True, exist_ok=True)
        (Path(path) / "config.json").write_text(json.dumps(self.config(), indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, path: str | Path) -> "LogMelEncoder":
        """The encoder a folder describes.

        Raises:
            ModelFolderError: its settings are not of the right type or size.
        """
        config = check_settings(cls, read_config(Path(path)), Path(path) / CONFIG)
        return cls(config["bins"], config["frames_per_video_frame"], config["fps"])


def load_audio_encoder(path: str | Path) -> LogMelEncoder | Wav2Vec2Encoder | WhisperAudioEncoder:
    """The encoder a folder holds, chosen by its config.json.

    Raises:
        FileNotFoundError: there is no config.json.
        ValueError: it names no encoder known here.
    """
    config = read_config(Path(path))
    kind = config.get("kind", config.get("model_type"))
    encoders: dict[str, type[LogMelEncoder] | type[Wav2Vec2Encoder] | type[WhisperAudioEncoder]] = {
        "log_mel": LogMelEncoder,
        "wav2vec2": Wav2Vec2Encoder,
        "whisper": WhisperAudioEncoder,
    }
    if not isinstance(kind, str) or kind not in encoders:
        raise ValueError(
            f"{Path(path) / 'config.json'}: no audio encoder named {shortly(kind)}; choose from {', '.join(encoders)}"
        )
    return encoders[kind].from_pretrained(path)


def window_states(states: Tensor, radius: int = 2) -> Tensor:
    """Each frame's states with its neighbours': (B, F, L, D) -> (B, F, 2 * radius + 1, L, D), ends repeated."""
    frames = states.shape[1]
    offsets = torch.arange(-radius, radius + 1, device=states.device)
    index = (torch.arange(frames, device=states.device)[:, None] + offsets).clamp(0, frames - 1)
    return states[:, index]
