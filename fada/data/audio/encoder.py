"""What every audio encoder is: audio (B, N) at 16 kHz to states (B, F, L, D), L layers of width D per video frame."""

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

FPS = 25.0


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

    fps: float = FPS
    """Video frames per second of the clips whose sound it hears."""
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

    def first_heard(self, frame: int) -> int:
        """At which frame the sound begins that a stream hears for the states of `frame` and later ones.

        It never goes back as frames go on: what lies before it is forgotten.
        """
        return max(0, frame - (self.look_back if self.frames_around is None else self.frames_around))

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode: the encoder is frozen, and dropout would change the states."""
        return super().train(False)

    def state(self) -> list[Tensor]:
        """Parameters and buffers."""
        return [*self.parameters(), *self.buffers()]


def interpolated(tokens: Tensor, position: Tensor) -> Tensor:
    """Of tokens (B, T, L, D) what lies at positions (P,), counted in tokens, on lines between two: (B, P, L, D)."""
    position = position.clamp(0, tokens.shape[1] - 1)
    left = position.floor().long().clamp(max=max(tokens.shape[1] - 2, 0))
    right = (left + 1).clamp(max=tokens.shape[1] - 1)
    share = (position - left).to(tokens.dtype)[:, None, None]
    return tokens[:, left] + share * (tokens[:, right] - tokens[:, left])


@torch.no_grad()
def states_of(encoder: AudioEncoder, sound: np.ndarray, frames: int) -> Tensor:
    """An encoder's states (frames, layers, dim) of a clip's sound (N,), as shards store them: bfloat16, on the CPU."""
    return encoder(torch.from_numpy(sound).float()[None].to(encoder.device), frames)[0].to(torch.bfloat16).cpu()


def check_rate(encoder: AudioEncoder, name: str, fps: float) -> None:
    """Refuse a clip of another frame rate than that at which an encoder hears.

    Raises:
        ValueError: naming the clip.
    """
    if abs(encoder.fps - fps) > 1e-3 * fps:
        raise ValueError(
            f"{name}: has {fps:g} frames per second, but the audio encoder hears at {encoder.fps:g}: sound and "
            "pictures would drift apart; set clip.fps (for fada data encode: fps in the encoder's "
            "preprocessor_config.json), or prepare the clips at that rate"
        )


def fit_length(audio: Tensor, samples: int) -> Tensor:
    """Audio (B, N) cut or filled with silence to exactly `samples`."""
    if audio.ndim != 2:
        raise ValueError(f"audio must be (batch, samples), got shape {tuple(audio.shape)}")
    return nn.functional.pad(audio[:, :samples], (0, max(0, samples - audio.shape[1])))
