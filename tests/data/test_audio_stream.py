"""How many frames a growing sound is found to have."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fada.data.audio.features import AudioEncoder, LogMelEncoder
from fada.data.audio.stream import AudioStates
from fada.media.frame_count import sample_count

LOST_ONCE = [n for n in range(1, 15001) if math.floor(n * 640 / 16000 * 25.0) < n]
"""Lengths in frames whose last frame floating point loses."""


class Counting(AudioEncoder):
    """States of one number: which frame of its call it is."""

    layers, states_dim = 1, 1
    frames_around = 1

    def forward(self, audio: Tensor, frames: int) -> Tensor:
        return torch.arange(frames).float().reshape(1, frames, 1, 1).expand(len(audio), -1, -1, -1)

    def fingerprint(self) -> str:
        return "counting"


def total(samples: int, fps: float, piece: int) -> int:
    """Frames of so much sound that arrives in pieces."""
    states = AudioStates(
        Counting(), (np.zeros(min(piece, samples - at), np.float32) for at in range(0, samples, piece)), fps
    )
    frames = 0
    while states.windows(frames, 12, 2) is not None:
        frames += 12
    assert states.total is not None
    return states.total


def test_floating_point_once_lost_925_of_15000_lengths() -> None:
    assert (len(LOST_ONCE), LOST_ONCE[:4]) == (925, [29, 57, 58, 113])


@pytest.mark.parametrize("frames", LOST_ONCE[:40])
@pytest.mark.parametrize("piece", [1000, 10**6])
def test_exactly_n_frames_of_sound_are_n_frames(frames: int, piece: int) -> None:
    assert total(640 * frames, 25.0, piece) == frames


@pytest.mark.parametrize("fps", [24.0, 30.0, 12.5, 29.97, 30000 / 1001])
@pytest.mark.parametrize("frames", [1, 2, 29, 58, 100, 211])
def test_at_other_rates_too(frames: int, fps: float) -> None:
    assert total(sample_count(frames, 16000, fps), fps, 700) == frames


def test_an_encoder_of_a_rate_whose_spectra_are_whole_samples_is_made() -> None:
    assert LogMelEncoder(4, frames_per_video_frame=2, fps=12.5).hop == 640
    with pytest.raises(ValueError, match="do not divide 16000 Hz"):
        LogMelEncoder(4, frames_per_video_frame=2, fps=30000 / 1001)


@pytest.mark.parametrize(
    ("name", "value"),
    [("bins", 0), ("bins", 10**9), ("bins", 2.5), ("frames_per_video_frame", 0), ("frames_per_video_frame", "4")],
)
def test_a_hostile_log_mel_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"log_mel: {name} must be a whole number from 1 to 256, got"):
        LogMelEncoder(**{"bins": 4, name: value})


@pytest.mark.parametrize("fps", [0.0, math.nan, math.inf])
def test_a_log_mel_of_no_rate_is_refused(fps: float) -> None:
    with pytest.raises(ValueError, match="fps must be positive and finite"):
        LogMelEncoder(4, fps=fps)
