"""Why training ends badly, in words that say what to do."""

from __future__ import annotations

import torch


class TrainingFailed(ValueError):
    """Training cannot go on; the message says where, why, and what to do."""


LESS_MEMORY = (
    "lower the phase's batch and raise engine.accumulate by the same factor (the same training, less memory); "
    "engine.activation_checkpointing: true; engine.strategy: zero2 or zero3 over more processes; "
    "engine.offload_optimizer: cpu"
)


def explain(error: BaseException, step: int, timeout_minutes: float) -> TrainingFailed | None:
    """The same failure as a user should read it; None for one that is not known."""
    text = str(error)
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in text:
        first = text.splitlines()[0] if text else type(error).__name__
        return TrainingFailed(f"step {step}: out of memory ({first}). What helps, in this order: {LESS_MEMORY}")
    if any(sign in text for sign in ("Connection closed by peer", "Connection reset by peer", "Broken pipe")):
        return TrainingFailed(
            f"step {step}: another process of this run has died; its own message, above, says why. "
            "The same command goes on from the last checkpoint"
        )
    if any(sign in text.lower() for sign in ("timed out waiting", "timeout", "timed out after")):
        return TrainingFailed(
            f"step {step}: another process gave no sign of life for {timeout_minutes:g} minutes "
            "(engine.timeout_minutes): it hangs, or is far slower than this one. Look at its log, and at its node's "
            "disk and network. The same command goes on from the last checkpoint"
        )
    return None
