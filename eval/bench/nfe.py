"""Counts evaluations of the denoising net by a hook, so that no system reports its own number.

NFE-D is counted per clip: a batched pass over R branches of guidance counts R for each clip in it.
Source: the FADA paper's NFE-D (teacher 25 x 3 = 75, balanced 6 x 3 = 18, fast 6 x 1 = 6).
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import nn


class NfeCounter:
    """A context manager that counts how often ``denoiser`` evaluates a sample while it is open.

    Args:
        denoiser: the module whose forward passes count.
        clip_batch: how many clips are generated together; counts are divided by it.
        argument: name or position of the tensor argument whose first axis is the batch.

    ``with NfeCounter(unet) as counter: ...`` then ``counter.per_clip``. ``calls`` counts forward passes, whatever
    their batch. Only ``module(...)`` runs hooks: a call of ``module.forward(...)`` is not seen.

    Raises:
        ValueError: at exit or in ``per_clip``, when the evaluations do not divide by ``clip_batch``.
    """

    def __init__(self, denoiser: nn.Module, clip_batch: int = 1, argument: int | str = 0) -> None:
        if clip_batch < 1:
            raise ValueError(f"NfeCounter: clip_batch must be at least 1, got {clip_batch}")
        self.denoiser = denoiser
        self.clip_batch = clip_batch
        self.argument = argument
        self.calls = 0
        self.evaluations = 0
        self._handle: torch.utils.hooks.RemovableHandle | None = None

    def __enter__(self) -> NfeCounter:
        self.calls = 0
        self.evaluations = 0
        self._handle = self.denoiser.register_forward_pre_hook(self._count, with_kwargs=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    @property
    def per_clip(self) -> int:
        """Evaluations per clip (NFE-D).

        Raises:
            ValueError: the count does not divide by ``clip_batch``.
        """
        if self.evaluations % self.clip_batch:
            raise ValueError(
                f"NfeCounter: {self.evaluations} evaluations do not divide by clip_batch={self.clip_batch}; "
                "give the number of clips that were generated together"
            )
        return self.evaluations // self.clip_batch

    def _count(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.calls += 1
        self.evaluations += len(self._batch_tensor(args, kwargs))

    def _batch_tensor(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        chosen = kwargs.get(self.argument) if isinstance(self.argument, str) else None
        if isinstance(self.argument, int) and self.argument < len(args):
            chosen = args[self.argument]
        # A caller may pass the named argument by position, and the other way round: then the first tensor is it.
        for value in (chosen, *args, *kwargs.values()):
            if isinstance(value, torch.Tensor) and value.ndim:
                return value
        raise ValueError(
            f"NfeCounter: {type(self.denoiser).__name__} was called without a tensor argument; "
            "name the batch argument with argument=..."
        )
