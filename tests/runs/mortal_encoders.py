"""Encoders whose process dies once; importable in worker processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from torch import Tensor

from fada.data.audio.features import LogMelEncoder
from fada.packing.tools import Tools
from fada.teacher.vae import load_vae


class _MortalEncoder(LogMelEncoder):
    """Ends its process at the first sound, until a file is there that says so."""

    died: Path
    spared: int
    """The number of a process that it does not end."""

    def forward(self, audio: Tensor, frames: int) -> Tensor:
        if os.getpid() != self.spared:
            try:
                # Only one of several workers makes it.
                self.died.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(audio, frames)


def load_mortal(vae: Path, died: Path, spared: int) -> Tools:
    """A VAE, and a log-mel encoder of eight bins that dies once, but not in the spared process."""
    encoder = _MortalEncoder(8)
    encoder.died, encoder.spared = died, spared
    return Tools(load_vae(vae), encoder)
