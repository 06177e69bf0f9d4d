"""The wheel in an environment of its own, outside of any clone, beside what the base asks for and nothing else.

The other packages are those of this environment, by links: all but DeepSpeed, which is on Linux alone, and the extras.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import fada
from fada.recipe.shipped import shipped_recipes

ABSENT = (
    "deepspeed",
    "fada",
    "__editable__",
    "mediapipe",
    "silero_vad",
    "scenedetect",
    "skimage",
    "pyarrow",
    "ray",
    "s3fs",
    "onnx",
    "ninja",
)
"""Beginnings of what is not there."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints, in a process that knows nothing of this clone."""
    left = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RANK", "WORLD_SIZE")}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=left, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source package, as `make wheel` builds it."""
    # setuptools writes beside what it packs.
    clone, out = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("dist")
    for name in ("fada", "teacher", "student", "eval", "recipes"):
        caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(project_root / name, clone / name, symlinks=True, ignore=caches)
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(project_root / name, clone)
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, out, cwd=clone)
    (source,) = out.glob("fada-*.tar.gz")
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index")
    run(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", out, source, cwd=out)
    (found,) = out.glob("fada-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the environment's commands."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / "venv", with_pip=True)
    others = folder / "others"
    others.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.startswith(ABSENT) and entry.suffix != ".pth":
            (others / entry.name).symlink_to(entry)
    python = folder / "venv" / "bin" / "python"
    purelib = run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=folder).strip()
    run(
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=folder,
    )
    # Behind the environment's own packages, as they are looked for in turn.
    Path(purelib, "others.pth").write_text(f"{others}\n", encoding="utf-8")
    return python.parent


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(wheel: Path, project_root: Path) -> None:
    kinds = (".py", ".yaml", ".html", ".css", ".js", ".safetensors", ".json", ".md", ".typed")
    tracked = run("git", "ls-files", "fada", "teacher", "student", "eval", "recipes", cwd=project_root).split()
    wanted = {name if name.startswith("fada/") else f"fada/{name}" for name in tracked if name.endswith(kinds)}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == wanted
    assert wheel.name == f"fada-{fada.__version__}-py3-none-any.whl"


def test_every_module_is_imported_without_deepspeed_and_extras(installed: Path, tmp_path: Path) -> None:
    # The studio is an extra as a whole; `fada ui` says so (tests/cli/test_ui_verb.py).
    code = (
        "import importlib, pkgutil, fada\n"
        "for module in pkgutil.walk_packages(fada.__path__, 'fada.'):\n"
        "    module.name.startswith(('fada.__main__', 'fada.ui.')) or importlib.import_module(module.name)\n"
        "print(fada.__file__)"
    )
    assert Path(run(installed / "python", "-c", code, cwd=tmp_path).strip()).is_relative_to(installed.parent)


def test_light_verbs_work_outside_of_a_clone(installed: Path, tmp_path: Path) -> None:
    command = installed / "fada"
    assert run(command, "--version", cwd=tmp_path) == f"fada {fada.__version__}\n"
    doctor = run(command, "doctor", cwd=tmp_path)
    assert re.search(r"^deepspeed +missing *$", doctor, re.MULTILINE)
    assert re.search(r"^data +missing: mediapipe", doctor, re.MULTILINE)
    listed = run(command, "recipe", "list", cwd=tmp_path)
    assert [name for name in shipped_recipes() if name not in listed] == []
    assert run(command, "recipe", "check", "tiny/smoke", cwd=tmp_path) == "tiny/smoke: good\n"
    assert "1 clips drawn" in run(command, "world", "make", "world", "--clips", "1", "--frames", "4", cwd=tmp_path)
    assert "TFLOP" in run(command, "demo", "--dry-run", cwd=tmp_path)


def test_the_whole_main_job_runs_without_deepspeed(installed: Path, tmp_path: Path) -> None:
    printed = run(installed / "fada", "distill", "tiny/smoke", "bench.search_clips=0", cwd=tmp_path)
    assert "report: runs/smoke/report/index.html" in printed
    report = (tmp_path / "runs" / "smoke" / "report" / "report.md").read_text(encoding="utf-8")
    assert "fast-6" in report
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
