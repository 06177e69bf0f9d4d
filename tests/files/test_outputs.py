import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fada.files.errors import FolderBusy, FolderFault
from fada.files.folders import MARK
from fada.files.outputs import check_output_folder, check_report, output_folder


def test_a_new_folder_is_marked_and_held(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    code = "import sys; from pathlib import Path; from fada.files.outputs import output_folder as o\n"
    code += "with o(Path(sys.argv[1]), 'clips', 'preparing'): pass"
    with output_folder(out, "clips", "preparing"):
        assert json.loads((out / MARK).read_text()) == {"kind": "clips"}
        other = subprocess.run([sys.executable, "-c", code, str(out)], capture_output=True, text=True, check=False)
        assert FolderBusy.__name__ in other.stderr
        assert f"is in use (process {os.getpid()} on " in other.stderr
    with output_folder(out, "clips", "preparing"):
        pass


def test_what_fada_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").write_text("mine")
    with (
        pytest.raises(FolderFault, match=r"holds files that fada did not make \(holiday.mp4\)"),
        output_folder(tmp_path, "clips", "preparing"),
    ):
        pass
    assert os.listdir(tmp_path) == ["holiday.mp4"]


def test_an_earlier_versions_folder_is_known_by_its_files(tmp_path: Path) -> None:
    (tmp_path / "world.json").write_text("{}")
    with output_folder(tmp_path, "world", "drawing", was_ours=lambda folder: (folder / "world.json").is_file()):
        pass
    with pytest.raises(FolderFault, match="holds world of an earlier command, not clips"):
        check_output_folder(tmp_path, "clips", was_ours=lambda folder: True)


def test_leftovers_of_a_killed_command_go(tmp_path: Path) -> None:
    with output_folder(tmp_path / "a", "clips", "preparing"):
        (tmp_path / "a" / f".fada-{'0' * 16}.partial.mp4").write_text("half")
    with output_folder(tmp_path / "a", "clips", "preparing"):
        assert not [name for name in os.listdir(tmp_path / "a") if "partial" in name]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("videos", "is the input"),
        ("videos/", "is the input"),
        ("link", "is the input"),
        ("x/../videos", "is the input"),
        (".", "holds the input .*not around it"),
        ("videos/clips", "lies in the input .*all of which is read; give a folder beside it"),
        ("link/clips", "lies in the input"),
    ],
)
def test_an_output_is_apart_from_its_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("videos", "x"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("videos")
    with pytest.raises(FolderFault, match=message):
        check_output_folder(Path(out), "clips", inputs=[Path("videos")])
    assert sorted(os.listdir(tmp_path)) == ["link", "videos", "x"]


def test_a_folder_beside_its_inputs_is_fine(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_text("")
    check_output_folder(tmp_path / "videos2", "clips", inputs=[tmp_path / "videos", tmp_path / "videos" / "a.mp4"])


def test_a_report_replaces_none_of_the_data_that_it_is_about(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.json", "page.html"):
        (tmp_path / name).write_text("mine")
    for name in ("a.mp4", "a.json"):
        with pytest.raises(FolderFault, match="exists; give another name, or --overwrite"):
            check_report(tmp_path / name, tmp_path)
        with pytest.raises(FolderFault, match=r"is a file of the input .*never overwritten"):
            check_report(tmp_path / name, tmp_path, overwrite=True)
    check_report(tmp_path / "page.html", tmp_path, overwrite=True)
    check_report(tmp_path / "list.json", tmp_path)
