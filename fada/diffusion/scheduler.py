"""The student's sampler as a diffusers scheduler: saves, loads and steps like any other.

A thin border around ``windows``, ``forms`` and ``matched``; the mathematics is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers, SchedulerMixin
from diffusers.utils import BaseOutput
from torch import Tensor

from fada.diffusion.forms import student_step, window_clean
from fada.diffusion.matched import MatchedPoints, matched_points, window_prediction
from fada.diffusion.paths import NoisePath, per_sample
from fada.diffusion.spacing import Spacing, spaced_windows
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

    The configs of DDIM and kindred schedulers load through ``from_config``. Timesteps handed to networks are floats,
    ``T t + timestep_offset``. ``prediction_type`` may be ``epsilon``, ``v_prediction`` or ``flow_prediction``.

    With ``matched``, networks see points inside windows on their own noise path: ``timesteps`` are those of equal
    signal-to-noise ratio, ``scale_model_input`` divides by the point's scale, and ``step`` turns the answer into the
    window's. ``spacing`` says where windows meet, ``extra_steps`` which of them get the steps that are left over.
    """

    _compatibles = [scheduler.name for scheduler in KarrasDiffusionSchedulers]  # noqa: RUF012 - diffusers' own form
    order = 1
    init_noise_sigma = 1.0

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: str = "scaled_linear",
        prediction_type: str = "epsilon",
        rescale_betas_zero_snr: bool = False,
        set_alpha_to_one: bool = False,
        timestep_offset: int = -1,
        num_windows: int = 4,
        extra_steps: ExtraSteps = "first",
        spacing: Spacing = "time",
        matched: bool = False,
    ) -> None:
        self.path = NoisePath.from_config(self.config)
        self.windows = spaced_windows(self.path, num_windows, spacing, extra_steps, matched)
        self.num_inference_steps: int | None = None
        self._set_times(num_windows, None)

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """A scheduler with the values of ``config``, which may be another scheduler's.

        Unlike in diffusers, values that were the other class's defaults count too: its default betas are not ours.

        Raises:
            ValueError: the config describes a noise path that ``NoisePath`` cannot follow.
        """
        if isinstance(config, Mapping):
            config = {key: value for key, value in config.items() if key != "_use_default_values"}
            NoisePath.from_config({**config, **kwargs})
        return super().from_config(config, return_unused_kwargs=return_unused_kwargs, **kwargs)

    def __len__(self) -> int:
        return self.path.num_train_timesteps

    def set_timesteps(self, num_inference_steps: int, device: str | torch.device | None = None) -> None:
        """Chooses the number of steps.

        Raises:
            ValueError: fewer steps than windows.
        """
        self._set_times(num_inference_steps, device)
        self.num_inference_steps = num_inference_steps

    def scale_model_input(self, sample: Tensor, timestep: float | Tensor | None = None) -> Tensor:
        """What networks take: the latents as they are, or with ``matched`` on the noise path.

        Raises:
            ValueError: matched, and ``timestep`` is missing or not one of ``timesteps``.
        """
        if not self.windows.is_matched:
            return sample
        if timestep is None:
            raise ValueError("PeRFlowScheduler.scale_model_input: matched windows need the timestep, got None")
        scale = self._points(self._times_at(timestep)[0].to(sample.device).expand(len(sample))).scale
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
            timestep: one of ``timesteps``.
            sample: latents (B, ...) at ``timestep``, not scaled.
            generator: not used, steps are deterministic; pipelines pass one.

        Returns:
            Latents in the dtype of ``sample``, computed in float32 or better.

        Raises:
            ValueError: ``set_timesteps`` was not called, or ``timestep`` is not one of ``timesteps``.
        """
        if self.num_inference_steps is None:
            raise ValueError("PeRFlowScheduler.step: the number of steps is not set; call set_timesteps first")
        t, t_next = (time.to(sample.device).expand(len(sample)) for time in self._times_at(timestep))
        t_start, t_end = self.windows.look_up(t)
        precise = sample.to(torch.promote_types(sample.dtype, torch.float32))
        prediction = model_output.to(precise.dtype)
        if self.windows.is_matched:
            points = self._points(t)
            prediction = window_prediction(
                self.path, prediction, precise / per_sample(points.scale, precise), points, t_start
            )
        previous = student_step(self.path, precise, prediction, t, t_next, t_start, t_end).to(sample.dtype)
        clean = window_clean(self.path, precise, prediction, t, t_start, t_end).to(sample.dtype)
        if not return_dict:
            return previous, clean
        return PeRFlowSchedulerOutput(prev_sample=previous, pred_original_sample=clean)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Clean latents noised to ``timesteps`` (B,), in their own dtype."""
        t = self.path.time_of_timestep(timesteps.to(original_samples.device)).expand(len(original_samples))
        return self.path.add_noise(original_samples, noise, t).to(original_samples.dtype)

    def _set_times(self, steps: int, device: str | torch.device | None) -> None:
        # Kept in float64 on the CPU beside the float32 timesteps: step looks times up instead of converting back.
        self._times = torch.tensor([*self.windows.sampling_times(steps), 0.0], dtype=torch.float64)
        # Times at which networks are asked: those of the steps, or of equal signal-to-noise ratio.
        self._asked = self._points(self._times[:-1]).t if self.windows.is_matched else self._times[:-1]
        self.timesteps = self.path.network_timestep(self._asked).to(device)

    def _points(self, t: Tensor) -> MatchedPoints:
        return matched_points(self.path, t, *self.windows.look_up(t))

    def _times_at(self, timestep: float | Tensor) -> tuple[Tensor, Tensor]:
        """``(t, t_next)`` of the step that starts at ``timestep``."""
        wanted = self.path.time_of_timestep(torch.as_tensor(timestep, dtype=torch.float64).cpu())
        distance = (self._asked - wanted).abs()
        index = int(distance.argmin())
        # Half a training index: pipelines may have rounded the timestep to a whole number.
        if distance[index] > 0.5 / self.path.num_train_timesteps + 1e-6:
            raise ValueError(
                f"PeRFlowScheduler.step: timestep {float(timestep)} is not one of {self.timesteps.tolist()}; "
                "pass the values of scheduler.timesteps"
            )
        return self._times[index], self._times[index + 1]
