"""The way to a CUDA device waits for nothing, and leads through pinned memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fada.data.clips.face import FaceClues
from fada.data.sampling.dataset import Batch
from fada.diffusion.transfer import PINNED_BYTES, moved


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, dict[str, Any]]]:
    """Of copies to a CUDA device: whether from pinned memory, and with which options. None is made."""
    seen: list[tuple[bool, dict[str, Any]]] = []
    to, pinned = torch.Tensor.to, set()

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        copy = tensor.clone()
        pinned.add(id(copy))
        return copy

    def copied(tensor: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        if args and torch.device(args[0]).type == "cuda":
            seen.append((id(tensor) in pinned, options))
            return tensor
        return to(tensor, *args, **options)

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", copied)
    return seen


def test_to_a_cuda_device_nothing_waits(copies: list[tuple[bool, dict[str, Any]]]) -> None:
    for count in (2, PINNED_BYTES // 4, PINNED_BYTES // 4 + 1):
        moved(torch.ones(count), "cuda:0")
    assert copies == [(is_pinned, {"non_blocking": True}) for is_pinned in (False, False, True)]


def test_to_where_it_is_a_tensor_is_not_copied() -> None:
    tensor = torch.ones(2)
    assert moved(tensor, "cpu") is tensor


def test_all_of_a_batch_goes_that_way(copies: list[tuple[bool, dict[str, Any]]]) -> None:
    face = FaceClues(torch.zeros(1, 512), torch.zeros(1, 4), torch.zeros(1, 4))
    large = [torch.zeros(PINNED_BYTES) for _ in range(4)]
    Batch(["a"], ["A"], *large[:3], torch.ones(1).bool(), large[3], face).to(torch.device("cuda"))
    assert [is_pinned for is_pinned, _ in copies].count(True) == 4
    assert [options for _, options in copies] == [{"non_blocking": True}] * 8
