"""Configs between PeRFlowScheduler, diffusers' schedulers and the public PeRFlow code: nothing changes on the way."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
)

from fada.diffusion.scheduler import PeRFlowScheduler

OTHERS = [DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler]
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
KINDS: list[dict[str, Any]] = [
    {},
    {"prediction_type": "v_prediction", "beta_schedule": "linear", "num_windows": 3, "matched": True},
    {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear", "timestep_offset": 0, "extra_steps": "last"},
    {"prediction_type": "diff_eps", "spacing": "log_snr"},
]
# The public repository's own defaults, as its `save_pretrained` writes them.
PUBLIC = {
    "_class_name": "PeRFlowScheduler",
    "_diffusers_version": "0.25.0",
    "num_train_timesteps": 1000,
    **SD,
    "trained_betas": None,
    "set_alpha_to_one": False,
    "prediction_type": "ddim_eps",
    "t_noise": 1,
    "t_clean": 0,
    "num_time_windows": 4,
}


def betas(start: float, end: float, schedule: str) -> torch.Tensor:
    power = 0.5 if schedule == "scaled_linear" else 1.0
    return torch.linspace(start**power, end**power, 1000) ** (1 / power)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("kind", KINDS)
def test_our_betas_and_settings_go_through_another_scheduler_and_back(other: Any, kind: dict[str, Any]) -> None:
    ours = PeRFlowScheduler(**kind)
    theirs = other.from_config(ours.config)
    said = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", **kind}
    expected = betas(*(said[name] for name in ("beta_start", "beta_end", "beta_schedule")))
    torch.testing.assert_close(theirs.betas, expected, rtol=0, atol=1e-8)
    assert theirs.config.prediction_type == kind.get("prediction_type", "epsilon")
    back = PeRFlowScheduler.from_config(theirs.config)
    assert (back.path, back.windows) == (ours.path, ours.windows)
    assert back.config["prediction_type"] == ours.config["prediction_type"]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize(
    "said", [{}, SD, {**SD, "prediction_type": "v_prediction"}, {**SD, "prediction_type": "sample"}]
)
def test_another_scheduler_s_betas_are_ours_and_come_back(other: Any, said: dict[str, Any]) -> None:
    theirs = other(**said)
    ours = PeRFlowScheduler.from_config(theirs.config)
    torch.testing.assert_close(ours.betas, theirs.betas, rtol=0, atol=1e-6)
    assert ours.path.prediction_type == said.get("prediction_type", "epsilon")
    back = other.from_config(ours.config)
    torch.testing.assert_close(back.alphas_cumprod, theirs.alphas_cumprod, rtol=0, atol=1e-7)
    # And its own settings, which ours does not read.
    name = "clip_sample" if other is DDIMScheduler else "steps_offset"
    assert back.config[name] == theirs.config[name]


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"prediction_type": "v_prediction", "beta_schedule": "linear", "rescale_betas_zero_snr": True},
        {"prediction_type": "sample"},
    ],
)
def test_with_a_step_per_window_ddim_of_our_config_samples_as_we_do(kind: dict[str, Any]) -> None:
    ours = PeRFlowScheduler(**kind)
    theirs = DDIMScheduler.from_config(ours.config)
    samples = []
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(4)
        assert scheduler.timesteps.tolist() == [999, 749, 499, 249]
        sample = torch.linspace(-3, 3, 8)[None]
        for timestep in scheduler.timesteps:
            sample = scheduler.step(2 * torch.sin(2 * sample) - timestep / 1000, timestep, sample).prev_sample
        samples.append(sample)
    # Beyond one: a scheduler that clips would differ.
    assert samples[0].abs().max() > 1
    torch.testing.assert_close(samples[0], samples[1], rtol=1e-4, atol=1e-5)


def test_a_config_file_that_leaves_betas_unsaid_means_those_of_its_class() -> None:
    scheduler = PeRFlowScheduler.from_config({"_class_name": "DDIMScheduler", "num_train_timesteps": 1000})
    torch.testing.assert_close(scheduler.betas, betas(0.0001, 0.02, "linear"), rtol=0, atol=1e-6)
    assert scheduler.final_alpha_cumprod == 1


@pytest.mark.parametrize(
    ("public", "ours"), [("ddim_eps", "epsilon"), ("diff_eps", "diff_eps"), ("velocity", "velocity")]
)
def test_the_public_repository_s_config_is_understood(public: str, ours: str, tmp_path: Path) -> None:
    (tmp_path / "scheduler_config.json").write_text(
        json.dumps({**PUBLIC, "prediction_type": public, "num_time_windows": 8})
    )
    scheduler = PeRFlowScheduler.from_pretrained(tmp_path)
    assert scheduler.windows.count == 8
    assert scheduler.config["prediction_type"] == ours
    scheduler.set_timesteps(8)
    assert scheduler.timesteps.tolist() == [1000, 875, 750, 625, 500, 375, 250, 125]
    scheduler.save_pretrained(tmp_path / "again")
    again = PeRFlowScheduler.from_pretrained(tmp_path / "again")
    assert (again.path, again.windows, again.config["prediction_type"]) == (scheduler.path, scheduler.windows, ours)


def test_the_public_repository_s_own_call_works() -> None:
    pipeline_scheduler = DDIMScheduler(**SD, set_alpha_to_one=False, steps_offset=1, clip_sample=False)
    scheduler = PeRFlowScheduler.from_config(pipeline_scheduler.config, prediction_type="diff_eps", num_time_windows=4)
    scheduler.set_timesteps(6)
    assert scheduler.timesteps.tolist() == [1000, 875, 750, 625, 500, 250]
    assert scheduler.path == PeRFlowScheduler(timestep_offset=0).path
    # The same on a scheduler of ours: what is asked for counts, not what was there.
    again = PeRFlowScheduler.from_config(PeRFlowScheduler().config, prediction_type="ddim_eps", num_time_windows=2)
    assert (again.windows.count, again.path.timestep_offset, again.path.prediction_type) == (2, 0, "epsilon")


def test_public_windows_that_end_elsewhere_are_refused() -> None:
    with pytest.raises(ValueError, match=r"between t_clean 0 and t_noise 1, got t_clean 0.1 and t_noise 1"):
        PeRFlowScheduler.from_config({**PUBLIC, "t_clean": 0.1})


@pytest.mark.parametrize("other", [FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler])
@pytest.mark.parametrize("is_saved", [False, True])
def test_a_flow_matching_config_is_a_flow(other: Any, is_saved: bool, tmp_path: Path) -> None:
    config: Any = other().config
    if is_saved:
        other().save_pretrained(tmp_path)
        config = json.loads((tmp_path / "scheduler_config.json").read_text())
    scheduler = PeRFlowScheduler.from_config(config)
    scheduler.set_timesteps(4)
    # Networks of flow matching see T sigma.
    assert scheduler.timesteps.tolist() == [1000, 750, 500, 250]
    noisy = scheduler.add_noise(torch.tensor([[2.0]]), torch.tensor([[10.0]]), torch.tensor([250.0]))
    torch.testing.assert_close(noisy, torch.tensor([[0.75 * 2 + 0.25 * 10]]))
    assert not hasattr(scheduler, "alphas_cumprod")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (FlowMatchEulerDiscreteScheduler(shift=3.0).config, "has shift 3.0, .*use shift=1.0, for students of plain"),
        (FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True).config, "has use_dynamic_shifting"),
        (FlowMatchEulerDiscreteScheduler(invert_sigmas=True).config, "has invert_sigmas"),
        (EDMEulerScheduler().config, "no beta_schedule beside .*sigma_data.*use a config with betas"),
        (EulerDiscreteScheduler(timestep_type="continuous").config, "has timestep_type 'continuous'"),
        (
            DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0).config,
            "has flow_shift 3.0",
        ),
        (DPMSolverMultistepScheduler(use_flow_sigmas=True).config, "use_flow_sigmas with prediction_type 'epsilon'"),
        ({"prediction_type": "mu"}, "prediction_type: got 'mu'; choose from epsilon"),
        (DDIMScheduler(trained_betas=[0.1, 0.2]).config, "trained_betas is not supported"),
        ({"prediction_type": ["epsilon"]}, "prediction_type: got"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 2.0}, "of FlowMatchEulerDiscreteScheduler has"),
    ],
)
def test_a_config_that_cannot_be_followed_is_refused(config: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PeRFlowScheduler.from_config(config)


def test_a_shift_may_be_overruled() -> None:
    config = FlowMatchEulerDiscreteScheduler(shift=3.0).config
    assert PeRFlowScheduler.from_config(config, shift=1.0).path.is_flow


def test_solvers_take_our_flow_for_a_flow_and_back() -> None:
    ours = PeRFlowScheduler(prediction_type="flow_prediction")
    theirs = DPMSolverMultistepScheduler.from_config(ours.config)
    assert theirs.config.use_flow_sigmas is True
    back = PeRFlowScheduler.from_config(theirs.config)
    assert (back.path, back.windows) == (ours.path, ours.windows)
    fresh = DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction")
    assert PeRFlowScheduler.from_config(fresh.config).path.timestep_offset == 0


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ({"prediction_type": "ddim_eps"}, "got 'ddim_eps'; choose from epsilon, .*velocity; .*go through from_config"),
        ({"prediction_type": "diff_eps", "matched": True}, "diff_eps is a prediction of the window; set matched"),
        ({"prediction_type": "velocity", "matched": True}, "velocity is a prediction of the window; set matched"),
    ],
)
def test_a_prediction_type_that_cannot_be_meant_is_refused(kind: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PeRFlowScheduler(**kind)
