"""Random numbers by (run seed, step, sample): the same global batch gives the same draws on any number of processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def sample_generator(seed: int, step: int, sample: int, purpose: str = "") -> torch.Generator:
    """A CPU generator that depends on nothing but its arguments, so a resumed run draws what an unbroken one would."""
    digest = hashlib.sha256(f"{seed}/{step}/{sample}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@contextmanager
def seeded(seed: int, part: str) -> Iterator[None]:
    """Within the block torch draws what follows from the run's seed and the part's name, whatever ran before.

    Afterwards it goes on as it would have. For weights, which are made on the CPU.
    """
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(sample_generator(seed, 0, 0, f"weights of {part}").initial_seed())
    try:
        yield
    finally:
        torch.set_rng_state(before)
