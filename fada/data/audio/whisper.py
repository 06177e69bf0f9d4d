"""Speech to states: Whisper's encoder, all its layers or the last one, at the video's rate."""

import json
import math
from pathlib import Path
from typing import Literal, cast, get_args

import torch
from torch import Tensor
from transformers import WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from fada.data.audio.encoder import FPS, AudioEncoder, Moments, fit_length, interpolated
from fada.media.frame_count import exact_rate, sample_count
from fada.media.sample_rate import SAMPLE_RATE
from fada.pretrained.networks import PREPROCESSOR, read_preprocessor
from fada.pretrained.weight_hash import weights_hash
from fada.pretrained.whisper import TOKENS_PER_SECOND, load_whisper_encoder

WhisperRate = Literal["states", "pairs"]
"""What of Whisper is brought to video rate."""


class WhisperAudioEncoder(AudioEncoder):
    """Hidden states of Whisper's encoder, brought to video rate by linear interpolation.

    The encoder hears windows of 30 s, silence behind a shorter sound, and its states depend on where in the window they
    are. So windows lie on a grid: one begins every `step_frames` (25 s), and over what two of them share the states go
    over from the earlier to the later one. Sound of up to 25 s has the published states; a frame's states depend on no
    sound before the windows that hold it, and memory does not grow with the length.

    Args:
        model: transformers' encoder, which gives 50 states per second.
        rate: `states`: of all layers, at the moments of the frames' middles (at 25 frames per second every second
            token). `pairs`: of the last layer alone, at the beginnings and at the middles (there: all tokens).
    """

    def __init__(self, model: WhisperEncoder, fps: float = FPS, rate: WhisperRate = "states") -> None:
        super().__init__()
        if rate not in get_args(WhisperRate):
            raise ValueError(
                f"rate: nothing of Whisper is named {rate!r}; choose from {', '.join(get_args(WhisperRate))}"
            )
        self.model = model.eval().requires_grad_(False)
        self.fps, self.rate = fps, rate
        seconds = model.config.max_source_positions // TOKENS_PER_SECOND
        self.extractor = WhisperFeatureExtractor(feature_size=model.config.num_mel_bins, chunk_length=seconds)
        self.window_frames = math.floor(seconds * exact_rate(fps))
        self.shared_frames = self.window_frames // 6
        self.step_frames = self.window_frames - self.shared_frames
        self._fingerprint: str | None = None

    @property
    def layers(self) -> int:
        """Layers of states per video frame; of pairs, both states of the last one."""
        return 2 if self.rate == "pairs" else int(self.model.config.encoder_layers)

    @property
    def states_dim(self) -> int:
        """Width of a state."""
        return int(self.model.config.d_model)

    def first_heard(self, frame: int) -> int:
        """Where the first window begins that holds `frame`: heard from there, windows lie as in the whole sound."""
        window, place = divmod(frame, self.step_frames)
        return max(0, window - (place < self.shared_frames)) * self.step_frames

    @torch.no_grad()
    def forward(self, audio: Tensor, frames: int, heard: Moments | None = None) -> Tensor:
        """States (B, frames, layers, states_dim) of audio (B, N); short audio counts as silence after its end.

        What was `heard` of a longer sound changes nothing: Whisper reads levels as they are.
        """
        audio = fit_length(audio, self._sample(frames))
        pieces: list[Tensor] = []
        shared = None
        for first in range(0, frames, self.step_frames):
            last = min(first + self.window_frames, frames)
            window = self._window(audio[:, self._sample(first) : self._sample(last)], last - first)
            if shared is not None:
                share = (torch.arange(shared.shape[1], device=audio.device) + 0.5) / self.shared_frames
                begun = window[:, : shared.shape[1]]
                begun.copy_(torch.lerp(shared, begun, share.to(window.dtype)[:, None, None]))
            pieces.append(window[:, : self.step_frames])
            shared = window[:, self.step_frames :]
        return torch.cat(pieces, dim=1)

    def _sample(self, frame: int) -> int:
        return sample_count(frame, SAMPLE_RATE, self.fps)

    def _window(self, sound: Tensor, frames: int) -> Tensor:
        mels = self.extractor(list(sound.float().cpu().numpy()), sampling_rate=SAMPLE_RATE, return_tensors="pt")
        features = mels.input_features.to(self.device, self.dtype)
        output = self.model(features, output_hidden_states=True)
        # Token j is centred on sample 320 j.
        if self.rate == "pairs":
            moments = torch.arange(2 * frames, device=self.device) / 2
            states = interpolated(output.last_hidden_state[:, :, None], moments * TOKENS_PER_SECOND / self.fps)
            return states.squeeze(2).unflatten(1, (frames, 2))
        moments = torch.arange(frames, device=self.device) + 0.5
        # The first entry is the transformer's input; layer 1 is the first layer's output.
        tokens = torch.stack(output.hidden_states[1:], dim=2)
        return interpolated(tokens, moments * TOKENS_PER_SECOND / self.fps)

    def fingerprint(self) -> str:
        """A short hash of everything that decides the states: settings and weights."""
        if self._fingerprint is None:
            config = self.model.config
            told = ["whisper", self.fps, self.rate, self.window_frames, self.shared_frames]
            told += [config.encoder_attention_heads, config.activation_function]
            before = json.dumps(told).encode()
            self._fingerprint = weights_hash(self.model.state_dict(), "bits", before=before)
        return self._fingerprint

    def save_pretrained(self, path: str | Path) -> None:
        """Write the model as transformers does (config.json, safetensors), and how its states are taken."""
        self.model.save_pretrained(path, safe_serialization=True)
        settings = {"sampling_rate": SAMPLE_RATE, "fps": self.fps, "rate": self.rate}
        (Path(path) / PREPROCESSOR).write_text(json.dumps(settings, indent=2) + "\n")

    @classmethod
    def from_pretrained(
        cls, path: str | Path, rate: WhisperRate | None = None, fps: float | None = None
    ) -> "WhisperAudioEncoder":
        """The encoder in a local folder (config.json, model.safetensors, if there preprocessor_config.json).

        Args:
            rate: None takes what the folder says, `states` where it says nothing.
            fps: of the video; None takes what the folder says, 25 where it says nothing.

        Raises:
            FileNotFoundError: no such folder, or no weights as safetensors in it.
            ValueError: the folder says another rate than there are; see also `load_whisper_encoder`.
        """
        model = load_whisper_encoder(path)
        settings = read_preprocessor(Path(path))
        rate = rate or cast(WhisperRate, settings.rate)
        return cls(model, settings.fps if fps is None else fps, rate)
