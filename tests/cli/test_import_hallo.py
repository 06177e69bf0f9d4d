"""``fada teacher import hallo``: the verb; what it reads is tested in tests/teacher/hallo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fada.assembly import import_hallo as importing
from fada.teacher.released import Row


def test_the_import_prints_its_account(
    cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {}

    def stand_in(path: Path, out: Path, **options: Any) -> list[Row]:
        asked.update(options, path=path, out=out)
        return [Row("reference_unet", 682, 859_500_000), Row("denoising_unet", 686, 859_500_000)]

    monkeypatch.setattr(importing, "import_hallo", stand_in)
    outcome = cli("teacher", "import", "hallo", "net.pth", "--out", str(tmp_path), "--betas", "scaled_linear")
    assert outcome.code == 0
    assert asked["path"] == Path("net.pth")
    assert (asked["betas"], asked["bank_tiling"]) == ("scaled_linear", "released")
    assert "reference_unet" in outcome.out
    assert "1368" in outcome.out
    assert "1719.0 M" in outcome.out
    assert "no key missing, none left over" in outcome.out


def test_the_import_shows_examples(cli: Callable[..., Any]) -> None:
    outcome = cli("teacher", "import", "hallo", "--help")
    assert outcome.code == 0
    assert "fada teacher import hallo pretrained_models/hallo --out weights/hallo" in outcome.out


@pytest.mark.parametrize(
    ("option", "message"),
    [("--betas", "choose from linear, scaled_linear"), ("--bank-tiling", "choose from released, fixed")],
)
def test_the_import_refuses_unknown_settings(cli: Callable[..., Any], option: str, message: str) -> None:
    outcome = cli("teacher", "import", "hallo", "net.pth", "--out", "folder", option, "other")
    assert outcome.code == 2
    assert message in outcome.err


def test_the_import_says_where_no_file_is(cli: Callable[..., Any], tmp_path: Path) -> None:
    outcome = cli("teacher", "import", "hallo", str(tmp_path / "none"), "--out", str(tmp_path / "out"))
    assert outcome.code == 2
    assert "no such file or folder; give the folder that holds Hallo's net.pth" in outcome.err
