"""The locks pin everything that is installed, with hashes, within the ranges of pyproject.toml."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

LOCKS = ("", ".cuda", ".cpu", ".build", ".iqa", ".syncnet", ".docs", ".ui", ".trackers")
_PIN = re.compile(r"(?P<name>[a-z0-9.-]+)==(?P<version>[^\s;]+)(?P<marker> ; [^\\]+)?(?= \\$)")
_HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}")


def read_lock(file: Path) -> dict[str, str]:
    """Version by package; every line is a pin, a hash of the pin above it, or a comment."""
    found: dict[str, str] = {}
    is_open = False
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            assert not is_open
            continue
        if (pin := _PIN.match(line)) is not None and not is_open:
            assert pin["name"] not in found
            found[pin["name"]] = pin["version"]
            is_open = True
            continue
        assert is_open, line
        assert _HASH.fullmatch(line.removesuffix(" \\")), line
        is_open = line.endswith("\\")
    assert not is_open
    return found


@pytest.fixture(scope="module")
def locked(project_root: Path) -> dict[str, dict[str, str]]:
    return {kind: read_lock(project_root / f"requirements{kind}.lock") for kind in LOCKS}


def wanted(project_root: Path, *extras: str) -> list[Requirement]:
    """What pyproject.toml asks for, extras of fada's own followed."""
    project = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    found = [Requirement(line) for line in lines]
    inner = [extra for each in found if each.name == "fada" for extra in each.extras]
    return [each for each in found if each.name != "fada"] + (wanted(project_root, *inner) if inner else [])


@pytest.mark.parametrize(
    ("extra", "kind"),
    [("dev", ""), *((extra, f".{extra}") for extra in ("iqa", "syncnet", "docs", "ui", "trackers"))],
)
def test_what_pyproject_asks_for_is_locked_within_its_range(
    project_root: Path, locked: dict[str, dict[str, str]], extra: str, kind: str
) -> None:
    pins = locked[""] | locked[".cuda"] | locked[kind]
    for each in wanted(project_root, extra):
        version = pins[re.sub(r"[-_.]+", "-", each.name).lower()]
        assert each.specifier.contains(Version(version), prereleases=True), f"{each} but {version} is locked"


def test_what_the_locked_packages_need_is_locked_too(locked: dict[str, dict[str, str]]) -> None:
    from importlib.metadata import PackageNotFoundError, requires

    pins = locked[""] | locked[".cpu"]
    missing = []
    for name in pins:
        try:
            needed = requires(name) or []
        except PackageNotFoundError:  # of another platform
            continue
        for line in needed:
            each = Requirement(line)
            inner = re.sub(r"[-_.]+", "-", each.name).lower()
            is_wanted = each.marker is None or each.marker.evaluate({"extra": ""})
            is_cuda = name == "torch" and inner not in locked[""]
            if is_wanted and not is_cuda and inner not in pins:
                missing.append(f"{name} needs {line}")
    assert missing == []


def test_torch_is_the_same_version_in_both_builds_and_torchvision_only_in_extras(locked: dict[str, Any]) -> None:
    assert locked[".cpu"] == {"torch": f"{locked['.cuda']['torch']}+cpu"}
    assert "torch" not in locked[""]
    assert [kind for kind in LOCKS if "torchvision" in locked[kind]] == [".iqa", ".syncnet"]
    assert not any(name.startswith("nvidia-") for kind in LOCKS if kind != ".cuda" for name in locked[kind])


def test_source_packages_are_built_with_what_is_locked(project_root: Path, locked: dict[str, Any]) -> None:
    assert locked[".build"] == {"setuptools": locked[""]["setuptools"]}
    project = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))
    assert [Requirement(each).name for each in project["build-system"]["requires"]] == ["setuptools"]


def test_nothing_is_installed_but_by_hash(project_root: Path) -> None:
    recipe = (project_root / "Makefile").read_text(encoding="utf-8")
    installs = re.findall(r"(?:pip|\$\$install|\$\$locked)\s+(?:install\s)?.*-r requirements\S*", recipe)
    assert installs
    assert all(line.startswith("$$locked") for line in installs)
    assert 'locked="$$install --require-hashes"' in recipe
    assert recipe.count("--no-deps --no-build-isolation") == 2


def test_the_cpu_build_is_known_by_the_old_lock_or_by_its_wheel(
    project_root: Path, tmp_path: Path, locked: dict[str, Any]
) -> None:
    cpu_build = runpy.run_path(str(project_root / ".ci" / "lock.py"))["cpu_build"]
    version = locked[".cuda"]["torch"]
    known = cpu_build(version, "")["torch"]
    assert known in (project_root / "requirements.cpu.lock").read_text(encoding="utf-8")
    (tmp_path / "torch-9.9+cpu-cp311-any.whl").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert cpu_build("9.9", str(tmp_path))["torch"] == f"torch==9.9+cpu \\\n    --hash=sha256:{empty}"
    with pytest.raises(SystemExit, match=r"torch==9\.8\+cpu: no wheel in PIP_FIND_LINKS"):
        cpu_build("9.8", str(tmp_path))
