"""Which step of a schedule a timestep means, found without waiting for the device that it lies on.

Times are copied to a device once, when the steps are chosen: a copy per step would wait for the device each time.
"""

import torch
from torch import Tensor

from fada.diffusion.paths import NoisePath


class StepTimes:
    """The steps of one schedule.

    Args:
        path: says which timestep a time has.
        times: where each of N steps starts, float64 on the CPU; the last leads to 0.
        asked: the times that networks are asked at, likewise: those of the steps, or of equal signal-to-noise ratio.
        device: where ``timesteps`` will lie, None is the CPU.
    """

    def __init__(self, path: NoisePath, times: Tensor, asked: Tensor, device: str | torch.device | None) -> None:
        self._path = path
        cpu = torch.device("cpu")
        self._on_device = {cpu: (torch.cat([times, torch.zeros_like(times[:1])]), asked)}
        self.timesteps = path.network_timestep(asked).to(device or cpu)
        self._on(self.timesteps.device)
        # Half a training index: pipelines may have rounded the timestep to a whole number.
        self._tolerance = 0.5 / path.num_train_timesteps + 1e-6

    def index_of(self, timestep: float | Tensor) -> int:
        """Number of the step that starts at ``timestep``; waits for the device that it lies on.

        Raises:
            ValueError: it is not one of ``timesteps``.
        """
        wanted = self._path.time_of_timestep(torch.as_tensor(timestep, dtype=torch.float64).cpu())
        distance = (self._on(torch.device("cpu"))[1] - wanted).abs()
        index = int(distance.argmin())
        # Not "greater": what is not a number is not a timestep.
        if not distance[index] <= self._tolerance:
            raise self._foreign(float(timestep))
        return index

    def place_of(self, timestep: float | Tensor, expected: int | None) -> int:
        """``index_of``, without a wait where the values lie on the CPU, or the timestep is an element of ``timesteps``.

        Copies on another device are taken for the ``expected`` step, where there is one.

        Raises:
            ValueError: not one of ``timesteps``, or more steps are expected than there are.
        """
        if not isinstance(timestep, Tensor) or timestep.device.type == "cpu":
            return self.index_of(timestep)
        # An element, as pipelines pass it, is known by its place in memory.
        if timestep.untyped_storage()._cdata == self.timesteps.untyped_storage()._cdata:
            return int(timestep.storage_offset() - self.timesteps.storage_offset())
        if expected is None:
            return self.index_of(timestep)
        if expected >= len(self.timesteps):
            raise ValueError(
                f"PeRFlowScheduler.step: all {len(self.timesteps)} steps are taken; call set_timesteps to begin anew"
            )
        return expected

    def step(self, index: int, batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """``(t, t_next)`` of one step for all samples of a batch, float64 (B,)."""
        times = self._on(device)[0]
        return times[index].expand(batch), times[index + 1].expand(batch)

    def steps(self, timesteps: Tensor, batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """``(t, t_next)`` of each sample's own step, float64 (B,).

        Timesteps that lie elsewhere than on the CPU are not looked at: t is not a number where one is foreign.

        Raises:
            ValueError: not a timestep for each sample, or a foreign one on the CPU.
        """
        if timesteps.shape != (batch,):
            raise ValueError(
                f"PeRFlowScheduler: timesteps of shape {tuple(timesteps.shape)} for {batch} samples; give one, or one "
                "for each"
            )
        times, is_known, place = self._nearest(self._path.time_of_timestep(timesteps.to(device)))
        if timesteps.device.type == "cpu" and not bool(is_known.all()):
            raise self._foreign(float(timesteps[~is_known.cpu()][0]))
        return torch.where(is_known, times[place], torch.nan), times[place + 1]

    def or_own(self, asked: Tensor, own: Tensor) -> Tensor:
        """Start times (B,) of the steps whose networks are asked near ``asked``, and ``own`` where there are none."""
        times, is_known, place = self._nearest(asked)
        return torch.where(is_known, times[place], own)

    def _nearest(self, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        times, asked = self._on(wanted.device)
        distance, place = (wanted[:, None] - asked).abs().min(dim=1)
        return times, distance <= self._tolerance, place

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Times of the steps with the final 0, (N + 1,), and those that networks are asked at, (N,)."""
        if device not in self._on_device:
            times, asked = self._on_device[torch.device("cpu")]
            self._on_device[device] = times.to(device), asked.to(device)
        return self._on_device[device]

    def _foreign(self, timestep: float) -> ValueError:
        return ValueError(
            f"PeRFlowScheduler.step: timestep {timestep} is not one of {self.timesteps.tolist()}; "
            "pass the values of scheduler.timesteps"
        )
