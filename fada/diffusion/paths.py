"""Noise paths: how clean latents turn into noise over time t in [0, 1].

A path is a value: variance preserving (from the config of a diffusers scheduler) or rectified flow. Tables are float64;
what meets latents is float32 or better. Time lies on the grid of 1/T, see ``NoisePath.alpha_bar``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, get_args

import torch
from torch import Tensor

from fada.diffusion.shapes import Latents, PerSample, PerSample64
from fada.diffusion.transfer import moved
from fada.recipe.sections.teacher import BetaSchedule, Noise, PredictionType

UNSAID = Noise()
"""What holds where a recipe says nothing: the defaults of the settings below."""
MOST_TIMESTEPS = 100_000
"""Of a config, which may come from anyone: its table is made whole."""


@dataclass(frozen=True)
class NoisePath:
    """``z_t = a(t) z_0 + c(t) eps`` and what a network on it predicts.

    With ``epsilon``, ``v_prediction`` or ``sample`` (the clean latent): variance preserving, ``a = sqrt(alpha_bar)``,
    ``c = sqrt(1 - alpha_bar)``.
    With ``flow_prediction``: rectified flow, ``a = 1 - t``, ``c = t``; the betas are not used.

    Fields are named as in diffusers' scheduler configs; defaults are a recipe's. ``timestep_offset`` is added to
    ``T t`` for networks: -1 as in diffusers (999 at t = 1), 0 for public PeRFlow checkpoints.

    Raises:
        ValueError: an unknown prediction type or beta schedule, or a grid without points.
    """

    prediction_type: PredictionType = UNSAID.prediction_type
    num_train_timesteps: int = UNSAID.num_train_timesteps
    timestep_offset: int = UNSAID.timestep_offset
    beta_schedule: BetaSchedule = UNSAID.beta_schedule
    beta_start: float = UNSAID.beta_start
    beta_end: float = UNSAID.beta_end
    rescale_betas_zero_snr: bool = UNSAID.rescale_betas_zero_snr
    set_alpha_to_one: bool = UNSAID.set_alpha_to_one

    def __post_init__(self) -> None:
        _check_choice("prediction_type", self.prediction_type, get_args(PredictionType))
        _check_choice("beta_schedule", self.beta_schedule, get_args(BetaSchedule))
        if not isinstance(self.num_train_timesteps, int) or self.num_train_timesteps < 2:
            raise ValueError(f"noise path: num_train_timesteps must be at least 2, got {self.num_train_timesteps}")
        if self.num_train_timesteps > MOST_TIMESTEPS:
            raise ValueError(
                f"noise path: num_train_timesteps must be at most {MOST_TIMESTEPS}, got {self.num_train_timesteps}"
            )
        if not isinstance(self.timestep_offset, int) or abs(self.timestep_offset) > self.num_train_timesteps:
            raise ValueError(f"noise path: timestep_offset must be 0 or -1, or near it, got {self.timestep_offset}")
        for name in ("beta_start", "beta_end"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < 1:
                raise ValueError(f"noise path: {name} must be a number from 0 up to 1, got {value}")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "NoisePath":
        """The path of a diffusers scheduler config; keys that say nothing about the path are ignored.

        Absent keys take Stable Diffusion 1.5's values.

        Raises:
            ValueError: a value that this class cannot follow (say, ``trained_betas``).
        """
        if config.get("trained_betas") is not None:
            raise ValueError("noise path: trained_betas is not supported; give beta_schedule, beta_start and beta_end")
        return cls(**{field.name: config[field.name] for field in fields(cls) if field.name in config})

    def to_config(self) -> dict[str, Any]:
        """The path as plain values under diffusers' names; ``from_config`` reads it back."""
        return asdict(self)

    @property
    def is_flow(self) -> bool:
        """Whether this is rectified flow."""
        return self.prediction_type == "flow_prediction"

    def alpha_bar(self, t: Tensor) -> Tensor:
        """Share of signal variance at time t, float64 on the device of t.

        Args:
            t: times in [0, 1], any shape. Index ``round(T t) - 1`` of the table is read; t = 0 reads index 0, or gives
                one with ``set_alpha_to_one``.

        Raises:
            ValueError: the path is rectified flow, which has none.
        """
        if self.is_flow:
            raise ValueError("a rectified-flow path has no alpha_bar; use signal_noise(t)")
        index = torch.round(t.double() * self.num_train_timesteps).long()
        return _alpha_bar_table(self, t.device)[index]

    def signal_noise(self, t: Tensor, like: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``(a, c)`` of ``z_t = a z_0 + c eps`` at times t.

        Args:
            t: (B,) in [0, 1].
            like: latents (B, ...) to be scaled, if any.

        Returns:
            Two float64 tensors (B,); with ``like`` (B, 1, 1, ...) on its device, in float32 (float64 for float64).
        """
        if self.is_flow:
            signal, noise = 1.0 - t.double(), t.double()
        else:
            alpha_bar = self.alpha_bar(t)
            signal, noise = alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt()
        return (signal, noise) if like is None else (per_sample(signal, like), per_sample(noise, like))

    def signal_noise_between(self, t: PerSample) -> tuple[PerSample64, PerSample64]:
        """``signal_noise`` between grid points too, float64 (B,): the angle ``atan2(c, a)`` is linear there.

        The inverse of ``time_of``; equal to ``signal_noise`` on the grid, and finite where no signal is left.
        """
        if self.is_flow:
            return self.signal_noise(t)
        table, position = _angle_table(self, t.device), t.double() * self.num_train_timesteps
        below = position.floor().clamp(0, self.num_train_timesteps - 1)
        low = below.long()
        angle = torch.lerp(table[low], table[low + 1], (position - below).clamp(0.0, 1.0))
        return angle.cos(), angle.sin()

    def time_of(self, signal: PerSample, noise: PerSample) -> PerSample64:
        """The time whose signal-to-noise ratio is that of ``(signal, noise)``, (B,), of any common scale; float64.

        Continuous: between grid points by ``signal_noise_between``. Ratios beyond the path's ends give its ends.
        """
        if self.is_flow:
            return noise.double() / (signal.double() + noise.double())
        table = _angle_table(self, signal.device)
        angle = torch.atan2(noise.double(), signal.double())
        high = torch.searchsorted(table, angle.contiguous()).clamp(1, self.num_train_timesteps)
        # Without `set_alpha_to_one` the first two entries are equal: there the later one is meant.
        share = torch.nan_to_num((angle - table[high - 1]) / (table[high] - table[high - 1]), nan=1.0)
        return (high - 1 + share.clamp(0.0, 1.0)) / self.num_train_timesteps

    def add_noise(self, clean: Latents, noise: Latents, t: PerSample) -> Latents:
        """``a z_0 + c eps`` at times t (B,); float32 or better."""
        signal_level, noise_level = self.signal_noise(t, like=clean)
        return signal_level * clean + noise_level * noise

    def network_timestep(self, t: PerSample) -> PerSample:
        """What networks are told at time t: ``T t + timestep_offset``, float32, not rounded."""
        return (t.double() * self.num_train_timesteps + self.timestep_offset).float()

    def time_of_timestep(self, timestep: Tensor) -> Tensor:
        """The inverse of ``network_timestep``, in float64."""
        return (timestep.double() - self.timestep_offset) / self.num_train_timesteps

    def to_clean_and_noise(self, prediction: Latents, noisy: Latents, t: PerSample) -> tuple[Latents, Latents]:
        """The clean latent and the noise that a prediction at ``noisy`` means; float32 or better.

        Args:
            prediction: (B, ...) of this path's prediction type.
            noisy: (B, ...), z at times t.
            t: (B,).

        Raises:
            ValueError: noise prediction where no signal is left, so that the clean latent is not determined.
        """
        signal_level, noise_level = self.signal_noise(t, like=noisy)
        if self.is_flow:
            return noisy - noise_level * prediction, noisy + signal_level * prediction
        if self.prediction_type == "v_prediction":
            clean = signal_level * noisy - noise_level * prediction
            return clean, signal_level * prediction + noise_level * noisy
        if self.prediction_type == "sample":
            return prediction.to(noise_level.dtype), (noisy - signal_level * prediction) / noise_level
        self.refuse_noise_prediction_without_signal(t)
        return (noisy - noise_level * prediction) / signal_level, prediction.to(noise_level.dtype)

    def training_target(self, clean: Latents, noise: Latents, t: PerSample) -> Latents:
        """What a network of this type is trained to answer at times t (B,): eps, v, ``z_0``, or ``eps - z_0``."""
        if self.prediction_type == "epsilon":
            return noise
        if self.prediction_type == "sample":
            return clean
        if self.is_flow:
            return noise - clean
        signal_level, noise_level = self.signal_noise(t, like=clean)
        return signal_level * noise - noise_level * clean

    def refuse_noise_prediction_without_signal(self, t: PerSample) -> None:
        """Stops an eps form at ``alpha_bar = 0``.

        Raises:
            ValueError: the path predicts noise, ends at zero SNR, and some t is its end.
        """
        # Only such paths pay for looking at the values, which waits for the device.
        if self.prediction_type != "epsilon" or not self.rescale_betas_zero_snr:
            return
        if bool((self.alpha_bar(t) == 0).any()):
            raise ValueError(
                "epsilon form at alpha_bar = 0: with zero terminal SNR the noise prediction says nothing about the "
                "clean latent at t = 1 and lambda is infinite; use the v form (prediction_type: v_prediction)"
            )


def per_sample(values: PerSample, like: Tensor) -> Tensor:
    """Values (B,) as (B, 1, 1, ...) to scale ``like``, on its device, in float32 (float64 for float64)."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    return moved(values.to(dtype), like.device).view(-1, *(1,) * (like.ndim - 1))


@lru_cache(maxsize=32)
def _alpha_bar_table(path: NoisePath, device: torch.device) -> Tensor:
    """alpha_bar at T t = 0, 1, ... T; float64 (T + 1,)."""
    # The CPU by name: a `with torch.device("meta")` around the first call must not end up in the cache.
    options: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}
    count = path.num_train_timesteps
    if path.beta_schedule == "scaled_linear":
        betas = torch.linspace(path.beta_start**0.5, path.beta_end**0.5, count, **options) ** 2
    else:
        betas = torch.linspace(path.beta_start, path.beta_end, count, **options)
    table = torch.cumprod(1.0 - betas, dim=0)
    if path.rescale_betas_zero_snr:
        table = _rescaled_to_zero_snr(table)
    first = torch.ones_like(table[:1]) if path.set_alpha_to_one else table[:1]
    return torch.cat([first, table]).to(device)


@lru_cache(maxsize=32)
def _angle_table(path: NoisePath, device: torch.device) -> Tensor:
    """``atan2(c, a)`` at T t = 0, 1, ... T, rising from near 0 to at most pi / 2; float64 (T + 1,)."""
    alpha_bar = _alpha_bar_table(path, device)
    return torch.atan2((1.0 - alpha_bar).sqrt(), alpha_bar.sqrt())


def _rescaled_to_zero_snr(alpha_bar: Tensor) -> Tensor:
    """The schedule shifted and scaled so that no signal is left at its end. Source: arXiv 2305.08891, algorithm 1."""
    root = alpha_bar.sqrt()
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"noise path: {name}: got {value!r}; choose from {', '.join(choices)}")
