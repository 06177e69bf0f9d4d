"""Decoding one clip while the next is denoised: the same frames in the same order, and one clip ahead at most."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from fada.teacher.codec import appearance_of, decode_latents

T = TypeVar("T")
NOT_MOVED: Mapping[int, float] = {}


# Threads are kept from call to call: cuDNN's plans of convolutions and cuBLAS's handles belong to a thread, and a new
# one makes them again, which at Stable Diffusion 1.5's size takes as long as ten passes.
_idle: list[ThreadPoolExecutor] = []
# A forked process has none of its parent's threads.
os.register_at_fork(after_in_child=_idle.clear)


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The items in order; while one is used, the next is made in a second thread.

    What `items` raises is raised in its place. Closing this generator waits for the item that is being made.
    """
    end = object()
    try:
        thread = _idle.pop()
    except IndexError:
        thread = ThreadPoolExecutor(1, "next-clip")
    made = thread.submit(next, items, end)
    try:
        while (item := made.result()) is not end:
            made = thread.submit(next, items, end)
            yield item  # type: ignore[misc]
    finally:
        wait([made])
        _idle.append(thread)


class ClipDecoder:
    """Latents (n, ...) of a clip to frames (n, H, W, 3) uint8.

    Args:
        portrait: (H, W, 3), for codecs that decode with what they see in it.
        is_beside: on a CUDA device, work on a stream of its own, so that the next clip's kernels need not wait. The
            latents must be finished, not merely under way (`wait_for`).
        motion: how far frames are moved along a codec's directions, by number.
    """

    def __init__(
        self, vae: Any, portrait: np.ndarray, is_beside: bool, motion: Mapping[int, float] = NOT_MOVED
    ) -> None:
        self.motion = motion
        self.vae, self.appearance = vae, appearance_of(vae, portrait)
        self.stream = torch.cuda.Stream(vae.device) if is_beside and vae.device.type == "cuda" else None

    def __call__(self, latents: Tensor) -> np.ndarray:
        # Without a stream of its own this context does nothing. When it ends the frames are on the CPU.
        with torch.cuda.stream(self.stream):
            if hasattr(self.vae, "within_reach"):
                latents = self.vae.within_reach(latents, self.appearance)
            # What is asked for by hand comes on top.
            for direction, amount in self.motion.items():
                latents = self.vae.along(latents, direction, amount)
            return decode_latents(self.vae, latents, self.appearance)


def wait_for(device: torch.device) -> None:
    """Return when the work that this thread gave the device is done; other threads' streams are not waited for."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()
