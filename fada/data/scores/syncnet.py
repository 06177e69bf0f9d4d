"""SyncNet's offset, confidence and distance of a clip (Chung and Zisserman 2016), by the package syncnet-python.

Its own pipeline would look for faces again; the clip's landmarks say where the face is, and the network reads the same
crop: a square of 224 pixels from the forehead down past the chin, 0.4 face boxes wider.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from fada.data.clips.clip import Clip
from fada.data.scores.face import FaceTrack
from fada.media.audio import write_wav
from fada.media.sample_rate import SAMPLE_RATE
from fada.pretrained.errors import ModelFolderError
from fada.pretrained.weights import read_pickle

SIDE = 224
FEWEST_FRAMES = 25
_CONTEXT = 0.4
_SHIFTS = 15
"""Frames to both sides that are looked at."""
_GREY = (110, 110, 110)


class SyncNetError(ValueError):
    """The network cannot be had; the message says why and what to do."""


class SyncNet:
    """The network with its weights, on the CPU.

    Args:
        weights: `syncnet_v2.model`, the state dict that its authors publish.

    Raises:
        SyncNetError: the package is not installed, or the file is not such a state dict.
    """

    def __init__(self, weights: Path) -> None:
        try:
            from syncnet_python.SyncNetInstance import SyncNetInstance
            from syncnet_python.SyncNetModel import S
        except ImportError as error:
            raise SyncNetError(
                f"--syncnet: syncnet-python cannot be imported ({error}); install: pip install 'fada[syncnet]'"
            ) from error
        network = S()
        try:
            network.load_state_dict(read_pickle(weights))
        except (OSError, RuntimeError, AttributeError, TypeError, ModelFolderError) as error:
            # torch's own words would advise to trust the file.
            kind = type(error.__cause__ or error).__name__
            raise SyncNetError(
                f"--syncnet {weights}: not the weights of SyncNet ({kind}); give syncnet_v2.model"
            ) from error
        self._instance = SyncNetInstance(net=network.eval(), device="cpu")

    @torch.no_grad()
    def __call__(self, clip: Clip, face: FaceTrack) -> tuple[float, float, float] | None:
        """Offset in frames (lips minus sound; positive: the sound is early), confidence, distance.

        None for clips under a second.

        Raises:
            ValueError: the clip is not at 25 frames per second and 16 kHz.
        """
        if (clip.fps, clip.sample_rate) != (25, SAMPLE_RATE):
            raise ValueError(f"{clip.key}: SyncNet wants 25 frames per second and 16 kHz; prepare the clip again")
        if len(clip.frames) < FEWEST_FRAMES:
            return None
        with tempfile.TemporaryDirectory() as folder:
            for number, frame in enumerate(lower_faces(clip.frames, face)):
                Image.fromarray(frame).save(Path(folder) / f"{number:06d}.jpg", quality=95)
            write_wav(Path(folder) / "audio.wav", clip.audio, clip.sample_rate)
            options = SimpleNamespace(tmp_dir=folder, batch_size=20, vshift=_SHIFTS)
            # It prints its findings frame by frame.
            with contextlib.redirect_stdout(io.StringIO()):
                offset, confidence, distance = self._instance.evaluate(options)
        return float(offset), float(confidence), float(distance)


def lower_faces(frames: np.ndarray, face: FaceTrack) -> np.ndarray:
    """The crops that SyncNet was trained on, uint8 (F, 224, 224, 3); grey beyond the picture."""
    size = frames.shape[1]
    crops = []
    for frame, (x, y), height in zip(frames, face.centre * size, face.height * size, strict=True):
        half = height / 2
        # The nose's tip lies a little below the middle of the face.
        middle = y - 0.05 * height
        box = (x - half * (1 + _CONTEXT), middle - half, x + half * (1 + _CONTEXT), middle + half * (1 + 2 * _CONTEXT))
        reach = int(np.ceil(max(0.0, -min(box), max(box) - size)))
        padded = Image.new("RGB", (size + 2 * reach, size + 2 * reach), _GREY)
        padded.paste(Image.fromarray(frame), (reach, reach))
        moved = tuple(edge + reach for edge in box)
        crops.append(np.asarray(padded.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=moved)))
    return np.stack(crops)
