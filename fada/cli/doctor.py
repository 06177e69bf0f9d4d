"""``fada doctor``: what is here, and what each missing thing switches off.

Versions come from package metadata; only torch is imported, to ask it for devices.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from fada.cli.weights import WeightFolders, plain_table, weights_table

if TYPE_CHECKING:
    from rich.table import Table

PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "deepspeed", "safetensors", "webdataset", "av", "numpy")
EXTRAS = {
    "data": "fada data prepare, filter, inspect DIR; fada generate --face-landmarker",
    "metrics": "faces, lip-sound offset, blendshape E-FID, identity similarity, E-FID and Sync-C/D in fada bench; "
    "fada data filter --dnsmos",
    "iqa": "fada data filter --iqa; IQA by Q-Align in fada bench",
    "syncnet": "fada data filter --syncnet (fada bench has SyncNet's network itself)",
    "cluster": "fada data prepare on Ray; shards in object stores; DeepSpeed's fused operators",
    "hallo": "fada data shard --face-embedder; Hallo as a teacher; identity similarity in fada bench",
    "trackers": "engine.trackers: wandb, mlflow, trackio",
    "ui": "fada ui, the studio",
    "docs": "make docs, the site of the documents",
    "dev": "make check, make test",
}
"""Extra → what its absence switches off."""
WEIGHTS = {
    "wav2vec2": "audio.kind: wav2vec2 (log_mel needs no weights)",
    "whisper": "audio.kind: whisper",
    "VAE": "vae.path (without one a small VAE is trained)",
    "teacher": "teacher.path (without one the recipe's stages are trained)",
}
"""Models → what their absence switches off. What the metrics need stands in fada.eval.instruments.weights."""


def doctor(
    weights: WeightFolders = None,
) -> None:
    """What is installed, devices, weights found; what each missing one switches off.

    Examples:

      fada doctor
      fada doctor --weights weights --weights ~/models
    """
    from fada.eval.instruments.weights import weight_folders
    from fada.terminal import SafeConsole

    console = SafeConsole()
    folders = weight_folders(weights or [])
    for table in (_machine(), _packages(), _extras(), _models(folders), weights_table(folders)):
        console.print(table)
        console.print()


def _machine() -> Table:
    import psutil

    from fada.media.processors import usable_processors

    table = plain_table("machine", "")
    memory = psutil.virtual_memory()
    table.add_row("python", f"{platform.python_version()} ({sys.executable})")
    table.add_row("system", f"{platform.system()} {platform.machine()}")
    table.add_row("cores", f"{usable_processors()} of {os.cpu_count()}")
    table.add_row("memory", f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB free")
    for name, value in _devices():
        table.add_row(name, value)
    return table


def _devices() -> Iterator[tuple[str, str]]:
    try:
        import torch
    except Exception as error:  # a broken torch is what doctor is for
        yield "torch", f"cannot be imported: {error}"
        return
    yield "torch threads", str(torch.get_num_threads())
    if not torch.cuda.is_available():
        yield "CUDA", "none: everything runs on the CPU, in bf16 or fp32"
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield f"cuda:{index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"


def _packages() -> Table:
    from rich.text import Text

    table = plain_table("package", "version")
    for name in ("fada", *PACKAGES):
        found = _version(name)
        table.add_row(name, found or Text("missing", style="red"))
    return table


def _extras() -> Table:
    from rich.text import Text

    table = plain_table("extra", "state", "without it, off are")
    for extra, off in EXTRAS.items():
        fault = _fault_of(extra)
        state = Text("installed", style="green") if fault is None else Text(fault, style="yellow")
        table.add_row(extra, state, off)
    return table


def _fault_of(extra: str) -> str | None:
    """What an extra lacks; None where it is whole."""
    if _version("fada") is None:
        # Run from its folder alone: nothing says what its extras ask for.
        return "unknown: fada is not installed (pip install -e .)"
    absent = [name for name in _distributions(extra) if _version(name) is None]
    return f"missing: {', '.join(absent)}" if absent else None


def _distributions(extra: str) -> list[str]:
    """Distributions that an extra of fada asks for, by name."""
    from packaging.requirements import Requirement

    requirements = (Requirement(line) for line in metadata.requires("fada") or [])
    wanted = [
        r
        for r in requirements
        if r.marker and r.marker.evaluate({"extra": extra}) and not r.marker.evaluate({"extra": ""})
    ]
    own = [r for r in wanted if r.name == "fada"]
    return [r.name for r in wanted if r not in own] + [
        name for r in own for other in sorted(r.extras) for name in _distributions(other)
    ]


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _models(folders: list[Path]) -> Table:
    from rich.text import Text

    table = plain_table("models", "found", "without them, off are")
    found = find_models(folders)
    for kind, off in WEIGHTS.items():
        paths = found.get(kind, [])
        table.add_row(kind, "\n".join(map(str, paths)) or Text("none", style="yellow"), off)
    return table


def find_models(folders: list[Path]) -> dict[str, list[Path]]:
    """Kind of model → its folders, known by their config.json and model_index.json; no weights are opened."""
    from fada.eval.instruments.weights import walk

    found: dict[str, list[Path]] = {}
    for folder in folders:
        for path in walk(folder.expanduser()):
            kind = _kind(path)
            if kind is not None:
                found.setdefault(kind, []).append(path.parent)
    return found


def _kind(path: Path) -> str | None:
    from fada.files.strict_json import read_table

    if path.name == "model_index.json":
        return "teacher"
    if path.name != "config.json":
        return None
    try:
        config = read_table(path, largest=2**20)
    except (OSError, ValueError):
        return None
    if config.get("model_type") in ("wav2vec2", "whisper"):
        return str(config["model_type"])
    return "VAE" if config.get("_class_name") == "AutoencoderKL" else None
