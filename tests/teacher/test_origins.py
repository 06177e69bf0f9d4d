"""What an import writes down, and where it finds the licence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fada.teacher.origins import IMPORT, front_matter, licence_in, write_import

CARD = "---\nlicense: {}\n---\n# Weights\n"


def told(folder: Path) -> dict[str, str]:
    return json.loads((folder / IMPORT).read_text())


@pytest.mark.parametrize("source", ["hub", "hub/net.pth", "hub/hallo", "hub/hallo/net.pth"])
def test_the_licence_is_that_of_the_card_beside_the_weights_or_above(tmp_path: Path, source: str) -> None:
    (tmp_path / "hub" / "hallo").mkdir(parents=True)
    for name in ("hub/net.pth", "hub/hallo/net.pth"):
        (tmp_path / name).touch()
    (tmp_path / "hub" / "README.md").write_text(CARD.format("mit"))
    write_import(tmp_path, tmp_path / source, None, betas="linear")
    assert told(tmp_path) == {"source": Path(source).name, "license": "mit", "betas": "linear"}


def test_a_licence_that_is_given_wins_and_an_unknown_one_is_left_out(tmp_path: Path) -> None:
    write_import(tmp_path, tmp_path / "net.pth", None)
    assert told(tmp_path) == {"source": "net.pth"}
    (tmp_path / "README.md").write_text(CARD.format("mit"))
    write_import(tmp_path, tmp_path / "net.pth", "for research only")
    assert told(tmp_path)["license"] == "for research only"


def test_of_another_licence_its_own_name_is_taken(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: house rules\n---\n")
    assert licence_in(front_matter(tmp_path)) == "house rules"
    assert front_matter(tmp_path / "nowhere") == {}
