"""Write the locks: every package that `make env` installs, direct or not, pinned and with the hashes of its files.

    make lock              the pins stay, what pyproject.toml adds is resolved
    make lock UPGRADE=1    everything as new as the ranges allow

Needs uv (`pip install uv`). Several files, because of torch: `requirements.lock` holds everything but torch;
`requirements.cuda.lock` torch's ordinary build with the CUDA libraries that it needs, `requirements.cpu.lock` its CPU
build, which needs none and is another version to a package manager; `make env` takes the CPU build where it finds it.
`requirements.build.lock` is what source packages are built with, and is installed first.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
CUDA_LOCK, CPU_LOCK, BUILD_LOCK = (ROOT / f"requirements.{kind}.lock" for kind in ("cuda", "cpu", "build"))
EXTRAS = ("iqa", "syncnet", "docs", "ui", "trackers")
"""Extras with an environment of their own, and a lock of what it has beside the base."""
OLDER = frozenset({"trackers"})
"""Of them those whose packages forbid versions of the base: their locks hold others, which are installed over them."""
PYTHON = "3.11"
_CUDA = re.compile(r"(nvidia|cuda)-.*|triton|torch")
_BUILD = re.compile(r"setuptools")
Pins = dict[str, str]
"""A package's name → its lines: `name==version ; marker \\` and a line for each hash."""

HEADERS = {
    "": "The one tested set of versions, every package but torch with the hashes of its files. Made by `make lock`;\n"
    "# pyproject.toml holds the ranges. torchvision is left out on purpose.",
    "cuda": "torch's ordinary build, and what it needs beside requirements.lock. Made by `make lock`.",
    "cpu": "torch's CPU build, for machines where it is found. Made by `make lock`.",
    "build": "What source packages are built with, installed first. Made by `make lock`.",
    **{extra: f"What the extra {extra} has beside requirements.lock. Made by `make lock`." for extra in EXTRAS},
    **{extra: f"What the extra {extra} has over requirements.lock. Made by `make lock`." for extra in OLDER},
}


def read_pins(file: Path) -> Pins:
    """The packages of a lock; none where there is no such file."""
    pins: Pins = {}
    name = ""
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        if found := re.match(r"([A-Za-z0-9._-]+)==", line):
            name = re.sub(r"[-_.]+", "-", found[1]).lower()
            pins[name] = line
        elif line.lstrip().startswith("--hash="):
            pins[name] += "\n" + line
    return pins


def compile_pins(preferred: Pins, extras: list[str], upgrade: bool) -> Pins:
    """What uv resolves for every platform and Python from 3.11 on, from the public index alone."""
    # A machine's own folders of wheels must not decide what is locked for all.
    own = ("UV_", "PIP_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "requirements.lock"
        out.write_text("\n".join(preferred.values()) + "\n", encoding="utf-8")
        wanted = [part for extra in extras for part in ("--extra", extra)]
        options = ["--universal", "--python-version", PYTHON, "--generate-hashes", "--no-header", "--no-annotate"]
        options += ["--no-emit-index-url", "--no-emit-find-links", "--quiet", *(["--upgrade"] if upgrade else [])]
        command = ["uv", "pip", "compile", "pyproject.toml", *wanted, *options, "-o", str(out)]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        return read_pins(out)


def cpu_build(version: str, wheels: str) -> Pins:
    """torch's CPU build of a version: its files in folders of wheels beside those that the old lock knows.

    The public index does not have it, so that uv cannot find it there.
    """
    found = {
        f"    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"
        for folder in wheels.split()
        if "://" not in folder
        for wheel in Path(folder).glob(f"torch-{version}+cpu-*.whl")
    }
    head = f"torch=={version}+cpu"
    earlier = read_pins(CPU_LOCK).get("torch", "")
    if _version(earlier) == f"{version}+cpu":
        found |= {line.removesuffix(" \\") for line in earlier.splitlines()[1:]}
    if not found:
        raise SystemExit(f"{head}: no wheel in PIP_FIND_LINKS, and {CPU_LOCK.name} has another version; give a folder")
    return {"torch": " \\\n".join([head, *sorted(found)])}


def _version(lines: str) -> str:
    found = re.match(r"[^=]+==([^\s;\\]+)", lines)
    return found[1] if found else ""


def write_lock(file: Path, kind: str, pins: Pins) -> None:
    """Write a lock with its header."""
    lines = [f"# {HEADERS[kind]}", *(pins[name] for name in sorted(pins))]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="do not keep the versions of the locks that are there")
    upgrade = parser.parse_args().upgrade
    earlier = read_pins(LOCK) | read_pins(CUDA_LOCK)
    pins = compile_pins(earlier, ["dev"], upgrade)
    cpu = cpu_build(_version(pins["torch"]), os.environ.get("PIP_FIND_LINKS", ""))
    cuda = {name for name in pins if _CUDA.fullmatch(name)}
    write_lock(LOCK, "", {name: pins[name] for name in pins.keys() - cuda})
    write_lock(CUDA_LOCK, "cuda", {name: pins[name] for name in cuda})
    write_lock(CPU_LOCK, "cpu", cpu)
    write_lock(BUILD_LOCK, "build", {name: pins[name] for name in pins if _BUILD.fullmatch(name)})
    for extra in EXTRAS:
        file = ROOT / f"requirements.{extra}.lock"
        # Kept to the versions of the base, whatever it upgrades to.
        whole = compile_pins(read_pins(file) | pins, ["dev", extra], upgrade=False)
        differing = [name for name in pins if _version(whole.get(name, "")) != _version(pins[name])]
        if differing and extra not in OLDER:
            raise SystemExit(f"{extra}: wants other versions of {', '.join(differing)} than the base; pin them apart")
        # Also what the base has on some platforms alone, and the extra on more.
        write_lock(file, extra, {name: lines for name, lines in whole.items() if lines != pins.get(name)})


if __name__ == "__main__":
    main()
