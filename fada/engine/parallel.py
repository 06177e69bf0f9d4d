"""The processes of a run, and how trained weights and their state are divided among them.

Accelerate prepares what is trained; DeepSpeed divides it where the recipe asks. Known troubles of the pair are met
here: without CUDA, processes that use a DeepSpeed plugin must be told their backend, or each believes that it is alone;
several engines in one process need an Accelerator each; on CPUs, DeepSpeed would compile operators at the first start.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator, DeepSpeedPlugin
from accelerate.state import AcceleratorState, DistributedType
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import nn

from fada.engine.devices import has_bf16
from fada.recipe.sections.running import Engine, Place, Precision, Strategy

UNSAID = Engine()
"""What holds where a recipe says nothing: the defaults of the settings below."""
Result = TypeVar("Result")
PATIENCE = timedelta(days=2)
"""How long processes wait for the first one to prepare what all of them need."""


@dataclass(frozen=True)
class ParallelSettings:
    """How training is divided; fields and defaults are those of the recipe's `engine` section."""

    strategy: Strategy = UNSAID.strategy
    precision: Precision = UNSAID.precision
    accumulate: int = UNSAID.accumulate
    clip_norm: float = UNSAID.clip_norm
    offload_optimizer: Place = UNSAID.offload_optimizer
    offload_parameters: Place = UNSAID.offload_parameters
    deepspeed: Path | None = UNSAID.deepspeed
    timeout_minutes: float = UNSAID.timeout_minutes


def join(timeout_minutes: float) -> None:
    """Join the processes that a launcher started; without one there is nothing to join."""
    if "RANK" not in os.environ or dist.is_initialized():
        return
    timeout = timedelta(minutes=timeout_minutes)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("cuda:nccl,cpu:gloo" if torch.cuda.is_available() else "gloo", timeout=timeout)


def is_main() -> bool:
    """Whether this is the first process, or the only one."""
    return not dist.is_initialized() or dist.get_rank() == 0


@contextmanager
def main_first() -> Iterator[None]:
    """The main process runs the block alone, the others after it; waiting is patient, as preparing may take hours."""
    with _patient_group() as patient:
        if not is_main() and patient is not None:
            dist.barrier(patient)
        yield
        if is_main() and patient is not None:
            dist.barrier(patient)


@contextmanager
def until_all() -> Iterator[None]:
    """Every process runs the block, and goes on when all have come to its end; waiting is patient.

    For shares of work that take unequally long. The training's own collectives give up after `timeout_minutes`, and
    NCCL's keep a GPU busy with waiting.
    """
    with _patient_group() as patient:
        yield
        if patient is not None:
            dist.barrier(patient)


@contextmanager
def _patient_group() -> Iterator[dist.ProcessGroup | None]:
    """All processes, in a group that waits long, on the CPU; None where there is one alone."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        yield None
        return
    patient = dist.new_group(backend="gloo", timeout=PATIENCE)
    yield patient
    dist.destroy_process_group(patient)


def main_only(work: Callable[[], object]) -> None:
    """The main process does the work, the others wait for it."""
    with main_first():
        if is_main():
            work()


def from_main(work: Callable[[], Result]) -> Result:
    """What the work gives in the main process, in all of them; waiting is patient."""
    with _patient_group() as patient:
        found: list[Any] = [work() if is_main() else None]
        if patient is not None:
            dist.broadcast_object_list(found, group=patient)
    result: Result = found[0]
    return result


def leave() -> None:
    """Take leave of the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def check_strategy(strategy: Strategy) -> None:
    """Know that what divides a training is installed; DeepSpeed is on Linux alone.

    Raises:
        ValueError: it is not.
    """
    if strategy != "ddp" and importlib.util.find_spec("deepspeed") is None:
        raise ValueError(
            f"engine.strategy: {strategy} needs DeepSpeed, which is not installed here; run: pip install deepspeed "
            "(Linux alone), or set engine.strategy=ddp"
        )


