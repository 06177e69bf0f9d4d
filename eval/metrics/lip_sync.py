"""Sync-D, Sync-C and offset: how close lips and sound lie to each other in SyncNet's space, shift by shift.

Source: Chung and Zisserman 2016; github.com/joonson/syncnet_python, SyncNetInstance.evaluate. One thing differs: the
frames reach the network as they are, and not through JPEG.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fada.eval.metrics.mfcc import mfcc
from fada.eval.metrics.networks.syncnet import FRAMES, MFCC_FRAMES, SIDE, SyncNet
from fada.eval.metrics.not_measurable import NotMeasurable
from fada.media.frame_count import frame_count
from fada.media.sample_rate import SAMPLE_RATE

FPS = 25.0
SHIFTS = 15
"""Frames that the sound is shifted to both sides."""
FEWEST_FRAMES = 25
_BATCH = 20
_PER_FRAME = 4
"""MFCC frames per video frame."""


@dataclass(frozen=True)
class Sync:
    """What SyncNet says of a video.

    distance (Sync-D): mean distance at the best shift; confidence (Sync-C): median over shifts minus that; offset: the
    best shift in frames, lips minus sound (positive: the sound is early).
    """

    distance: float
    confidence: float
    offset: int


@torch.no_grad()
def lip_sync(network: SyncNet, mouths: np.ndarray, audio: np.ndarray, fps: float, sample_rate: int) -> Sync:
    """SyncNet's distance, confidence and offset of a video.

    Args:
        network: SyncNet with its weights.
        mouths: (F, 224, 224, 3) uint8 RGB, crops of the lower face.
        audio: (N,) mono in [-1, 1].
        fps, sample_rate: must be 25 and 16000.

    Raises:
        NotMeasurable: another rate, or under a second.
    """
    if (fps, sample_rate) != (FPS, SAMPLE_RATE):
        raise NotMeasurable(f"SyncNet wants 25 frames and 16000 samples per second, got {fps:g} and {sample_rate}")
    count = min(len(mouths), frame_count(len(audio), SAMPLE_RATE, FPS))
    if count < FEWEST_FRAMES:
        raise NotMeasurable(f"SyncNet needs {FEWEST_FRAMES} frames with sound, got {count}")
    device = next(network.parameters()).device
    sound = torch.from_numpy(mfcc(audio)).float().T
    frames = torch.from_numpy(np.ascontiguousarray(mouths[:count, ..., ::-1])).permute(3, 0, 1, 2)
    lips_seen, sound_heard = [], []
    # The public code leaves the last of the possible starts out.
    for start in range(0, count - FRAMES, _BATCH):
        starts = range(start, min(start + _BATCH, count - FRAMES))
        lips = torch.stack([frames[:, first : first + FRAMES] for first in starts]).float()
        heard = torch.stack([sound[None, :, _PER_FRAME * i : _PER_FRAME * i + MFCC_FRAMES] for i in starts])
        lips_seen.append(network.lips(lips.to(device)).cpu())
        sound_heard.append(network.sound(heard.to(device)).cpu())
    return sync_of(torch.cat(lips_seen), torch.cat(sound_heard))


def sync_of(lips: Tensor, sound: Tensor) -> Sync:
    """The same of features (N, 1024) of lips and of sound, one per frame."""
    padded = torch.nn.functional.pad(sound, (0, 0, SHIFTS, SHIFTS))
    shifted = padded.unfold(0, 2 * SHIFTS + 1, 1).movedim(2, 1)
    # pairwise_distance adds 1e-6 to each difference, as it does in the public code.
    distances = torch.nn.functional.pairwise_distance(lips[:, None], shifted).mean(dim=0)
    best = int(distances.argmin())
    return Sync(float(distances[best]), float(distances.median() - distances[best]), SHIFTS - best)


__all__ = ["FEWEST_FRAMES", "SIDE", "Sync", "lip_sync", "sync_of"]
