"""A small training in as many processes as a launcher starts, `launcher.py 2 worker.py '[{"out": …, …}, …]'`.

The samples of a step follow from its number, so any number of processes trains on the same global batches.
"""

import gc
import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import nn

from fada.data.sampling.dataset import BatchShape
from fada.engine.loop import Interrupted, LoopSettings, fit
from fada.engine.objective import StepLoss
from fada.engine.parallel import ParallelSettings, leave, new_accelerator
from fada.engine.run_log import RunLog

GLOBAL_BATCH = 8


class Net(nn.Module):
    """Widths are odd, so that shards must be padded; one layer is frozen, and one learns but is not used."""

    def __init__(self, recomputes: bool = False) -> None:
        super().__init__()
        self.recomputes = recomputes
        self.first, self.middle, self.last = nn.Linear(7, 13), nn.Linear(13, 13), nn.Linear(13, 1)
        self.unused = nn.Linear(3, 3)
        self.middle.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.recomputes:
            return self.last(self.body(x))
        # Half of what this process would load, and only one of the orders needs it.
        from fada.teacher.checkpointing import recomputed

        return self.last(recomputed(self.body, x))

    def body(self, x: torch.Tensor) -> torch.Tensor:
        gelu = nn.functional.gelu
        return gelu(self.middle(gelu(self.first(x))))


class Plane:
    """Learn a fixed function of seven numbers."""

    def __init__(
        self, shape: BatchShape, delay: float = 0.0, recomputes: bool = False, until: int | None = None
    ) -> None:
        torch.manual_seed(0)
        self.module: nn.Module = Net(recomputes)
        self.shape, self.delay, self.until = shape, delay, until

    def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
        time.sleep(self.delay)
        if step + 1 == self.until:
            # Ask this process to stop, as a user does.
            os.kill(os.getpid(), signal.SIGTERM)
        # What this process holds of the weights between two steps.
        held = sum(parameter.numel() for parameter in self.module.parameters())
        rows = [
            torch.randn(7, generator=torch.Generator().manual_seed(step * 1000 + sample))
            for sample in self.shape.samples(micro)
        ]
        x = torch.stack(rows)
        y = x.prod(dim=1, keepdim=True) + x.sum(dim=1, keepdim=True)
        made = model(x.to(next(self.module.parameters()).dtype))
        error = (made.float() - y).square().mean()
        scalars = {"error": error.detach(), "held": float(held)}
        return StepLoss(error, scalars, keys=[f"{step}-{each}" for each in self.shape.samples(micro)])


def train(order: dict[str, object], strategy: str, name: str) -> None:
    accumulate = int(order.get("accumulate", 1))
    settings = ParallelSettings(
        strategy=strategy,
        precision=str(order.get("precision", "fp32")),
        accumulate=accumulate,
        clip_norm=0.5,
        timeout_minutes=float(str(order.get("timeout_minutes", 1))),
        deepspeed=None if order.get("deepspeed") is None else Path(str(order["deepspeed"])),
    )
    world = int(os.environ["WORLD_SIZE"])
    size = GLOBAL_BATCH // world // accumulate
    accelerator = new_accelerator(settings, size)
    shape = BatchShape(size, accelerator.process_index, world, accumulate)
    folder = Path(str(order["out"])) / name
    log = RunLog(folder, "plane", Console(quiet=True), accelerator.is_main_process)
    loop = LoopSettings(
        steps=int(order.get("steps", 8)),
        lr=0.01,
        accumulate=accumulate,
        clip_norm=0.5,
        warmup=2,
        ema=0.9,
        checkpoint_every=int(order.get("checkpoint_every", 3)),
        preview_every=1 if "until" in order else 0,
        log_every=1,
        facts={"samples_per_step": shape.per_step},
    )
    # The last process alone is asked: all must agree to stop at the same step.
    until = int(str(order["until"])) if "until" in order and accelerator.is_last_process else None
    try:
        objective = Plane(shape, float(order.get("delay", 0)), bool(order.get("recomputes", False)), until)
        result = fit(objective, loop, accelerator, folder, log, lambda *_: None)
        assert "until" not in order, "asked to stop, it went on"
    except Interrupted as stopped:
        if f"stopped at step {order['until']} of" not in str(stopped):
            raise
        return
    finally:
        log.close()
    if accelerator.is_main_process:
        save_file(result, str(folder / "result.safetensors"))


def main() -> None:
    torch.set_num_threads(1)
    for order in json.loads(sys.argv[1]):
        for strategy in order["strategies"]:
            loaded = len(sys.modules)
            train(order, strategy, str(order.get("name", strategy)))
            # Loaded modules are no garbage: accelerate collects after every training, and would look through all of
            # them. DeepSpeed loads most of its own in its first training.
            if len(sys.modules) > loaded + 10:
                gc.freeze()
    leave()


if __name__ == "__main__":
    main()
