"""PeRFlowScheduler as diffusers uses schedulers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, UNet2DModel
from torch import Tensor

from fada.diffusion.forms import window_target
from fada.diffusion.paths import NoisePath
from fada.diffusion.sampling import sample_student
from fada.diffusion.scheduler import PeRFlowScheduler, PeRFlowSchedulerOutput
from fada.diffusion.windows import Windows

KINDS: list[dict[str, Any]] = [
    {},
    {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
    {"prediction_type": "flow_prediction"},
    {"timestep_offset": 0, "num_windows": 3},
]


def curved(z: Tensor, timestep: Tensor) -> Tensor:
    return torch.sin(2 * z) + timestep.to(z).view(-1, *(1,) * (z.ndim - 1)) / 1000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [4, 6, 12])
def test_stepping_equals_sample_student(kind: dict[str, Any], steps: int) -> None:
    scheduler = PeRFlowScheduler(**kind)
    path, windows = NoisePath.from_config(scheduler.config), Windows(scheduler.config["num_windows"])
    scheduler.set_timesteps(steps)
    z = sample = torch.linspace(-2, 2, 12).view(2, 6)
    for timestep in scheduler.timesteps:
        sample = scheduler.step(curved(sample, timestep), timestep, sample).prev_sample
    expected = sample_student(lambda z, t: curved(z, path.network_timestep(t)), path, windows, z, steps)
    torch.testing.assert_close(sample, expected, rtol=0, atol=1e-6)


def test_a_diffusers_pipeline_runs_with_it_and_equals_sample_student() -> None:
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    pipeline = DDPMPipeline(network, PeRFlowScheduler())
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        batch_size=2, generator=torch.Generator().manual_seed(1), num_inference_steps=6, output_type="pt"
    ).images
    path = NoisePath()
    z = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        sampled = sample_student(lambda z, t: network(z, path.network_timestep(t)).sample, path, Windows(4), z, 6)
    torch.testing.assert_close(images, (sampled / 2 + 0.5).clamp(0, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load_round_trip(kind: dict[str, Any], tmp_path: Path) -> None:
    scheduler = PeRFlowScheduler(**kind)
    scheduler.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "scheduler_config.json").read_text())
    assert saved["_class_name"] == "PeRFlowScheduler"
    loaded = PeRFlowScheduler.from_pretrained(tmp_path)
    assert loaded.path == scheduler.path
    assert loaded.windows == scheduler.windows


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "set_alpha_to_one": False},
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
    ],
)
def test_from_config_of_a_ddim_scheduler_keeps_its_noise_path(config: dict[str, Any]) -> None:
    reference = DDIMScheduler(**config)
    scheduler = PeRFlowScheduler.from_config(reference.config, num_windows=2)
    assert scheduler.windows.count == 2
    times = torch.arange(1, 1001) / 1000
    ours = scheduler.path.alpha_bar(times).float()
    torch.testing.assert_close(ours, reference.alphas_cumprod, rtol=0, atol=2e-6)
    at_zero = scheduler.path.alpha_bar(torch.zeros(1)).float().squeeze()
    torch.testing.assert_close(at_zero, reference.final_alpha_cumprod, rtol=0, atol=2e-6)


def test_a_ddim_scheduler_loads_from_its_config() -> None:
    scheduler = PeRFlowScheduler(beta_schedule="linear", prediction_type="v_prediction")
    loaded = DDIMScheduler.from_config(scheduler.config)
    assert loaded.config.beta_schedule == "linear"
    assert loaded.config.prediction_type == "v_prediction"


def test_from_config_refuses_betas_it_cannot_follow() -> None:
    with pytest.raises(ValueError, match="beta_schedule: got 'squaredcos_cap_v2'"):
        PeRFlowScheduler.from_config(DDIMScheduler(beta_schedule="squaredcos_cap_v2").config)


def test_timesteps_are_floats_of_the_sampling_times() -> None:
    scheduler = PeRFlowScheduler()
    scheduler.set_timesteps(6)
    assert scheduler.timesteps.dtype == torch.float32
    assert scheduler.timesteps.tolist() == [999.0, 874.0, 749.0, 624.0, 499.0, 249.0]


def test_clean_preview_on_the_ground_truth_line_is_the_data() -> None:
    scheduler = PeRFlowScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    scheduler.set_timesteps(4)
    clean, noise = torch.tensor([[0.8]]), torch.tensor([[-1.7]])
    t_start, t_end = torch.tensor([0.75]), torch.tensor([0.5])
    z_start, z_end = (scheduler.path.add_noise(clean, noise, t) for t in (t_start, t_end))
    target = window_target(scheduler.path, z_start, z_end, t_start, t_end)
    output = scheduler.step(target, scheduler.timesteps[1], z_start)
    assert isinstance(output, PeRFlowSchedulerOutput)
    torch.testing.assert_close(output.pred_original_sample, clean, rtol=0, atol=1e-5)
    torch.testing.assert_close(output.prev_sample, z_end, rtol=0, atol=1e-5)


def test_step_without_dictionary_returns_the_pair() -> None:
    scheduler = PeRFlowScheduler()
    scheduler.set_timesteps(4)
    output = scheduler.step(torch.ones(1, 2), 999, torch.ones(1, 2), return_dict=False)
    assert isinstance(output, tuple)
    assert len(output) == 2


def test_step_keeps_the_dtype_of_the_latents() -> None:
    scheduler = PeRFlowScheduler()
    scheduler.set_timesteps(4)
    latents = torch.ones(1, 2, dtype=torch.bfloat16)
    assert scheduler.step(latents, 999.0, latents).prev_sample.dtype == torch.bfloat16


def test_model_input_needs_no_scaling() -> None:
    scheduler, sample = PeRFlowScheduler(), torch.ones(1, 2)
    assert scheduler.scale_model_input(sample, 999.0) is sample
    assert (scheduler.init_noise_sigma, scheduler.order, len(scheduler)) == (1.0, 1, 1000)


def test_add_noise_equals_that_of_diffusers(generator: torch.Generator) -> None:
    clean, noise = torch.randn(2, 3, generator=generator), torch.randn(2, 3, generator=generator)
    reference, timesteps = DDIMScheduler(), torch.tensor([999, 499])
    scheduler = PeRFlowScheduler.from_config(reference.config)
    expected = reference.add_noise(clean, noise, timesteps)
    torch.testing.assert_close(scheduler.add_noise(clean, noise, timesteps), expected, rtol=0, atol=1e-5)


def test_step_before_set_timesteps_is_refused() -> None:
    with pytest.raises(ValueError, match="call set_timesteps first"):
        PeRFlowScheduler().step(torch.ones(1, 1), 999.0, torch.ones(1, 1))


def test_a_foreign_timestep_is_refused() -> None:
    scheduler = PeRFlowScheduler()
    scheduler.set_timesteps(4)
    with pytest.raises(ValueError, match=r"timestep 900.0 is not one of \[999.0, 749.0"):
        scheduler.step(torch.ones(1, 1), 900.0, torch.ones(1, 1))


def test_fewer_steps_than_windows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got 3.*use 4 or more"):
        PeRFlowScheduler().set_timesteps(3)
