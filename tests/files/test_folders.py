import os
from pathlib import Path

import pytest

from fada.files.errors import FolderFault
from fada.files.folders import MARK, check_folder, check_no_links, inside, kind_of, take_folder


def test_a_new_an_empty_and_a_marked_folder_are_taken(tmp_path: Path) -> None:
    for folder in (tmp_path / "new" / "deep", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        take_folder(folder, "run")
        (folder / "work").mkdir()
        take_folder(folder, "run")
        assert kind_of(folder) == "run"


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / "thesis.py").write_text("mine")
    with pytest.raises(FolderFault, match=r"holds files that fada did not make \(teacher\); give a folder that is new"):
        take_folder(tmp_path, "run")
    assert os.listdir(tmp_path) == ["teacher"]


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    take_folder(tmp_path, "clips")
    with pytest.raises(FolderFault, match="holds clips of an earlier command, not run"):
        take_folder(tmp_path, "run")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderFault, match="file: is not a folder"):
        check_folder(tmp_path / "file", "run")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"kind": 3}', "[" * 100_000])
def test_a_mark_that_says_nothing_marks_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / MARK).write_text(content)
    assert kind_of(tmp_path) is None
    with pytest.raises(FolderFault, match="did not make"):
        take_folder(tmp_path, "run")


def test_inside_follows_no_link_and_leads_nowhere_else(tmp_path: Path) -> None:
    assert inside(tmp_path, "students", "fast") == tmp_path / "students" / "fast"
    for name in ("..", ".", "", "a/b", "a\0"):
        with pytest.raises(FolderFault, match="is no name of a file or folder"):
            inside(tmp_path, "students", name)
    (tmp_path / "students").symlink_to(tmp_path.parent)
    with pytest.raises(FolderFault, match="students: is a link, it may lead anywhere"):
        inside(tmp_path, "students", "fast")


def test_links_in_a_foreign_folder_are_found_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    check_no_links(tmp_path)
    (tmp_path / "a" / "b" / "notes.txt").symlink_to("/etc/hostname")
    with pytest.raises(FolderFault, match=r"notes\.txt: is a link"):
        check_no_links(tmp_path)


def test_a_folder_whose_taker_was_killed_before_the_mark_is_still_to_be_taken(tmp_path: Path) -> None:
    (tmp_path / ".fada.lock").write_text("")
    (tmp_path / f".fada-{'0' * 16}.partial.json").write_text("{")
    take_folder(tmp_path, "run")
    assert kind_of(tmp_path) == "run"
