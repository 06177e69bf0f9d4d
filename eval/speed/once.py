"""One pass and one full training step, once each: proof that a size runs here, with what it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from fada.data.sampling.dataset import BatchShape, ClipSampler
from fada.eval.bench.memory import PeakMemory
from fada.eval.speed.public_way import public_way
from fada.eval.speed.rounds import wait_for_device
from fada.eval.speed.steps import CLIP_NORM, WEIGHT_DECAY
from fada.files.whole import write_json
from fada.student.distillation import DistillObjective, DistillSettings
from fada.teacher.denoiser import AvatarDenoiser

LEARNING_RATE = 1e-5


@dataclass(frozen=True)
class FullStep:
    """What one pass and one training step took.

    seconds: by part: forward (one pass of the student), then those of the step: teacher, student, backward, update.
    peak_memory: of the process (CPU) or of what torch allocated (CUDA), in bytes, None where the system does not say.
    trained, frozen: weights, with the reference net counted as frozen; optimizer_bytes: of moments. moved: the largest
    change of a trained weight.
    """

    dtype: str
    trained: int
    frozen: int
    seconds: dict[str, float]
    peak_memory: int | None
    optimizer_bytes: int
    loss: float
    moved: float

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, asdict(self))

    def print(self, console: Console) -> None:
        """Show it."""
        console.print(f"trained weights {self.trained / 1e6:.0f} M, frozen {self.frozen / 1e6:.0f} M, in {self.dtype}")
        console.print(", ".join(f"{part} {seconds:.1f} s" for part, seconds in self.seconds.items()))
        memory = "unknown" if self.peak_memory is None else f"{self.peak_memory / 2**30:.2f} GiB"
        console.print(
            f"peak memory {memory}, of it the optimiser's moments {self.optimizer_bytes / 2**30:.2f} GiB (in the "
            f"weights' type); loss {self.loss:.4g}; the largest change of a weight {self.moved:.2g}"
        )


def run_once(
    teacher: AvatarDenoiser,
    student: AvatarDenoiser,
    sampler: ClipSampler,
    settings: DistillSettings,
    inputs: Any,
    latents: Tensor,
) -> FullStep:
    """One pass over the clip of `inputs`, then one step of training with guidance inside, all branches of the teacher.

    Weights, gradients and moments are all in the student's own type.
    """
    settings = replace(public_way(settings), guidance="distill")
    objective = DistillObjective(teacher, student, sampler, settings, BatchShape(1))
    trained = [p for p in student.parameters() if p.requires_grad]
    # A parameter at a time: updates of all at once would need copies of all.
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, foreach=False)
    before = trained[0].detach().clone()
    seconds: dict[str, float] = {}
    with PeakMemory(latents.device) as memory:
        with _part("forward", seconds), torch.no_grad():
            model: Any = student
            rows = model.expand(
                model.prepare(inputs), torch.zeros(1, dtype=torch.long), torch.tensor([model.scale_count])
            )
            model.evaluate(latents, torch.tensor([0.5], dtype=torch.float64, device=latents.device), rows)
        with _part("teacher and student", seconds):
            loss = objective.loss(student, 0, 0)
        with _part("backward", seconds):
            loss.total.backward()
        with _part("update", seconds):
            torch.nn.utils.clip_grad_norm_(trained, CLIP_NORM)
            optimizer.step()
    seconds["teacher"] = float(loss.scalars["seconds_teacher"])
    moments = (value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value))
    moved = float((trained[0].detach() - before).abs().max())
    optimizer_bytes = sum(value.numel() * value.element_size() for value in moments)
    count = sum(p.numel() for p in trained)
    frozen = sum(p.numel() for p in teacher.parameters())
    dtype = str(trained[0].dtype).removeprefix("torch.")
    return FullStep(dtype, count, frozen, seconds, memory.bytes, optimizer_bytes, float(loss.total.detach()), moved)


@contextmanager
def _part(name: str, seconds: dict[str, float]) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    wait_for_device()
    seconds[name] = time.perf_counter() - begun
