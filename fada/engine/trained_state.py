"""Trained weights and their optimiser state by name and whole, wherever and in how many parts they lie.

This is what makes a checkpoint independent of the number of processes and of the way that they divide the work. Under
DeepSpeed every read is a collective: all processes must ask for the same names in the same order.
"""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from fada.engine.optimizer import AVERAGE, STEP, AveragingAdamW
from fada.engine.parallel import is_sharded

WEIGHT = "weight"


class TrainedState:
    """Reads and writes single parameters' state.

    Args:
        module: the bare module, not as the accelerator wrapped it.
        optimizer: the bare optimiser.
        accelerator: what prepared them; None while nothing has.
    """

    def __init__(self, module: nn.Module, optimizer: AveragingAdamW, accelerator: Accelerator | None = None) -> None:
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.former_names: dict[str, str] = getattr(module, "former_names", {})
        """By the name of a parameter in checkpoints of earlier versions, the name that it has now."""
        self.optimizer = optimizer
        self.is_sharded = accelerator is not None and is_sharded(accelerator)
        self.rank = 0 if accelerator is None else accelerator.process_index

    @property
    def keys(self) -> tuple[str, ...]:
        """What there is of every parameter."""
        return (WEIGHT, *self.optimizer.state_names, STEP)

    @property
    def result_key(self) -> str:
        """What a run saves as its result: the moving average, or the weights where there is none."""
        return AVERAGE if self.optimizer.decay else WEIGHT

    def read(self, name: str, key: str) -> Tensor:
        """One parameter's weight or state, whole, float32, on the CPU; it may share memory with what is trained."""
        parameter = self.parameters[name]
        if key == STEP:
            # DeepSpeed takes every step with all parameters.
            own = self.optimizer.state.get(parameter, {}).get(STEP, 0.0)
            return torch.tensor(float(self.optimizer.count if self.is_sharded else own))
        if not self.is_sharded:
            found = parameter if key == WEIGHT else self._plain(parameter, key)
        elif key == WEIGHT:
            from deepspeed.utils import safe_get_full_fp32_param

            found = safe_get_full_fp32_param(parameter)
        else:
            from deepspeed.utils import safe_get_full_optimizer_state

            found = safe_get_full_optimizer_state(parameter, key)
        return found.detach().float().cpu().contiguous()

    @torch.no_grad()
    def write(self, name: str, key: str, value: Tensor) -> None:
        """Put one parameter's weight or state in its place."""
        parameter = self.parameters[name]
        if key == STEP:
            if not self.is_sharded:
                self.optimizer.state[parameter][STEP] = value.clone()
        elif not self.is_sharded:
            (parameter if key == WEIGHT else self.optimizer.state[parameter][key]).copy_(value)
        elif hasattr(parameter, "ds_tensor"):
            self._write_shard(parameter, key, value)
        elif key == WEIGHT:
            from deepspeed.utils import safe_set_full_fp32_param

            safe_set_full_fp32_param(parameter, value)
        else:
            from deepspeed.utils import safe_set_full_optimizer_state

            safe_set_full_optimizer_state(parameter, value, key)

    def averages(self) -> dict[str, Tensor]:
        """What `result` would read, as it lies now, without copies: for objectives that ask it in every step."""
        assert not self.is_sharded, "the moving average is divided among processes"
        average = self.result_key == AVERAGE
        return {name: (self._plain(p, AVERAGE) if average else p).detach() for name, p in self.parameters.items()}

    def result(self, keeps: bool = True) -> dict[str, Tensor]:
        """The run's result by name: averaged weights where an average is kept."""
        return self.collected(self.result_key, keeps)

    def collected(self, key: str, keeps: bool) -> dict[str, Tensor]:
        """Copies of all parameters' weight or state; in a process that does not keep them nothing, one at a time.

        All processes must ask: under DeepSpeed each holds a part of what the others want.
        """
        if not keeps and not self.is_sharded:
            return {}
        copies = ((name, self.read(name, key)) for name in self.parameters)
        return {name: value.clone() for name, value in copies if keeps}

    def _plain(self, parameter: nn.Parameter, key: str) -> Tensor:
        """Optimiser state; of a parameter that no loss has reached yet, what it starts from."""
        state = self.optimizer.state.get(parameter, {})
        if key in state:
            return state[key]
        return parameter.clone() if key == AVERAGE else torch.zeros_like(parameter)

    def _write_shard(self, parameter: nn.Parameter, key: str, value: Tensor) -> None:
        """ZeRO-3: this process's part of the value, which is padded to equal parts."""
        from deepspeed.utils import safe_set_local_fp32_param, safe_set_local_optimizer_state

        size = parameter.ds_tensor.numel()  # type: ignore[attr-defined]
        part = torch.zeros(size, dtype=torch.float32)
        own = value.flatten()[self.rank * size : (self.rank + 1) * size]
        part[: len(own)] = own
        if key == WEIGHT:
            safe_set_local_fp32_param(parameter, part)
        else:
            safe_set_local_optimizer_state(parameter, part, key)
