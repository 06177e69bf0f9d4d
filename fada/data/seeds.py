"""Random numbers by (run seed, step, sample): the same global batch gives the same draws on any number of processes."""

from __future__ import annotations

import hashlib

import torch


def sample_generator(seed: int, step: int, sample: int, purpose: str = "") -> torch.Generator:
    """A CPU generator that depends on nothing but its arguments, so a resumed run draws what an unbroken one would."""
    digest = hashlib.sha256(f"{seed}/{step}/{sample}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
