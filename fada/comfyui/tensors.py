"""ComfyUI's IMAGE and AUDIO to portrait and speech, and frames back: its tensors, our arrays."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from scipy.io import wavfile
from torch import Tensor

from fada.media.audio import decode_wav
from fada.media.frame_count import sample_count


def portrait_of(image: Tensor) -> np.ndarray:
    """The picture uint8 (H, W, 3) of an IMAGE float (1, H, W, C) in [0, 1]; a fourth channel is left out.

    Raises:
        ValueError: it is none, or more than one, or holds values that are not finite.
    """
    if not isinstance(image, Tensor) or image.dim() != 4 or image.shape[0] != 1 or image.shape[3] not in (3, 4):
        raise ValueError(f"image: must be one picture (1, H, W, 3), got {_shape(image)}; of a batch, take one with "
                         "ImageFromBatch")  # fmt: skip
    pixels = image[0, ..., :3].detach().float().cpu()
    if not bool(torch.isfinite(pixels).all()):
        raise ValueError("image: holds values that are not finite; look at the node that it comes from")
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def speech_of(audio: Mapping[str, Any]) -> np.ndarray:
    """The speech float32 (N,) at 16 kHz of an AUDIO, as `read_audio` has it of a file with the same samples.

    Args:
        audio: `waveform` float (1, C, T) in [-1, 1], and its `sample_rate`.

    Raises:
        ValueError: it is none, or more than one sound, is empty, or its values are not finite.
    """
    waveform, rate = _sound(audio)
    samples = waveform[0].detach().float().cpu()
    if not bool(torch.isfinite(samples).all()):
        raise ValueError("audio: holds values that are not finite; look at the node that it comes from")
    # As a file in memory, so that channels are mixed and rates changed in one place, as for every file.
    file = io.BytesIO()
    wavfile.write(file, rate, samples.T.contiguous().numpy())
    return decode_wav(file.getvalue())


def image_of(chunks: Iterable[np.ndarray], frames: int, size: int) -> Tensor:
    """The IMAGE float (frames, size, size, 3) in [0, 1] of chunks uint8 (n, size, size, 3), which are not kept."""
    # Written in place: a list and its concatenation would be twice as much, and this is four times the frames already.
    image = torch.empty(frames, size, size, 3)
    done = 0
    for chunk in chunks:
        image[done : done + len(chunk)] = torch.from_numpy(chunk)
        done += len(chunk)
    return image[:done].div_(255)


def heard(audio: Mapping[str, Any], frames: int, fps: float) -> dict[str, Any]:
    """The sound of so many frames, with its own rate and channels, as AUDIO."""
    waveform, rate = _sound(audio)
    return {"waveform": waveform[..., : sample_count(frames, rate, fps)], "sample_rate": rate}


def _sound(audio: Mapping[str, Any]) -> tuple[Tensor, int]:
    waveform = audio.get("waveform") if isinstance(audio, Mapping) else None
    rate = audio.get("sample_rate") if isinstance(audio, Mapping) else None
    if not isinstance(waveform, Tensor) or waveform.dim() != 3 or waveform.shape[0] != 1 or 0 in waveform.shape:
        raise ValueError(f"audio: must be one sound (1, channels, samples), got {_shape(waveform)}")
    if isinstance(rate, bool) or not isinstance(rate, int) or not 1 <= rate <= 1_000_000:
        raise ValueError(f"audio: sample_rate must be a whole number of samples per second, got {rate!r}")
    return waveform, rate


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
