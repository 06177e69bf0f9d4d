"""Finished parts of a run: found again where they are whole, put aside where they are not; the main process looks."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from torch import Tensor, nn

from fada.engine.parallel import from_main
from fada.engine.tensor_files import DamagedFile, load_tensors
from fada.export.opening import model_fault
from fada.run.folder import put_aside


def is_model_there(folder: Path, console: Console) -> bool:
    """Whether a saved pipeline is there and whole; a damaged one is set aside, with a line on the console."""

    def look() -> bool:
        fault = model_fault(folder) if folder.exists() else None
        if fault is not None:
            put_aside(folder, fault, console)
        return folder.exists()

    return from_main(look)


def load_stage(file: Path, model: nn.Module, console: Console) -> bool:
    """Put a finished stage's weights into the model; False where there are none, or damaged ones: they go aside."""

    def look() -> bool:
        if not file.exists():
            return False
        try:
            check_fits(load_tensors(file), model, file)
        except DamagedFile as error:
            put_aside(file, str(error).removeprefix(f"{file}: "), console)
            return False
        return True

    is_there = from_main(look)
    if is_there:
        model.load_state_dict(load_tensors(file))
    return is_there


def check_fits(weights: dict[str, Tensor], model: nn.Module, file: Path) -> None:
    """Nothing, where weights are those of all a model's parts.

    Raises:
        DamagedFile: a name is missing or too many, or a shape differs.
    """
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if {name: tuple(value.shape) for name, value in weights.items()} != expected:
        raise DamagedFile(f"{file}: holds other weights than those of the recipe's teacher")
