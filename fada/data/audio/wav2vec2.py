"""Speech to states: wav2vec2, all layers of its transformer, at the video's rate."""

import json
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Model

from fada.data.audio.encoder import FPS, AudioEncoder, Moments, fit_length, interpolated
from fada.media.frame_count import sample_count
from fada.media.sample_rate import SAMPLE_RATE
from fada.pretrained.networks import PREPROCESSOR, read_preprocessor
from fada.pretrained.wav2vec2 import load_wav2vec2
from fada.pretrained.weight_hash import weights_hash

Rate = Literal["states", "features", "pairs"]
"""What of wav2vec2 is brought to video rate."""


class Wav2Vec2Encoder(AudioEncoder):
    """Hidden states of all transformer layers of a wav2vec2 model, brought to video rate by linear interpolation.

    Long audio is taken in pieces with context on both sides, so that memory does not grow with its square.

    Args:
        rate: what is interpolated. `states`: what the transformer gives, at the moments of the frames' middles.
            `features`: what the convolutions give, from the first to the last, so that the transformer sees a token per
            frame. That is Hallo's way (hallo/models/wav2vec.py), which takes the whole sound at once however long: the
            states are equal for sound of up to `piece_frames` (30 s), and close behind that. `pairs`: the last layer
            alone, two states per frame, stretched over the sound: V-Express's way.
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
        """Layers of states per video frame; of pairs, both states of the last one."""
        return 2 if self.rate == "pairs" else int(self.model.config.num_hidden_layers)

    @property
    def states_dim(self) -> int:
        """Width of a state."""
        return int(self.model.config.hidden_size)

    @torch.no_grad()
    def forward(self, audio: Tensor, frames: int, heard: Moments | None = None) -> Tensor:
        """States (B, frames, layers, states_dim) of audio (B, N); short audio counts as silence after its end.

        `heard` normalises a part of a longer sound by what was heard of the whole.
        """
        audio = fit_length(audio, self._sample(frames))
        if self.is_normalised and heard is not None:
            audio = (audio - heard.mean) / (heard.variance + 1e-7) ** 0.5
        elif self.is_normalised:
            mean = audio.mean(1, keepdim=True)
            audio = (audio - mean) / torch.sqrt(audio.var(1, keepdim=True, correction=0) + 1e-7)
        pieces = []
        for first in range(0, frames, self.piece_frames):
            last = min(first + self.piece_frames, frames)
            before, after = max(0, first - self.context_frames), min(frames, last + self.context_frames)
            sound = audio[:, self._sample(before) : self._sample(after)]
            pieces.append(self._piece(sound, after - before)[:, first - before : last - before])
        return torch.cat(pieces, dim=1)

    def _sample(self, frame: int) -> int:
        return sample_count(frame, SAMPLE_RATE, self.fps)

    def _piece(self, audio: Tensor, frames: int) -> Tensor:
        if self.rate == "pairs":
            return self._pairs_at_rate(audio, frames)
        return self._states_at_rate(audio, frames) if self.rate == "states" else self._features_at_rate(audio, frames)

    def _pairs_at_rate(self, audio: Tensor, frames: int) -> Tensor:
        audio = nn.functional.pad(audio, (0, max(0, self.reach - audio.shape[1])))
        states = self.model(audio.to(self.model.dtype)).last_hidden_state
        stretched = nn.functional.interpolate(states.float().transpose(1, 2), size=2 * frames, mode="linear")
        return stretched.to(states.dtype).transpose(1, 2).unflatten(1, (frames, 2))

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
        return interpolated(hidden, (middles - self.reach / 2) / self.stride)

    def fingerprint(self) -> str:
        """A short hash of everything that decides the states: settings and weights."""
        if self._fingerprint is None:
            settings = (self.fps, self.is_normalised, self.piece_frames, self.context_frames)
            # Shards made before there was a choice keep their fingerprint.
            told = repr(settings if self.rate == "states" else (*settings, self.rate))
            told += json.dumps(self.model.config.to_diff_dict(), sort_keys=True, default=str)
            self._fingerprint = weights_hash(self.model.state_dict(), "bits", before=told.encode())
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
        (Path(path) / PREPROCESSOR).write_text(json.dumps(settings, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, path: str | Path, rate: Rate | None = None, fps: float | None = None) -> "Wav2Vec2Encoder":
        """The encoder in a local folder (config.json, model.safetensors, if there preprocessor_config.json).

        Args:
            rate: None takes what the folder says, `states` where it says nothing.
            fps: of the video; None takes what the folder says, 25 where it says nothing.

        Raises:
            FileNotFoundError: no such folder, or no weights as safetensors in it.
            ValueError: the folder says another rate than there are; see also `load_wav2vec2`.
        """
        model = load_wav2vec2(path)
        settings = read_preprocessor(Path(path))
        rate = rate or cast(Rate, settings.rate)
        return cls(model, settings.fps if fps is None else fps, settings.do_normalize, rate)
