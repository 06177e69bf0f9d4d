"""Training steps and denoising on a CUDA device against the CPU: `pytest -m gpu` where there is one.

What the pretended device cannot know: kernels, their rounding, and what really makes the processor wait.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from pretended import gradients
from test_float_codec import new_codec, objective
from test_float_codec import stepped as stepped_codec
from test_generation import CASES as WAYS
from test_generation import WAYS as HOW
from test_generation import denoised, student_of
from test_training_step import CASES, STEPS, stepped, to_device

from fada.data.sampling.dataset import ClipSampler
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.float.frame_pairs import FramePairs

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@contextmanager
def exact_kernels() -> Iterator[None]:
    """float32 as the CPU has it: no TF32, no cuDNN that searches."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@contextmanager
def waits() -> Iterator[list[str]]:
    """Where torch says that the processor waited for the device, file by file; nothing of it fails."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")
    found += [
        f"{Path(each.filename).name}:{each.lineno}" for each in told if "called a synchronizing" in str(each.message)
    ]


@pytest.mark.parametrize(("model", "step"), CASES, indirect=["model"])
def test_a_step_is_the_cpus_and_waits_where_the_pretended_device_does(
    model: AvatarDenoiser, sampler: ClipSampler, tmp_path: Path, step: str
) -> None:
    make, expected_waits = STEPS[step]
    made = make(model, sampler, tmp_path)
    there = to_device(made, CUDA)
    with exact_kernels():
        stepped(copy.deepcopy(there))  # tables of the device are made once
        with waits() as waited:
            found = stepped(there)
        expected = stepped(made)
    assert found.total.device.type == "cuda"
    torch.testing.assert_close(found.total.detach().cpu(), expected.total.detach(), rtol=1e-4, atol=1e-5)
    found_gradients = {name: each.cpu() for name, each in gradients(there.module).items()}
    torch.testing.assert_close(found_gradients, gradients(made.module), rtol=1e-2, atol=1e-4)
    assert len(waited) <= len(expected_waits), waited


@pytest.mark.parametrize(("model", "way"), WAYS, indirect=["model"])
def test_denoising_is_the_cpus_and_waits_for_nothing(model: AvatarDenoiser, sampler: ClipSampler, way: str) -> None:
    mode = HOW[way][0]
    network = model if mode is None else student_of(model, mode, 2)
    there = copy.deepcopy(network).to(CUDA)
    with exact_kernels():
        denoised(there, way, sampler, CUDA)
        with waits() as waited:
            found, evaluations = denoised(there, way, sampler, CUDA)
        expected, as_many = denoised(network, way, sampler, CPU)
    assert evaluations == as_many
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-3)
    assert waited == []


@pytest.mark.parametrize("finds_face", [True, False])
def test_a_step_of_floats_codec_is_the_cpus_and_waits_for_nothing(pairs: FramePairs, finds_face: bool) -> None:
    made = objective(pairs, finds_face)
    there = copy.deepcopy(made)
    there.module.to(CUDA)
    with exact_kernels():
        stepped_codec(copy.deepcopy(there))
        with waits() as waited:
            found = stepped_codec(there)
        expected = stepped_codec(made)
    torch.testing.assert_close(found.total.detach().cpu(), expected.total.detach(), rtol=1e-3, atol=1e-4)
    assert waited == []


@pytest.mark.parametrize("finds_face", [True, False])
def test_clips_of_floats_codec_are_the_cpus(pairs: FramePairs, finds_face: bool) -> None:
    codec = new_codec(finds_face)
    frames = ((pairs.batch(5, 0, range(4)).pixels[:4].permute(0, 2, 3, 1) + 1) * 127.5).round().byte().numpy()
    there = copy.deepcopy(codec).to(CUDA)
    with exact_kernels():
        found, expected = there.retold(frames), codec.retold(frames)
    assert expected.std() > 5
    assert np.abs(found.astype(int) - expected).max() <= 2
