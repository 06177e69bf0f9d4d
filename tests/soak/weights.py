"""What runs are compared by: every tensor that they make."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

PARTS = ("vae", "stages", "teacher", "students")


def everything(run: Path) -> dict[str, torch.Tensor]:
    """All weights of a run by file and name; what was set aside is not part of it."""
    files = [file for part in PARTS for file in sorted((run / part).rglob("*.safetensors"))]
    kept = [file for file in files if ".aside-" not in str(file)]
    return {f"{file.relative_to(run)}: {name}": value for file in kept for name, value in load_file(str(file)).items()}


def compare(run: Path, whole: Path) -> None:
    """Say that a run equals the unbroken one; ends the program where it does not."""
    found, expected = everything(run), everything(whole)
    if found.keys() != expected.keys():
        sys.exit(f"{run.name}: has other tensors than the unbroken run: {sorted(found.keys() ^ expected.keys())[:5]}")
    differing = [name for name, value in expected.items() if not torch.equal(found[name], value)]
    if differing:
        sys.exit(f"{run.name}: differs from the unbroken run in {len(differing)} of {len(expected)}: {differing[:5]}")
    print(f"{run.name}: all {len(expected)} tensors equal the unbroken run's, bit for bit", flush=True)
