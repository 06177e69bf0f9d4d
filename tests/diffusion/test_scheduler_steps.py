"""PeRFlowScheduler as code for diffusers' schedulers expects it: tables, indices, custom and batched steps, img2img."""

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from fada.diffusion.forms import student_point, window_target
from fada.diffusion.scheduler import PeRFlowScheduler

ZERO_SNR = {"prediction_type": "v_prediction", "beta_schedule": "linear", "rescale_betas_zero_snr": True}
KINDS: list[dict[str, Any]] = [
    {},
    ZERO_SNR,
    {**ZERO_SNR, "matched": True},
    {"prediction_type": "flow_prediction"},
    {"prediction_type": "diff_eps", "timestep_offset": 0},
    {"prediction_type": "velocity", "num_windows": 3},
    {"spacing": "noise_share", "matched": True, "extra_steps": "last"},
]


def sampled(scheduler: PeRFlowScheduler, z: Tensor) -> Tensor:
    for timestep in scheduler.timesteps:
        answer = torch.sin(2 * scheduler.scale_model_input(z, timestep)) + timestep / 1000
        z = scheduler.step(answer, timestep, z).prev_sample
    return z


@pytest.mark.parametrize("kind", [{}, ZERO_SNR, {"set_alpha_to_one": True}])
def test_tables_are_those_of_ddim(kind: dict[str, Any]) -> None:
    ours = PeRFlowScheduler(**kind)
    sd = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "set_alpha_to_one": False}
    theirs = DDIMScheduler(**{**sd, **kind})
    for name in ("betas", "alphas", "alphas_cumprod", "final_alpha_cumprod"):
        found, expected = getattr(ours, name), getattr(theirs, name)
        assert found.dtype == torch.float32
        # diffusers multiplies its table up in float32.
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_velocity_is_that_of_ddim(generator: torch.Generator) -> None:
    clean, noise = torch.randn(2, 3, generator=generator), torch.randn(2, 3, generator=generator)
    theirs, timesteps = DDIMScheduler(), torch.tensor([812, 3])
    ours = PeRFlowScheduler.from_config(theirs.config)
    expected = theirs.get_velocity(clean, noise, timesteps)
    torch.testing.assert_close(ours.get_velocity(clean, noise, timesteps), expected, rtol=0, atol=1e-5)
    flow = PeRFlowScheduler(prediction_type="flow_prediction")
    torch.testing.assert_close(flow.get_velocity(clean, noise, timesteps), noise - clean)


def test_indices_follow_the_steps() -> None:
    scheduler, z = PeRFlowScheduler(), torch.ones(1, 2)
    scheduler.set_timesteps(6)
    assert (scheduler.step_index, scheduler.begin_index) == (None, None)
    scheduler.set_begin_index(2)
    assert scheduler.begin_index == 2
    for number, timestep in enumerate(scheduler.timesteps[2:], start=3):
        scheduler.step(z, timestep, z)
        assert scheduler.step_index == number
    assert scheduler.index_for_timestep(scheduler.timesteps[4]) == 4
    scheduler.set_timesteps(6)
    assert (scheduler.step_index, scheduler.begin_index) == (None, None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [4, 7])
def test_its_own_timesteps_given_back_are_the_same_steps(kind: dict[str, Any], steps: int) -> None:
    scheduler = PeRFlowScheduler(**kind)
    scheduler.set_timesteps(steps)
    z = torch.linspace(-2, 2, 6, dtype=torch.float64)[None]
    expected, own = sampled(scheduler, z), scheduler.timesteps.tolist()
    scheduler.set_timesteps(timesteps=own)
    assert scheduler.num_inference_steps == steps
    torch.testing.assert_close(scheduler.timesteps, torch.tensor(own), rtol=0, atol=1e-3)
    torch.testing.assert_close(sampled(scheduler, z), expected, rtol=0, atol=1e-5)


