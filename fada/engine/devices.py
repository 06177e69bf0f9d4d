"""What devices can compute in."""

from __future__ import annotations

import torch


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16: CUDA cards do from Ampere (2020) on; older ones only pretend, slowly."""
    if device.type != "cuda":
        return device.type == "cpu"
    return torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] >= 8
