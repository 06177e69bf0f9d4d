"""Encoders whose process dies once; importable in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

from torch import Tensor

from fada.build.encode_shard import Encoders
from fada.build.pack_clips import Tools
from fada.data.audio_features import LogMelEncoder
from fada.teacher.vae import load_vae


class _MortalEncoder(LogMelEncoder):
    """Ends its process at the first sound, until a file is there that says so."""

    died: Path

    def forward(self, audio: Tensor, frames: int) -> Tensor:
        if multiprocessing.parent_process() is not None:
            try:
                # Only one of several workers makes it.
                self.died.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(audio, frames)


def load_mortal(vae: Path, died: Path) -> Encoders:
    """A VAE, and a log-mel encoder of eight bins that dies once."""
    encoder = _MortalEncoder(8)
    encoder.died = died
    return load_vae(vae), encoder


def load_mortal_tools(vae: Path, died: Path) -> Tools:
    """The same, to make shards of clips."""
    return Tools(*load_mortal(vae, died))
