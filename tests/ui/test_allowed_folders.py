"""Which places the studio finds, and which it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from fada.ui.allowed_folders import AllowedFolders, NotAllowed


@pytest.fixture
def allowed(tmp_path: Path) -> AllowedFolders:
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "file").write_text("inside")
    (tmp_path / "runs2").mkdir()
    (tmp_path / "runs2" / "file").write_text("beside")
    (tmp_path / "more").mkdir()
    return AllowedFolders([tmp_path / "runs", tmp_path / "more"])


def test_a_place_is_found_again(allowed: AllowedFolders, tmp_path: Path) -> None:
    file = tmp_path.resolve() / "runs" / "one" / "file"
    assert allowed.place(file) == "0/one/file"
    assert allowed.find("0/one/file") == file
    assert allowed.find("1") == tmp_path.resolve() / "more"


@pytest.mark.parametrize(
    "place",
    ["0/../runs2/file", "0/one/../../runs2/file", "0//one", "0/one/.", "0/./one", "2/one", "-1/one", "one", "", "/etc",
     "0/one\0/file", "0/nothing", "٠/one", None, 7, ["0"], "0/" + "x" * 5000],
)  # fmt: skip
def test_what_leads_out_or_nowhere_is_refused(allowed: AllowedFolders, place: object) -> None:
    with pytest.raises(NotAllowed):
        allowed.find(place)


@pytest.mark.parametrize("target", ["runs2", "runs/one"])
def test_no_link_is_followed_wherever_it_leads(allowed: AllowedFolders, tmp_path: Path, target: str) -> None:
    (tmp_path / "runs" / "link").symlink_to(tmp_path / target)
    for place in ("0/link", "0/link/file"):
        with pytest.raises(NotAllowed, match="is a link"):
            allowed.find(place)
    assert [each.name for each in allowed.walk()] == ["runs", "one", "more"]


def test_an_allowed_folder_may_be_named_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    allowed = AllowedFolders([tmp_path / "link", tmp_path / "real"])
    assert allowed.roots == ((tmp_path / "real").resolve(),)
    assert allowed.find("0/inner") == tmp_path.resolve() / "real" / "inner"


def test_paths_outside_have_no_place(allowed: AllowedFolders, tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match="in none of the allowed folders"):
        allowed.place(tmp_path / "runs2" / "file")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match=r"nowhere: no such folder; name folders with runs"):
        AllowedFolders([tmp_path / "nowhere"])
    with pytest.raises(NotAllowed, match="no folder is named"):
        AllowedFolders([])


def test_the_walk_sees_nothing_hidden_and_not_what_training_leaves(allowed: AllowedFolders, tmp_path: Path) -> None:
    for name in (".git/a", "one/work/a", "one/rows/a", "one/students/fast"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    root = tmp_path.resolve() / "runs"
    assert [each.relative_to(root).as_posix() for each in allowed.walk() if each.is_relative_to(root)] == [
        ".",
        "one",
        "one/students",
        "one/students/fast",
    ]


def test_names_for_people_say_the_folder_where_there_are_several(allowed: AllowedFolders, tmp_path: Path) -> None:
    root = tmp_path.resolve() / "runs"
    assert allowed.shown(root / "one") == "runs/one"
    assert AllowedFolders([root]).shown(root / "one") == "one"
    assert AllowedFolders([root]).shown(root) == "runs"
