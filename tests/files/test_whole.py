import ast
import json
import os
from pathlib import Path

import pytest

from fada.files import whole
from fada.files.errors import FolderFault
from fada.files.manifest import find_fault
from fada.files.whole import (
    clear_leftovers,
    put_whole,
    remove_listed,
    set_aside,
    sync_tree,
    whole_file,
    whole_folder,
    write_json,
    write_text,
)


def fail_halfway(file: Path) -> None:
    file.write_text("half")
    raise OSError("the disk is full")


def test_a_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "sub" / "film.mp4"
    with whole_file(target) as temporary:
        assert temporary.suffix == ".mp4"
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert os.listdir(target.parent) == ["film.mp4"]


def test_an_error_leaves_the_old_file_and_no_leftover(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")
    with pytest.raises(OSError, match="full"), whole_file(target) as temporary:
        fail_halfway(temporary)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_link_under_the_final_name_is_replaced_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    (tmp_path / "out.json").symlink_to(secret)
    write_json(tmp_path / "out.json", {"a": 1})
    assert secret.read_text() == "mine"
    assert not (tmp_path / "out.json").is_symlink()


def test_a_link_under_the_temporary_name_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    monkeypatch.setattr(whole.secrets, "token_hex", lambda count: "0" * 2 * count)
    (tmp_path / f".fada-{'0' * 16}.partial.txt").symlink_to(secret)
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "out.txt", "theirs")
    assert secret.read_text() == "mine"


def test_temporary_names_differ_and_are_short(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        with whole_file(tmp_path / ("n" * 250)) as temporary:
            names.add(temporary.name)
            assert len(temporary.name) < 60
    assert len(names) == 3
    assert (tmp_path / ("n" * 250)).is_file()


def test_data_is_synced_before_the_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    replace, fsync = os.replace, os.fsync

    def note_sync(descriptor: int) -> None:
        done.append("sync " + ("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"))
        fsync(descriptor)

    monkeypatch.setattr(whole.os, "fsync", note_sync)
    monkeypatch.setattr(whole.os, "replace", lambda *names: (done.append("rename"), replace(*names)))
    write_text(tmp_path / "a", "x")
    assert done == ["sync file", "rename", "sync folder"]
    done.clear()
    with whole_folder(tmp_path / "b") as folder:
        (folder / "one").write_text("1")
    assert done == ["sync file", "sync file", "sync folder", "rename", "sync folder"]
    done.clear()
    with whole_file(tmp_path / "again", is_synced=False) as file:
        file.write_text("can be made again")
    assert done == ["rename"]
    put_whole(tmp_path / "again", tmp_path / "c")
    assert done == ["rename", "sync file", "rename", "sync folder"]


def test_nobody_else_gives_a_written_file_its_name(project_root: Path) -> None:
    found = set()
    for path in [path for top in ("fada", "teacher", "student", "eval") for path in (project_root / top).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            of_os = isinstance(node.func.value, ast.Name) and node.func.value.id in ("os", "shutil")
            # A text's `replace` takes two arguments, a path's one.
            of_path = len(node.args) == 1 and not node.keywords
            if (of_os or of_path) and node.func.attr in ("replace", "rename", "renames", "link"):
                found.add(path.relative_to(project_root).as_posix())
    assert found == {"fada/files/whole.py"}


def test_a_file_has_the_ordinary_rights(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(umask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert os.listdir(tmp_path) == []


def test_a_folder_appears_whole_with_its_manifest(tmp_path: Path) -> None:
    target = tmp_path / "students" / "fast"
    with whole_folder(target) as folder:
        (folder / "unet").mkdir()
        (folder / "unet" / "weights").write_bytes(b"1234")
        assert not target.exists()
    assert find_fault(target) is None
    assert json.loads((target / "manifest.json").read_text())["files"]["unet/weights"]["bytes"] == 4
    assert os.listdir(target.parent) == ["fast"]


def test_a_folder_in_the_way_is_set_aside_whole(tmp_path: Path) -> None:
    target = tmp_path / "fast"
    for text in ("first", "second", "third"):
        with whole_folder(target) as folder:
            (folder / "words").write_text(text)
    assert [(tmp_path / name / "words").read_text() for name in ("fast.aside-1", "fast.aside-2", "fast")] == [
        "first",
        "second",
        "third",
    ]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast" / "mine").write_text("old")
    with pytest.raises(OSError, match="full"), whole_folder(tmp_path / "fast") as folder:
        fail_halfway(folder / "weights")
    assert os.listdir(tmp_path) == ["fast"]
    assert (tmp_path / "fast" / "mine").read_text() == "old"


def test_a_link_in_the_way_of_a_folder_is_set_aside_as_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "mine").write_text("old")
    (tmp_path / "fast").symlink_to(tmp_path / "precious")
    assert set_aside(tmp_path / "fast") == tmp_path / "fast.aside-1"
    assert (tmp_path / "fast.aside-1").is_symlink()
    assert (tmp_path / "precious" / "mine").read_text() == "old"


def test_setting_aside_nothing_or_an_empty_folder_leaves_nothing(tmp_path: Path) -> None:
    assert set_aside(tmp_path / "missing") is None
    (tmp_path / "empty").mkdir()
    assert set_aside(tmp_path / "empty") is None
    assert os.listdir(tmp_path) == []


def test_links_are_not_written_as_part_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(FolderFault, match="link: is a link; files are written as they are"):
        sync_tree(tmp_path)


def test_only_leftovers_of_this_module_are_cleared(tmp_path: Path) -> None:
    leftovers = [".fada-0123456789abcdef.partial", ".fada-0123456789abcdef.partial.mp4"]
    kept = [".partial-fast", ".fada-mine.partial", "fada-0123456789abcdef.partial", "a.tmp", "a.partial"]
    for name in (leftovers[0], *kept):
        (tmp_path / name).mkdir()
    (tmp_path / leftovers[1]).write_text("half")
    clear_leftovers(tmp_path)
    clear_leftovers(tmp_path / "missing")
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def made(folder: Path) -> Path:
    with whole_folder(folder) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "weights").write_text("1 2 3")
    return folder


def test_a_folder_that_its_manifest_lists_whole_is_removed(tmp_path: Path) -> None:
    assert remove_listed(made(tmp_path / "step"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("more", ["file", "link", "no manifest"])
def test_a_folder_with_anything_else_in_it_stays(tmp_path: Path, more: str) -> None:
    folder = made(tmp_path / "step")
    if more == "file":
        (folder / "sub" / "thoughts.txt").write_text("mine")
    elif more == "link":
        (folder / "sub" / "elsewhere").symlink_to(tmp_path)
    else:
        (folder / "manifest.json").write_text("[]")
    assert not remove_listed(folder)
    assert (folder / "sub" / "weights").read_text() == "1 2 3"
