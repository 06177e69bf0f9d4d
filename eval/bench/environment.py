"""What a figure was measured on: versions, processor, threads, commit. No host names, no paths."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy
import torch

from fada.media.processors import usable_processors


def environment() -> dict[str, Any]:
    """A flat, JSON-able description of this machine and its libraries."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "cores": usable_processors(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "numpy": numpy.__version__,
        "gpu": gpu,
        "cuda": torch.version.cuda if gpu else None,
    }


def processor_name() -> str:
    """The processor's model name, or the architecture where the system does not tell."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def source_commit() -> str | None:
    """The commit of the source tree that this package lies in, ``-dirty`` where it was changed since.

    None where the package is installed elsewhere, or there is no git to ask.
    """
    top = Path(__file__).resolve().parents[2]
    if not (top / ".git").exists():
        return None
    command = ["git", "-C", str(top), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
