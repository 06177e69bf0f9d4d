"""Files that are written: never an input, never what is there unless it may be replaced, and where they can be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fada.files.errors import FolderFault
from fada.files.output_file import check_output


def test_an_output_is_no_input_under_any_name(tmp_path: Path) -> None:
    film = tmp_path / "talk.mp4"
    film.write_text("mine")
    os.link(film, tmp_path / "hard.mp4")
    (tmp_path / "soft.mp4").symlink_to(film)
    for out in (film, tmp_path / "hard.mp4", tmp_path / "soft.mp4", tmp_path / "x" / ".." / "talk.mp4"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(FolderFault, match="an input is never overwritten"):
            check_output(out, None, film, overwrite=True)


def test_an_output_that_exists_needs_overwrite(tmp_path: Path) -> None:
    film = tmp_path / "talk.mp4"
    check_output(film)
    film.write_text("mine")
    with pytest.raises(FolderFault, match="exists; give another name, or --overwrite"):
        check_output(film)
    check_output(film, overwrite=True)
    with pytest.raises(FolderFault, match="is a folder"):
        check_output(tmp_path, overwrite=True)


def test_what_cannot_be_made_is_found_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "film").write_text("mine")
    with pytest.raises(FolderFault, match="Not a directory"):
        check_output(tmp_path / "film" / "figures.json")
    with pytest.raises(FolderFault, match="too long"):
        check_output(tmp_path / ("x" * 300 + ".json"))
    with pytest.raises(FolderFault, match=r"too long \(over 255 bytes\); give a shorter one"):
        check_output(tmp_path / "new" / ("x" * 256))
    monkeypatch.setattr("fada.files.output_file.os.access", lambda path, how: not how & os.W_OK)
    with pytest.raises(FolderFault, match=r"no permission to write into .*; give another place"):
        check_output(tmp_path / "new" / "figures.json")


def test_pipes_are_for_what_is_written_as_it_grows(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_output(pipe, is_written_through=True)
    with pytest.raises(FolderFault, match="is no ordinary file; pipes and devices need --stream"):
        check_output(pipe, overwrite=True, is_written_through=False)
    with pytest.raises(FolderFault, match="is no ordinary file; give the name of a file"):
        check_output(pipe, overwrite=True)
