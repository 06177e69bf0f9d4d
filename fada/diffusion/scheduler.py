"""The student's sampler as a diffusers scheduler: saves, loads and steps like any other.

A thin border around ``windows``, ``forms`` and ``matched``; the mathematics is there. Configs of others are read by
``scheduler_config``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers, SchedulerMixin
from diffusers.utils import BaseOutput
from torch import Tensor

from fada.diffusion.custom_times import custom_times
from fada.diffusion.forms import student_point, student_step, window_clean
from fada.diffusion.matched import MatchedPoints, matched_points, unmatched_time, window_prediction
from fada.diffusion.paths import NoisePath, per_sample
from fada.diffusion.released_forms import noise_of_diff_eps, noise_of_velocity
from fada.diffusion.scheduler_config import (
    CHANGEABLE,
    check_prediction_type,
    own_config,
    path_config,
    remarks_for_others,
)
from fada.diffusion.spacing import Spacing, spaced_windows
from fada.diffusion.step_times import StepTimes
from fada.diffusion.windows import ExtraSteps


@dataclass
class PeRFlowSchedulerOutput(BaseOutput):
    """What one step gives."""

    prev_sample: Tensor
    """Latents at the next time, input of the next step."""
    pred_original_sample: Tensor | None = None
    """The clean latents that the prediction means, for previews."""


class PeRFlowScheduler(SchedulerMixin, ConfigMixin):  # the two disagree about config_name
    """Piecewise rectified flow (arXiv 2405.07510): straight steps inside each of ``num_windows`` windows.

    Configs of DDIM and kindred schedulers, of flow matching and of the public PeRFlow code load through
    ``from_config``, and ours load into them. Timesteps handed to networks are floats, ``T t + timestep_offset``.
    ``prediction_type`` may be ``epsilon``, ``v_prediction``, ``flow_prediction``, or one of the public code's,
    ``diff_eps`` and ``velocity`` (its checkpoints want ``timestep_offset`` 0, which ``from_config`` sets).

    With ``matched``, networks see points inside windows on their own noise path: ``timesteps`` are those of equal
    signal-to-noise ratio, ``scale_model_input`` divides by the point's scale, and ``step`` turns the answer into the
    window's. ``spacing`` says where windows meet, ``extra_steps`` which of them get the steps that are left over.

    A path with betas has ``betas``, ``alphas``, ``alphas_cumprod`` (T,) and ``final_alpha_cumprod``, float32.
    """

    _compatibles = [scheduler.name for scheduler in KarrasDiffusionSchedulers]  # noqa: RUF012 - diffusers' own form
    order = 1
    init_noise_sigma = 1.0
    _step_index: int | None = None
    _begin_index: int | None = None

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = NoisePath.num_train_timesteps,
        beta_start: float = NoisePath.beta_start,
        beta_end: float = NoisePath.beta_end,
        beta_schedule: str = NoisePath.beta_schedule,
        prediction_type: str = NoisePath.prediction_type,
        rescale_betas_zero_snr: bool = NoisePath.rescale_betas_zero_snr,
        set_alpha_to_one: bool = NoisePath.set_alpha_to_one,
        timestep_offset: int = NoisePath.timestep_offset,
        num_windows: int = 4,
        extra_steps: ExtraSteps = "first",
        spacing: Spacing = "time",
        matched: bool = False,
    ) -> None:
        check_prediction_type(prediction_type, matched)
        self.path = NoisePath.from_config(path_config(self.config))
        self.windows = spaced_windows(self.path, num_windows, spacing, extra_steps, matched)
        defaults = self.config.get("_use_default_values", [])
        self.register_to_config(**remarks_for_others(prediction_type, defaults))
        if not self.path.is_flow:
            self._set_betas()
        self.num_inference_steps: int | None = None
        self._set_times(self.windows.sampling_times(num_windows), None)

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """A scheduler with the values of ``config``, which may be another scheduler's, see ``own_config``.

        Raises:
            ValueError: the config describes a noise path, or times, that cannot be followed.
        """
        if isinstance(config, Mapping):
            config = own_config(config, {name: kwargs.pop(name) for name in CHANGEABLE & kwargs.keys()})
        return super().from_config(config, return_unused_kwargs=return_unused_kwargs, **kwargs)

    def __len__(self) -> int:
        return self.path.num_train_timesteps

    @property
    def step_index(self) -> int | None:
        """Number of the step that comes next, None before the first."""
        return self._step_index

    @property
    def begin_index(self) -> int | None:
        """Number of the first step, where a pipeline said it."""
        return self._begin_index

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Says which step is the first, so that it need not be looked up."""
        self._begin_index = begin_index

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        timesteps: Sequence[float] | Tensor | None = None,
    ) -> None:
        """Chooses the number of steps, or the steps themselves.

        Args:
            device: where ``timesteps`` will lie.
            timesteps: falling, with a step in every window from the first one's; window starts may be rounded.

        Raises:
            ValueError: none or both of number and timesteps; fewer steps than windows, or more than training has; or
                timesteps that ``custom_times`` refuses.
        """
        if (num_inference_steps is None) == (timesteps is None):
            raise ValueError("PeRFlowScheduler.set_timesteps: give either num_inference_steps or timesteps")
        if timesteps is not None:
            asked = self.path.time_of_timestep(torch.as_tensor(timesteps, dtype=torch.float64).cpu().flatten())
            t = unmatched_time(self.path, asked, self.windows) if self.windows.is_matched else asked
            times = custom_times(self.windows, t, self.path.num_train_timesteps)
        else:
            assert num_inference_steps is not None
            if num_inference_steps > self.path.num_train_timesteps:
                raise ValueError(
                    f"steps: got {num_inference_steps}, but training has {self.path.num_train_timesteps}; use fewer"
                )
            times = self.windows.sampling_times(num_inference_steps)
        self._set_times(times, device)
        self.num_inference_steps = len(times)

    def index_for_timestep(self, timestep: float | Tensor) -> int:
        """Number of the step that starts at ``timestep``; waits for the device that it lies on.

        Raises:
            ValueError: it is not one of ``timesteps``.
        """
        return self._steps.index_of(timestep)

    def scale_model_input(self, sample: Tensor, timestep: float | Tensor | None = None) -> Tensor:
        """What networks take: the latents as they are, or with ``matched`` on the noise path.

        Raises:
            ValueError: matched, and ``timestep`` is missing or not one of ``timesteps``.
        """
        if not self.windows.is_matched:
            return sample
        if timestep is None:
            raise ValueError("PeRFlowScheduler.scale_model_input: matched windows need the timestep, got None")
        scale = self._points(self._step_times(timestep, sample)[0]).scale
        return (sample / per_sample(scale, sample)).to(sample.dtype)

    def step(
        self,
        model_output: Tensor,
        timestep: float | Tensor,
        sample: Tensor,
        generator: torch.Generator | None = None,
        return_dict: bool = True,
    ) -> PeRFlowSchedulerOutput | tuple[Tensor, Tensor]:
        """Latents at the next time.

        Args:
            model_output: the student's prediction (B, ...), of the config's prediction type, at what
                ``scale_model_input`` returns.
            timestep: one of ``timesteps``, or one for each sample (B,).
            sample: latents (B, ...) at ``timestep``, not scaled.
            generator: not used, steps are deterministic; pipelines pass one.

        Returns:
            Latents in the dtype of ``sample``, computed in float32 or better. Not a number where a batch of timesteps
            on another device than the CPU, whose values it would take a wait to see, is not of ``timesteps``.

        Raises:
            ValueError: ``set_timesteps`` was not called, ``timestep`` is not one of ``timesteps``, or there are more
                steps than timesteps.
        """
        if self.num_inference_steps is None:
            raise ValueError("PeRFlowScheduler.step: the number of steps is not set; call set_timesteps first")
        t, t_next = self._step_times(timestep, sample)
        t_start, t_end = self.windows.look_up(t)
        precise = sample.to(torch.promote_types(sample.dtype, torch.float32))
        prediction = self._window_prediction(model_output.to(precise.dtype), precise, t, t_start, t_end)
        previous = student_step(self.path, precise, prediction, t, t_next, t_start, t_end).to(sample.dtype)
        clean = window_clean(self.path, precise, prediction, t, t_start, t_end).to(sample.dtype)
        if self._step_index is not None:
            self._step_index += 1
        if not return_dict:
            return previous, clean
        return PeRFlowSchedulerOutput(prev_sample=previous, pred_original_sample=clean)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Clean latents noised to ``timesteps`` (B,) as students know them, in their own dtype.

        Inside a window that is the point of the chord between the window's noised ends, on which students are trained
        and which ``step`` expects (img2img, inpainting). At window boundaries, and for flow everywhere, it is the noise
        path, as in diffusers; ``path.add_noise`` gives that for any time.
        """
        t = self._time_of(timesteps, original_samples)
        ends = self.windows.look_up(t)
        z_start, z_end = (self.path.add_noise(original_samples, noise, end) for end in ends)
        return student_point(z_start, z_end, t, *ends).to(original_samples.dtype)

    def get_velocity(self, sample: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """The v of clean latents and noise at ``timesteps`` (B,) of the noise path, in the latents' dtype.

        ``a noise - c sample``; on a flow path ``noise - sample``.
        """
        t = self.path.time_of_timestep(timesteps.to(sample.device)).flatten().expand(len(sample))
        if self.path.is_flow:
            return noise - sample
        signal_level, noise_level = self.path.signal_noise(t, like=sample)
        return (signal_level * noise - noise_level * sample).to(sample.dtype)

    def _set_betas(self) -> None:
        total = self.path.num_train_timesteps
        alpha_bar = self.path.alpha_bar(torch.arange(0, total + 1, dtype=torch.float64, device="cpu") / total)
        earlier = torch.cat([torch.ones_like(alpha_bar[:1]), alpha_bar[1:-1]])
        self.alphas = (alpha_bar[1:] / earlier).float()
        self.betas = (1.0 - alpha_bar[1:] / earlier).float()
        self.alphas_cumprod = alpha_bar[1:].float()
        self.final_alpha_cumprod = alpha_bar[0].float()

    def _set_times(self, times: list[float], device: str | torch.device | None) -> None:
        t = torch.tensor(times, dtype=torch.float64, device="cpu")
        self._steps = StepTimes(self.path, t, self._points(t).t if self.windows.is_matched else t, device)
        self.timesteps = self._steps.timesteps
        self._step_index = None
        self._begin_index = None

    def _points(self, t: Tensor) -> MatchedPoints:
        return matched_points(self.path, t, *self.windows.look_up(t))

    def _window_prediction(self, answer: Tensor, z_t: Tensor, t: Tensor, t_start: Tensor, t_end: Tensor) -> Tensor:
        """The prediction of the window, of the path's type, that the network's answer means."""
        if self.config["prediction_type"] == "diff_eps":
            return noise_of_diff_eps(self.path, answer, t_start, t_end)
        if self.config["prediction_type"] == "velocity":
            return noise_of_velocity(self.path, answer, z_t, t, t_start, t_end)
        if not self.windows.is_matched:
            return answer
        points = self._points(t)
        return window_prediction(self.path, answer, z_t / per_sample(points.scale, z_t), points, t_start)

    def _step_times(self, timestep: float | Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """``(t, t_next)``, (B,), of the step that starts at ``timestep``; notes its number."""
        if isinstance(timestep, Tensor) and timestep.numel() != 1:
            # Samples of a batch may be at different steps: none of them is the next.
            self._step_index = None
            return self._steps.steps(timestep, len(like), like.device)
        expected = self._begin_index if self._step_index is None else self._step_index
        self._step_index = self._steps.place_of(timestep, expected)
        return self._steps.step(self._step_index, len(like), like.device)

    def _time_of(self, timesteps: Tensor, like: Tensor) -> Tensor:
        """Times (B,) in windows that timesteps mean: those of the steps where they are near, else their own."""
        wanted = self.path.time_of_timestep(torch.as_tensor(timesteps).to(like.device)).flatten().expand(len(like))
        own = unmatched_time(self.path, wanted, self.windows) if self.windows.is_matched else wanted
        return own if self.num_inference_steps is None else self._steps.or_own(wanted, own)
