"""A failed training step again: the weights it had, its samples one by one."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file

from fada.data.sampling.dataset import BatchShape
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe
from fada.run.training import objective_of
from fada.run.training_run import StudentObjective
from fada.teacher.pretrain import PretrainObjective


@dataclass(frozen=True)
class Replayed:
    """One sample of the failed step."""

    key: str
    loss: float
    fault: str


@dataclass(frozen=True)
class Replay:
    """What a failed step looks like when it is computed again."""

    phase: str
    step: int
    bad_weights: list[str]
    """Parameters that were not finite before the step."""
    samples: list[Replayed]

    def print(self, console: Console) -> None:
        """Show it."""
        console.print(f"{self.phase}, step {self.step}")
        if self.bad_weights:
            console.print(
                f"{len(self.bad_weights)} parameters were not finite before this step already, "
                f"{self.bad_weights[0]} among them: the fault lies earlier, or in the learning rate",
                style="red",
                markup=False,
            )
        table = Table()
        for head in ("sample", "loss", "fault"):
            table.add_column(head, justify="right" if head == "loss" else "left", overflow="fold")
        for sample in self.samples:
            table.add_row(sample.key, f"{sample.loss:g}", sample.fault or "none")
        console.print(table)


def replay(recipe: Recipe, folder: Path, console: Console) -> Replay:
    """Compute the step whose failure `folder` records, sample by sample.

    Raises:
        RecipeError: the folder holds no such record, or the recipe has no such stage or phase.
    """
    record_path, weights_path = folder / "failure.json", folder / "weights.safetensors"
    if not record_path.is_file() or not weights_path.is_file():
        raise RecipeError(f"{folder}: no failed step here (failure.json and weights.safetensors belong together)")
    record = json.loads(record_path.read_text())
    objective = objective_of(recipe, folder.resolve().parent.parent.name, console)
    names = getattr(objective.module, "former_names", {})
    weights = {names.get(name, name): value for name, value in load_file(str(weights_path)).items()}
    objective.module.load_state_dict(weights, strict=False)
    bad = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
    shape = objective.shape
    together = shape.size * record["processes"]
    samples = []
    with torch.no_grad():
        for sample in range(together):
            objective.shape = BatchShape(1, sample, together, shape.accumulate)
            samples.append(_again(objective, record["step"], record["micro"]))
    return Replay(record["phase"], record["step"], bad, samples)


def _again(objective: PretrainObjective | StudentObjective, step: int, micro: int) -> Replayed:
    (key,) = objective.sampler.batch(step, objective.shape, micro).keys
    try:
        loss = float(objective.loss(objective.module, step, micro).total)
    except FloatingPointError as error:
        return Replayed(key, math.nan, str(error))
    return Replayed(key, loss, "" if math.isfinite(loss) else "the loss is not finite")
