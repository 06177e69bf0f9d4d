"""Where and in which type a pipeline computes: names, closeness to float32, and weights that stay what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fada.generation import devices as acceleration
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.generation.devices import pick_device, pick_dtype
from fada.generation.pipelines import open_pipeline

PORTRAIT = np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
SOUND = np.random.default_rng(1).normal(0, 0.1, 4480).astype(np.float32)
NETWORKS = ("denoising_unet", "reference_unet", "audio_projection", "vae")


@pytest.fixture(params=["students/fast", "teacher"])
def folder(request: pytest.FixtureRequest, student_run: Path) -> Path:
    """A student that is told its scales, and a teacher under its ladder."""
    return student_run / request.param


def state(pipeline: AvatarPipeline) -> dict[str, torch.Tensor]:
    return {f"{name}.{key}": value for name in NETWORKS for key, value in getattr(pipeline, name).state_dict().items()}


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of frames, in levels of 255."""
    return float(np.abs(first.astype(float) - second).mean())


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_comes_close_to_float32(folder: Path, dtype: str) -> None:
    exact = open_pipeline(folder)(PORTRAIT, SOUND)
    half = open_pipeline(folder).to(dtype=pick_dtype(dtype, torch.device("cpu")))
    made = half(PORTRAIT, SOUND)
    assert made.latents.dtype == torch.float32
    assert exact.frames.std() > 5
    # Rounding of weights, of every layer and of the VAE; other noise is farther away by far.
    assert difference(made.frames, exact.frames) < (1.5 if dtype == "bf16" else 0.3)
    assert difference(open_pipeline(folder)(PORTRAIT, SOUND, seed=1).frames, exact.frames) > 4


def test_the_audio_encoder_stays_in_float32_and_in_the_config(student_run: Path, tmp_path: Path) -> None:
    pipeline = open_pipeline(student_run / "teacher")
    before = dict(pipeline.config)
    assert pipeline.to(torch.bfloat16) is pipeline
    assert pipeline.audio_encoder.dtype == torch.float32
    assert {pipeline.denoising_unet.dtype, pipeline.vae.dtype} == {torch.bfloat16}
    assert dict(pipeline.config) == before
    pipeline.save_pretrained(tmp_path / "half")
    assert open_pipeline(tmp_path / "half").audio_encoder is not None


@pytest.mark.parametrize("channels_last", [None, True])
def test_optimizing_changes_the_layout_and_neither_names_nor_values(
    student_run: Path, channels_last: bool | None
) -> None:
    plain, fast = (open_pipeline(student_run / "students" / "fast") for _ in range(2))
    fast.optimize(channels_last=channels_last)
    is_last = [weight.is_contiguous(memory_format=torch.channels_last)
               for weight in (fast.vae.decoder.conv_out.weight, fast.denoising_unet.conv_out.weight)]  # fmt: skip
    assert is_last == [True, bool(channels_last)]
    before, after = state(plain), state(fast)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert difference(fast(PORTRAIT, SOUND).frames, plain(PORTRAIT, SOUND).frames) < 0.05


@pytest.mark.slow
def test_compiled_networks_keep_their_names_and_draw_the_same_frames(student_run: Path) -> None:
    plain, compiled = (open_pipeline(student_run / "students" / "fast") for _ in range(2))
    # This backend traces and runs as it is: the whole of dynamo, and no compiler's minutes.
    compiled.compile_networks(backend="eager")
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    frames = compiled(PORTRAIT, SOUND, max_frames=4).frames
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 4
    torch._dynamo.reset()
    assert state(compiled).keys() == state(plain).keys()
    assert difference(frames, plain(PORTRAIT, SOUND, max_frames=4).frames) < 0.05


def test_devices_have_torch_s_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match=r"device: no cuda:2 here \(torch .*\); there is cpu, cuda \(2\)"):
        pick_device("cuda:2")
    with pytest.raises(ValueError, match="device: no xpu here"):
        pick_device("xpu")
    with pytest.raises(ValueError, match="device: got 'gpu'; choose from cpu, cuda, cuda:N, mps"):
        pick_device("gpu")


@pytest.mark.parametrize("has_cuda", [True, False])
def test_without_names_a_cuda_device_is_used_in_bfloat16(monkeypatch: pytest.MonkeyPatch, has_cuda: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    device = pick_device()
    assert device.type == ("cuda" if has_cuda else "cpu")
    assert pick_dtype(None, device) == (torch.bfloat16 if has_cuda else torch.float32)


def test_a_cuda_device_before_ampere_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert pick_dtype(None, torch.device("cuda")) == torch.float32


def test_types_have_their_short_names() -> None:
    assert pick_dtype("fp16", torch.device("cpu")) == torch.float16
    with pytest.raises(ValueError, match="dtype: got 'int8'; choose from fp32, bf16, fp16"):
        pick_dtype("int8", torch.device("cpu"))


@pytest.mark.gpu
def test_on_a_cuda_device_clips_overlap_and_come_close_to_the_cpu(folder: Path) -> None:
    exact = open_pipeline(folder)(PORTRAIT, SOUND)
    there = open_pipeline(folder).to("cuda", torch.bfloat16).optimize()
    made = there(PORTRAIT, SOUND)
    assert np.array_equal(made.frames, there(PORTRAIT, SOUND, overlap=False).frames)
    assert difference(made.frames, exact.frames) < 1.5


@pytest.mark.parametrize(
    ("asked", "variable", "usable", "found"),
    [(3, None, 8, 3), (None, "5", 8, 6), (None, None, 2, 2), (None, None, 64, 6)],
)
def test_threads_are_no_more_than_this_process_may_use(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, variable: str | None, usable: int, found: int
) -> None:
    count = [6]
    monkeypatch.setattr(torch, "set_num_threads", lambda wanted: count.append(wanted))
    monkeypatch.setattr(torch, "get_num_threads", lambda: count[-1])
    monkeypatch.setattr(acceleration, "usable_processors", lambda: usable)
    monkeypatch.setenv("OMP_NUM_THREADS", variable or "")
    if variable is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    assert acceleration.use_threads(asked) == found