def test_whole_custom_timesteps_lie_on_the_window_s_boundaries() -> None:
    scheduler = PeRFlowScheduler(num_windows=3)
    scheduler.set_timesteps(timesteps=[999, 666, 332])
    torch.testing.assert_close(scheduler.timesteps, torch.tensor([999, 2000 / 3 - 1, 1000 / 3 - 1]))


def test_custom_timesteps_may_begin_inside_a_window_and_lie_unequally() -> None:
    scheduler = PeRFlowScheduler()
    scheduler.set_timesteps(timesteps=torch.tensor([600, 520, 499, 400, 249, 10]))
    assert scheduler.timesteps.tolist() == [600, 520, 499, 400, 249, 10]
    z = torch.tensor([[0.3]], dtype=torch.float64)
    # Two steps in one window end where one does: at the window's end that a constant answer means.
    for timestep in (600, 520):
        z = scheduler.step(torch.ones_like(z), timestep, z).prev_sample
    short = PeRFlowScheduler()
    short.set_timesteps(timesteps=[600, 499, 249])
    once = short.step(torch.ones_like(z), 600, torch.tensor([[0.3]], dtype=torch.float64)).prev_sample
    torch.testing.assert_close(z, once, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("timesteps", "message"),
    [
        ([999, 600, 499, 249], r"step from time 1 to 0.601 leaves its window, which ends at 0.75; .* 4 windows"),
        ([999, 749, 499], r"step from time 0.5 to 0 leaves its window, which ends at 0.25"),
        ([749, 999], "must fall from one to the next, got times .0.75, 1."),
        ([999, 999, 749, 499, 249], "must fall from one to the next"),
        ([1200, 749, 499, 249], r"must lie at times in \(0, 1\], got times .1.201"),
        ([999, 749, 499, 249, -1], r"must lie at times in \(0, 1\]"),
        ([999, float("nan"), 499, 249], r"must lie at times in \(0, 1\]"),
        ([], r"must lie at times in \(0, 1\], got times \[\]"),
    ],
)
def test_custom_timesteps_that_no_student_can_take_are_refused(timesteps: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PeRFlowScheduler().set_timesteps(timesteps=timesteps)


@pytest.mark.parametrize("both", [{}, {"num_inference_steps": 4, "timesteps": [999, 749, 499, 249]}])
def test_either_a_number_or_timesteps_is_given(both: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give either num_inference_steps or timesteps"):
        PeRFlowScheduler().set_timesteps(**both)


def test_more_steps_than_training_has_are_refused() -> None:
    with pytest.raises(ValueError, match="steps: got 1001, but training has 1000; use fewer"):
        PeRFlowScheduler().set_timesteps(1001)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_timesteps_steps_each_sample_at_its_own(kind: dict[str, Any]) -> None:
    scheduler = PeRFlowScheduler(**kind)
    scheduler.set_timesteps(6)
    z, answer = torch.linspace(-1, 1, 12, dtype=torch.float64).view(3, 4), torch.linspace(1, -1, 12).view(3, 4)
    timesteps = scheduler.timesteps[[1, 5, 2]]
    together = scheduler.step(answer, timesteps, z)
    scaled = scheduler.scale_model_input(z, timesteps)
    assert scheduler.step_index is None
    for each in range(3):
        one = slice(each, each + 1)
        alone = scheduler.step(answer[one], timesteps[each], z[one])
        torch.testing.assert_close(together.prev_sample[one], alone.prev_sample, rtol=0, atol=1e-12)
        torch.testing.assert_close(together.pred_original_sample[one], alone.pred_original_sample, rtol=0, atol=1e-12)
        alone_scaled = scheduler.scale_model_input(z[one], timesteps[each])
        torch.testing.assert_close(scaled[one], alone_scaled, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("timesteps", "message"),
    [
        (torch.tensor([999.0, 900.0]), r"timestep 900.0 is not one of \[999.0"),
        (torch.tensor([999.0, torch.nan]), r"timestep nan is not one of \[999.0"),
        (torch.tensor([999.0, 749.0, 499.0]), r"timesteps of shape \(3,\) for 2 samples; give one, or one for each"),
    ],
)
def test_a_batch_of_timesteps_that_is_none_is_refused(timesteps: Tensor, message: str) -> None:
    scheduler, z = PeRFlowScheduler(), torch.ones(2, 3)
    scheduler.set_timesteps(4)
    with pytest.raises(ValueError, match=message):
        scheduler.step(z, timesteps, z)


def test_not_a_number_is_no_timestep() -> None:
    scheduler, z = PeRFlowScheduler(), torch.ones(1, 1)
    scheduler.set_timesteps(4)
    with pytest.raises(ValueError, match="timestep nan is not one of"):
        scheduler.step(z, float("nan"), z)


@pytest.mark.parametrize("kind", KINDS)
def test_noised_inside_a_window_latents_lie_on_the_data_s_chord(kind: dict[str, Any]) -> None:
    scheduler = PeRFlowScheduler(**kind)
    scheduler.set_timesteps(7)
    clean, noise = (torch.tensor([[value]], dtype=torch.float64) for value in (0.8, -1.7))
    times = [*scheduler.windows.sampling_times(7), 0.0]
    for now, timestep in zip(times, scheduler.timesteps, strict=False):
        t = torch.tensor([now], dtype=torch.float64)
        start, end = scheduler.windows.look_up(t)
        z_start, z_end = (scheduler.path.add_noise(clean, noise, each) for each in (start, end))
        found = scheduler.add_noise(clean, noise, timestep[None])
        torch.testing.assert_close(found, student_point(z_start, z_end, t, start, end), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [{}, ZERO_SNR, {"prediction_type": "flow_prediction"}])
@pytest.mark.parametrize("strength", [0.9, 0.6, 0.5, 0.2])
def test_img2img_of_a_perfect_student_gives_the_picture_back(kind: dict[str, Any], strength: float) -> None:
    """As diffusers' img2img pipelines start: the last timesteps, a begin index, noise at the first of them."""
    scheduler = PeRFlowScheduler(**kind, set_alpha_to_one=True)
    scheduler.set_timesteps(10)
    first = 10 - int(10 * strength)
    timesteps = scheduler.timesteps[first:]
    scheduler.set_begin_index(first)
    clean, noise = (torch.tensor([[value]], dtype=torch.float64) for value in (0.8, -1.7))
    z = scheduler.add_noise(clean, noise, timesteps[:1])
    for timestep in timesteps:
        t = scheduler.path.time_of_timestep(timestep[None])
        ends = scheduler.windows.look_up(t)
        z_start, z_end = (scheduler.path.add_noise(clean, noise, each) for each in ends)
        answer = window_target(scheduler.path, z_start, z_end, *ends)
        z = scheduler.step(answer, timestep, z).prev_sample
    torch.testing.assert_close(z, clean, rtol=0, atol=1e-9)


def test_noise_at_timesteps_that_are_no_steps_is_on_the_chord_too() -> None:
    scheduler = PeRFlowScheduler(matched=True)
    clean, noise = torch.full((3, 1), 0.8), torch.full((3, 1), -1.7)
    # Matched timesteps of plain times 0.9, 0.6 and 0.1: what a network at the chord's points is asked at.
    t = torch.tensor([0.9, 0.6, 0.1], dtype=torch.float64)
    timesteps = scheduler.path.network_timestep(scheduler._points(t).t)
    expected = PeRFlowScheduler().add_noise(clean, noise, t * 1000 - 1)
    torch.testing.assert_close(scheduler.add_noise(clean, noise, timesteps), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_copy", [False, True])
def test_steps_in_order_never_wait_for_the_device(kind: dict[str, Any], is_copy: bool) -> None:
    """The meta device has no values: whatever waited for one would raise."""
    scheduler = PeRFlowScheduler(**kind)
    scheduler.set_timesteps(6, device="meta")
    if is_copy:
        scheduler.set_begin_index(0)
    z = torch.empty(2, 3, 4, device="meta", dtype=torch.float16)
    for number, element in enumerate(scheduler.timesteps):
        timestep = element.clone() if is_copy else element
        z = scheduler.step(scheduler.scale_model_input(z, timestep), timestep, z).prev_sample
        assert scheduler.step_index == number + 1
    assert (z.device.type, z.dtype) == ("meta", torch.float16)
    batch = scheduler.step(z, scheduler.timesteps[[0, 3]], z).prev_sample
    assert scheduler.add_noise(batch, batch, scheduler.timesteps[:2]).device.type == "meta"


def test_times_are_copied_to_a_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = PeRFlowScheduler()
    scheduler.set_timesteps(4, device="meta")
    z = torch.empty(2, 3, device="meta")
    scheduler.step(z, scheduler.timesteps[0], z)
    moves: list[torch.device] = []
    move = Tensor.to

    def watched(self: Tensor, *to: Any, **options: Any) -> Tensor:
        moved = move(self, *to, **options)
        if moved.device != self.device:
            moves.append(moved.device)
        return moved

    monkeypatch.setattr(Tensor, "to", watched)
    for timestep in scheduler.timesteps[1:]:
        z = scheduler.step(z, timestep, z).prev_sample
    assert not moves


def test_an_element_is_known_whatever_was_stepped_before() -> None:
    scheduler = PeRFlowScheduler()
    scheduler.set_timesteps(6, device="meta")
    z = torch.empty(1, 2, device="meta")
    for number in (4, 1):
        scheduler.step(z, scheduler.timesteps[number], z)
        assert scheduler.step_index == number + 1


def test_more_steps_than_timesteps_are_refused() -> None:
    scheduler = PeRFlowScheduler()
    scheduler.set_timesteps(4, device="meta")
    scheduler.set_begin_index(3)
    z = torch.empty(1, 2, device="meta")
    scheduler.step(z, scheduler.timesteps[3].clone(), z)
    with pytest.raises(ValueError, match="all 4 steps are taken; call set_timesteps to begin anew"):
        scheduler.step(z, scheduler.timesteps[3].clone(), z)


@pytest.mark.parametrize("kind", ["epsilon", "diff_eps", "velocity"])
def test_each_prediction_leads_to_the_window_end_that_defines_it(kind: str) -> None:
    scheduler = PeRFlowScheduler(prediction_type=kind)
    scheduler.set_timesteps(8)
    (a_s, c_s), (a_e, c_e) = (
        (float(scheduler.alphas_cumprod[i].double() ** 0.5), float((1 - scheduler.alphas_cumprod[i].double()) ** 0.5))
        for i in (749, 499)
    )
    z_start, answer = 0.7, -1.3
    # From the definitions: z_end = lambda z_start + eta prediction.
    slope, gain = {
        "epsilon": (a_e / a_s, c_e - c_s * a_e / a_s),
        "diff_eps": (a_e / a_s, -((1 - (a_s / a_e) ** 2) ** 0.5) / (a_s / a_e)),
        "velocity": (1.0, 0.5 - 0.75),
    }[kind]
    z_end = slope * z_start + gain * answer
    z = torch.tensor([[z_start]], dtype=torch.float64)
    for number, expected in ((2, (z_start + z_end) / 2), (3, z_end)):
        output = scheduler.step(torch.full_like(z, answer), scheduler.timesteps[number], z)
        z = output.prev_sample
        torch.testing.assert_close(z, torch.tensor([[expected]], dtype=torch.float64), rtol=0, atol=1e-6)
        # The clean latents of the line through both ends, wherever on it we are.
        clean = (c_e * z_start - c_s * z_end) / (c_e * a_s - c_s * a_e)
        torch.testing.assert_close(output.pred_original_sample, torch.full_like(z, clean), rtol=0, atol=1e-5)
