"""Sound to states per video frame: what the denoising network attends to.

Two encoders with one interface: log-mel (no weights) for the drawn world, wav2vec2 for speech. Both map audio
(B, N) at 16 kHz to states (B, F, L, D), L layers of width D for each of F video frames.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Model
from transformers.audio_utils import mel_filter_bank

SAMPLE_RATE = 16000
FPS = 25.0
Rate = Literal["states", "features"]
"""What of wav2vec2 is brought to video rate."""
_N_FFT = 512
_PREPROCESSOR = "preprocessor_config.json"
# Log-mel of speech-like sound at ordinary level: measured mean and standard deviation over the drawn world.
_FLOOR, _MEAN, _DEVIATION = 1e-3, -2.23, 1.2


class Moments:
    """Mean and variance of the sound heard so far."""

    def __init__(self) -> None:
        self.samples, self.sum, self.squares = 0, 0.0, 0.0

    def add(self, sound: np.ndarray) -> None:
        """Hear more samples (N,)."""
        exact = sound.astype(np.float64)
        self.samples += len(exact)
        self.sum += float(exact.sum())
        self.squares += float(np.square(exact).sum())

    @property
    def mean(self) -> float:
        """Of all samples."""
        return self.sum / max(1, self.samples)

    @property
    def variance(self) -> float:
        """Of all samples."""
        return max(0.0, self.squares / max(1, self.samples) - self.mean**2)


class AudioEncoder(nn.Module, ABC):
    """Audio (B, N) at 16 kHz to states (B, F, layers, states_dim), as a pipeline's component."""

    frames_around: int | None = None
    """Video frames to each side whose sound a frame's states depend on; None: on all of the sound."""
    look_back: int = 0
    """Video frames of sound before the first that an encoder without such a limit wants in a stream."""

    @property
    @abstractmethod
    def layers(self) -> int:
        """Layers of states per video frame."""

    @property
    @abstractmethod
    def states_dim(self) -> int:
        """Width of a state."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A short hash of everything that decides the states."""

    @property
    def device(self) -> torch.device:
        """Where the encoder computes."""
        return next(iter(self.state()), torch.zeros(0)).device

    @property
    def dtype(self) -> torch.dtype:
        """In what precision it computes."""
        return next(iter(self.state()), torch.zeros(0)).dtype

    def state(self) -> list[Tensor]:
        """Parameters and buffers."""
        return [*self.parameters(), *self.buffers()]


class LogMelEncoder(AudioEncoder):
    """Log-mel energies, several moments per video frame side by side; no weights, always the same.

    Frame f sees the sound from f / fps to (f + 1) / fps, plus half an analysis window at both ends.
    """

    filters: Tensor
    window: Tensor
    frames_around = 1

    def __init__(self, bins: int = 32, frames_per_video_frame: int = 4, fps: float = FPS) -> None:
        super().__init__()
        hop = SAMPLE_RATE / fps / frames_per_video_frame
        if hop != int(hop):
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
        audio = fit_length(audio, round(frames * SAMPLE_RATE / self.fps))
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
        """The encoder a folder describes."""
        config = _read_config(path)
        return cls(config["bins"], config["frames_per_video_frame"], config["fps"])


