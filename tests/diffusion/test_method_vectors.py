"""The recorded numbers are what their generator gives, which knows nothing of fada."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GENERATOR = Path(__file__).with_name("make_method_vectors.py")
RECORDED = Path(__file__).parent / "vectors" / "method.json"


def test_the_generator_gives_the_recorded_numbers_and_nothing_else() -> None:
    made = subprocess.run([sys.executable, str(GENERATOR)], capture_output=True, text=True, check=True).stdout
    _check_equal(json.loads(made), json.loads(RECORDED.read_text()), "method.json")


def test_the_generator_imports_nothing_of_fada() -> None:
    tree = ast.parse(GENERATOR.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "collections.abc", "itertools", "json", "numpy", "typing"}


def _check_equal(found: Any, expected: Any, where: str) -> None:
    """Numbers to a few roundings: sums of another build of NumPy may differ in their last bits."""
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        for key, value in expected.items():
            _check_equal(found[key], value, f"{where}: {key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, value in enumerate(expected):
            _check_equal(found[number], value, f"{where}[{number}]")
    elif isinstance(expected, str):
        assert found == expected, where
    else:
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-14), where