def new_accelerator(settings: ParallelSettings, batch: int) -> Accelerator:
    """A fresh Accelerator for one phase; `batch` is the samples of one process and micro-batch.

    Raises:
        ValueError: settings that DeepSpeed refuses, a DeepSpeed file that cannot be read, or no DeepSpeed.
    """
    check_strategy(settings.strategy)
    AcceleratorState._reset_state(reset_partial_state=True)
    # `accelerate launch` exports its own configuration, which would win over the recipe's.
    for name in [name for name in os.environ if name.startswith("ACCELERATE_")]:
        del os.environ[name]
    has_cuda = torch.cuda.is_available()
    if settings.precision == "fp16" and not has_cuda:
        raise ValueError("engine.precision: fp16 needs a CUDA device; use bf16 or fp32 here")
    if settings.precision == "bf16" and has_cuda and not has_bf16(torch.device("cuda")):
        raise ValueError("engine.precision: bf16 needs a CUDA device of 2020 or later (Ampere); use fp16 or fp32 here")
    precision = "no" if settings.precision == "fp32" else settings.precision
    timeout = timedelta(minutes=settings.timeout_minutes)
    if settings.strategy == "ddp":
        join(settings.timeout_minutes)
        return Accelerator(
            mixed_precision=precision,
            gradient_accumulation_steps=settings.accumulate,
            cpu=not has_cuda,
            # A stage may leave layers out (an image has no motion), and other processes must not wait for them.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
    _be_a_process()
    _quieten_deepspeed()
    join(settings.timeout_minutes)
    made = Accelerator(
        mixed_precision=precision,
        gradient_accumulation_steps=settings.accumulate,
        deepspeed_plugin=DeepSpeedPlugin(hf_ds_config=deepspeed_config(settings, batch)),
        kwargs_handlers=[InitProcessGroupKwargs(backend=None if has_cuda else "gloo", timeout=timeout)],
    )
    if made.num_processes != dist.get_world_size():
        raise RuntimeError(f"Accelerate sees {made.num_processes} processes, there are {dist.get_world_size()}")
    return made


def deepspeed_config(settings: ParallelSettings, batch: int) -> dict[str, Any]:
    """The DeepSpeed configuration of these settings; entries of the user's own file win.

    Raises:
        ValueError: the file cannot be read as JSON.
    """
    stage = int(settings.strategy.removeprefix("zero"))
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": False, "contiguous_gradients": True}
    if settings.offload_optimizer == "cpu":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    if settings.offload_parameters == "cpu":
        zero["offload_param"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": batch,
        "gradient_accumulation_steps": settings.accumulate,
        "gradient_clipping": settings.clip_norm,
        "zero_optimization": zero,
        "bf16": {"enabled": settings.precision == "bf16"},
        "fp16": {"enabled": settings.precision == "fp16"},
        # The optimiser is ours (it keeps the moving average), not one that DeepSpeed compiles.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 1_000_000_000,
    }
    if settings.precision == "bf16":
        # Unset, micro-batches would be summed in bfloat16, whose 8 bits lose what is 256 times smaller than the sum.
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    if settings.deepspeed is None:
        return config
    try:
        own = json.loads(settings.deepspeed.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"engine.deepspeed: {settings.deepspeed} cannot be read as JSON: {error}") from error
    return _merged(config, own)


def shard_frozen(module: nn.Module, precision: Precision) -> nn.Module:
    """Divide a frozen module's weights among the processes (ZeRO-3): each layer is gathered when it runs.

    An engine of its own, beside the one that trains; the module keeps its methods. With one process nothing is done.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return module
    _quieten_deepspeed()
    import deepspeed

    deepspeed.init_distributed(verbose=False)
    config = {
        "train_micro_batch_size_per_gpu": 1,
        # Small layers stay whole once they were gathered.
        "zero_optimization": {"stage": 3, "overlap_comm": False, "stage3_param_persistence_threshold": 10_000},
        "bf16": {"enabled": precision == "bf16"},
        "fp16": {"enabled": precision == "fp16"},
    }
    divided, *_ = deepspeed.initialize(model=module, config=config)
    divided.eval()
    return divided.module


def agree(accelerator: Accelerator, flag: bool) -> bool:
    """Whether `flag` is true in any process."""
    if accelerator.num_processes == 1:
        return flag
    total = torch.tensor(float(flag), device=accelerator.device)
    dist.all_reduce(total, op=dist.ReduceOp.MAX)
    return bool(total > 0)


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether DeepSpeed runs the training."""
    return bool(accelerator.distributed_type == DistributedType.DEEPSPEED)


def _be_a_process() -> None:
    """DeepSpeed asks for a launcher's variables, also where there is one process and none launched it."""
    if "RANK" not in os.environ:
        alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
        os.environ.update(alone)


def _quieten_deepspeed() -> None:
    """No operators compiled for CPUs; no warnings of our optimiser, nor of every collective that torch has renamed."""
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="`torch.distributed.* is deprecated", category=FutureWarning)
    if torch.cuda.is_available():
        return
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def _merged(config: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    result = dict(config)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result
