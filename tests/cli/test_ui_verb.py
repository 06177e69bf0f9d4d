"""``fada ui`` before it listens: what it says, and what it loads."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest


def test_without_the_extra_it_says_what_to_install(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    outcome = cli("ui")
    assert outcome.code == 2
    assert "starlette and uvicorn not installed; run: pip install 'fada[ui]'" in outcome.err


def test_help_loads_neither_networks_nor_the_extra() -> None:
    code = (
        "import sys\nfrom fada.cli.app import run\nassert run(['ui', '--help']) == 0\n"
        "print([name for name in ('torch', 'starlette', 'uvicorn', 'fada.ui') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.endswith("[]\n")
    assert "FOLDER..." in said


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("192.168.0.3", False), ("localhost.evil.example", False), ("", False)],
)  # fmt: skip
@pytest.mark.ui
def test_only_loopback_addresses_are_this_machines_alone(host: str, is_ours: bool) -> None:
    from fada.ui.guard import is_loopback

    assert is_loopback(host) is is_ours


@pytest.mark.ui
def test_a_short_token_is_refused(cli) -> None:
    outcome = cli("ui", "--token", "short")
    assert outcome.code == 2
    assert "--token: has 5 letters, 16 are wanted at least" in outcome.err
