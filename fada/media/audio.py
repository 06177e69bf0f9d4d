"""Sound: reading anything to mono samples, writing WAV.

Samples are float32 in [-1, 1]. A video's sound starts at its first picture, so that sample ``n`` and frame ``f`` of the
same file belong together at ``n / sample_rate == f / fps``.
"""

from __future__ import annotations

import io
import os
import wave

import numpy as np

from fada.files.whole import write_bytes
from fada.media.channels import Downmix
from fada.media.container import Source
from fada.media.error import MediaError
from fada.media.sample_rate import SAMPLE_RATE
from fada.media.sound_timeline import sound_blocks


def read_audio(path: Source, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """The sound of an audio or video file as mono samples.

    Args:
        path: any container and codec FFmpeg knows, with any number of channels, which are mixed as channels.py says;
            any rate is resampled.
        sample_rate: samples per second wanted.

    Returns:
        float32 (N,), within [-1, 1].

    Raises:
        MediaError: the file is unreadable, truncated, longer than 6 hours, or has no audio stream.
    """
    if sample_rate <= 0:
        raise ValueError(f"sample_rate must be positive, got {sample_rate}")
    downmix = Downmix()
    samples = _mixed(path, sample_rate, downmix)
    weights = downmix.better_weights()
    if weights:
        # Read again: that the mix lost the sound is known at its end, and keeping all channels would cost memory.
        del samples
        samples = _mixed(path, sample_rate, Downmix(weights))
    # In place: hours of sound are gigabytes.
    return np.clip(np.nan_to_num(samples, copy=False), -1.0, 1.0, out=samples)


def _mixed(path: Source, sample_rate: int, downmix: Downmix) -> np.ndarray:
    blocks = [block[0] for block in sound_blocks(path, sample_rate, downmix)]
    return np.concatenate(blocks, dtype=np.float32) if blocks else np.zeros(0, np.float32)


def check_audio(audio: np.ndarray) -> np.ndarray:
    """The samples as float32, known to be mono and finite.

    Raises:
        MediaError: another number of dimensions, an integer type, or not-a-number values.
    """
    if audio.ndim != 1:
        raise MediaError(f"audio must be mono samples of shape (N,), got shape {audio.shape}")
    if not np.issubdtype(audio.dtype, np.floating):
        raise MediaError(f"audio must be floating point in [-1, 1], got {audio.dtype}")
    if not np.isfinite(audio).all():
        raise MediaError("audio holds values that are not finite")
    return audio.astype(np.float32)


def encode_wav(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> bytes:
    """A 16-bit mono WAV file as bytes; samples beyond [-1, 1] are clipped."""
    samples = np.clip(np.round(check_audio(audio) * 32768.0), -32768, 32767).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def decode_wav(data: bytes, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Mono samples (N,) of an audio file held in memory (any format, not only WAV)."""
    return read_audio(data, sample_rate)


def write_wav(path: str | os.PathLike[str], audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write a 16-bit mono WAV file, atomically."""
    write_bytes(path, encode_wav(audio, sample_rate))