class Wav2Vec2Encoder(AudioEncoder):
    """Hidden states of all transformer layers of a wav2vec2 model, brought to video rate by linear interpolation.

    Long audio is taken in pieces with context on both sides, so that memory does not grow with its square.

    Args:
        rate: what is interpolated. `states`: what the transformer gives, at the moments of the frames' middles.
            `features`: what the convolutions give, from the first to the last, so that the transformer sees a token per
            frame. That is Hallo's way (hallo/models/wav2vec.py), which takes the whole sound at once however long: the
            states are equal for sound of up to `piece_frames` (30 s), and close behind that.
    """

    piece_frames, context_frames = 750, 50
    look_back = context_frames

    def __init__(
        self, model: Wav2Vec2Model, fps: float = FPS, is_normalised: bool = True, rate: Rate = "states"
    ) -> None:
        super().__init__()
        if rate not in get_args(Rate):
            raise ValueError(f"rate: nothing of wav2vec2 is named {rate!r}; choose from {', '.join(get_args(Rate))}")
        self.model = model.eval().requires_grad_(False)
        self.fps, self.is_normalised, self.rate = fps, is_normalised, rate
        self._fingerprint: str | None = None
        # Token j is centred on sample first + j * stride: kernels and strides of the feature extractor.
        self.stride, reach = 1, 1
        for kernel, stride in zip(model.config.conv_kernel, model.config.conv_stride, strict=True):
            reach += (kernel - 1) * self.stride
            self.stride *= stride
        self.reach = reach

    @property
    def layers(self) -> int:
        """Layers of states per video frame."""
        return int(self.model.config.num_hidden_layers)

    @property
    def states_dim(self) -> int:
        """Width of a state."""
        return int(self.model.config.hidden_size)

    def train(self, mode: bool = True) -> "Wav2Vec2Encoder":
        """Stays in evaluation mode: the encoder is frozen, and its dropout would change the states."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, audio: Tensor, frames: int, heard: Moments | None = None) -> Tensor:
        """States (B, frames, layers, states_dim) of audio (B, N); short audio counts as silence after its end.

        `heard` normalises a part of a longer sound by what was heard of the whole.
        """
        per_frame = SAMPLE_RATE / self.fps
        audio = fit_length(audio, round(frames * per_frame))
        if self.is_normalised and heard is not None:
            audio = (audio - heard.mean) / (heard.variance + 1e-7) ** 0.5
        elif self.is_normalised:
            mean = audio.mean(1, keepdim=True)
            audio = (audio - mean) / torch.sqrt(audio.var(1, keepdim=True, correction=0) + 1e-7)
        pieces = []
        for first in range(0, frames, self.piece_frames):
            last = min(first + self.piece_frames, frames)
            before, after = max(0, first - self.context_frames), min(frames, last + self.context_frames)
            sound = audio[:, round(before * per_frame) : round(after * per_frame)]
            pieces.append(self._piece(sound, after - before)[:, first - before : last - before])
        return torch.cat(pieces, dim=1)

    def _piece(self, audio: Tensor, frames: int) -> Tensor:
        return self._states_at_rate(audio, frames) if self.rate == "states" else self._features_at_rate(audio, frames)

    def _features_at_rate(self, audio: Tensor, frames: int) -> Tensor:
        audio = nn.functional.pad(audio, (0, max(0, self.reach - audio.shape[1])))

        def to_video_rate(_module: nn.Module, _inputs: Any, features: Tensor) -> Tensor:
            return nn.functional.interpolate(features, frames, mode="linear", align_corners=True)

        # The model is asked as a whole: its transformer alone does not hand out the states of its layers.
        hook = self.model.feature_extractor.register_forward_hook(to_video_rate)
        try:
            output = self.model(audio.to(self.model.dtype), output_hidden_states=True)
        finally:
            hook.remove()
        return torch.stack(output.hidden_states[1:], dim=2)

    def _states_at_rate(self, audio: Tensor, frames: int) -> Tensor:
        audio = nn.functional.pad(audio, (0, max(0, self.reach + self.stride - audio.shape[1])))
        output = self.model(audio.to(self.model.dtype), output_hidden_states=True)
        # The first entry is the transformer's input; layer 1 is the first layer's output.
        hidden = torch.stack(output.hidden_states[1:], dim=2)
        middles = (torch.arange(frames, device=audio.device) + 0.5) * SAMPLE_RATE / self.fps
        position = ((middles - self.reach / 2) / self.stride).clamp(0, hidden.shape[1] - 1)
        left = position.floor().long().clamp(max=max(hidden.shape[1] - 2, 0))
        right = (left + 1).clamp(max=hidden.shape[1] - 1)
        share = (position - left).to(hidden.dtype)[:, None, None]
        return hidden[:, left] + share * (hidden[:, right] - hidden[:, left])

    def fingerprint(self) -> str:
        """A short hash of everything that decides the states: settings and weights."""
        if self._fingerprint is None:
            settings = (self.fps, self.is_normalised, self.piece_frames, self.context_frames)
            # Shards made before there was a choice keep their fingerprint.
            digest = hashlib.sha256(repr(settings if self.rate == "states" else (*settings, self.rate)).encode())
            digest.update(json.dumps(self.model.config.to_diff_dict(), sort_keys=True, default=str).encode())
            for name, tensor in sorted(self.model.state_dict().items()):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
            self._fingerprint = digest.hexdigest()[:16]
        return self._fingerprint

    def save_pretrained(self, path: str | Path) -> None:
        """Write the model as transformers does (config.json, safetensors), and how its input is prepared."""
        self.model.save_pretrained(path, safe_serialization=True)
        settings = {
            "do_normalize": self.is_normalised,
            "sampling_rate": SAMPLE_RATE,
            "fps": self.fps,
            "rate": self.rate,
        }
        (Path(path) / _PREPROCESSOR).write_text(json.dumps(settings, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, path: str | Path, rate: Rate | None = None) -> "Wav2Vec2Encoder":
        """The encoder in a local folder (config.json, model.safetensors, if there preprocessor_config.json).

        Args:
            rate: None takes what the folder says, `states` where it says nothing.

        Raises:
            FileNotFoundError: no such folder, or no weights as safetensors in it.
            ValueError: the folder says another rate than there are.
        """
        _read_config(path)
        if not any(Path(path).glob("*.safetensors")):
            raise FileNotFoundError(
                f"{path}: no .safetensors weights; convert the model (pickled weights are not read)"
            )
        model = Wav2Vec2Model.from_pretrained(path, local_files_only=True, use_safetensors=True)
        file = Path(path) / _PREPROCESSOR
        settings = json.loads(file.read_text()) if file.is_file() else {}
        rate = rate or settings.get("rate", "states")
        return cls(model, settings.get("fps", FPS), settings.get("do_normalize", True), rate)


def load_audio_encoder(path: str | Path) -> LogMelEncoder | Wav2Vec2Encoder:
    """The encoder a folder holds, chosen by its config.json.

    Raises:
        FileNotFoundError: there is no config.json.
        ValueError: it names no encoder known here.
    """
    config = _read_config(path)
    kind = config.get("kind", config.get("model_type"))
    encoders: dict[str, type[LogMelEncoder] | type[Wav2Vec2Encoder]] = {
        "log_mel": LogMelEncoder,
        "wav2vec2": Wav2Vec2Encoder,
    }
    if kind not in encoders:
        raise ValueError(
            f"{Path(path) / 'config.json'}: no audio encoder named {kind!r}; choose from {', '.join(encoders)}"
        )
    return encoders[kind].from_pretrained(path)


def fit_length(audio: Tensor, samples: int) -> Tensor:
    """Audio (B, N) cut or filled with silence to exactly `samples`."""
    if audio.ndim != 2:
        raise ValueError(f"audio must be (batch, samples), got shape {tuple(audio.shape)}")
    return nn.functional.pad(audio[:, :samples], (0, max(0, samples - audio.shape[1])))


def window_states(states: Tensor, radius: int = 2) -> Tensor:
    """Each frame's states with its neighbours': (B, F, L, D) -> (B, F, 2 * radius + 1, L, D), ends repeated."""
    frames = states.shape[1]
    offsets = torch.arange(-radius, radius + 1, device=states.device)
    index = (torch.arange(frames, device=states.device)[:, None] + offsets).clamp(0, frames - 1)
    return states[:, index]


def _read_config(path: str | Path) -> dict[str, Any]:
    file = Path(path) / "config.json"
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; an audio encoder's folder holds a config.json")
    return json.loads(file.read_text())
