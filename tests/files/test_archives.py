"""Archives from outside: only wanted files of the right size come out, and nothing lands on the disk."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from fada.files import archives
from fada.files.archives import ArchiveFault, members


def tar(path: Path, *entries: tuple[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as opened:  # type: ignore[call-overload]
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return path


def zipped(path: Path, *entries: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in entries:
            opened.writestr(name, content)
    return path


@pytest.mark.parametrize("kind", ["gzip", "plain", "zip"])
def test_files_come_by_name_and_size_from_any_folder(tmp_path: Path, kind: str) -> None:
    entries = [("package/models/a.bin", b"1234"), ("other/a.bin", b"12345"), ("b.bin", b"12"), ("c.bin", b"1234")]
    if kind == "zip":
        archive = zipped(tmp_path / "p.whl", *entries)
    else:
        archive = tar(tmp_path / "p.tgz", *entries, mode="w:gz" if kind == "gzip" else "w")
    assert list(members(archive, {"a.bin": 4, "b.bin": 2})) == [("a.bin", b"1234"), ("b.bin", b"12")]


@pytest.mark.parametrize("make", [tar, zipped])
def test_names_that_lead_out_lead_nowhere(tmp_path: Path, make) -> None:
    inner = tmp_path / "deep" / "er"
    inner.mkdir(parents=True)
    archive = make(inner / "p", ("../../a.bin", b"1234"), ("/a.bin", b"5678"))
    assert list(members(archive, {"a.bin": 4})) == [("a.bin", b"1234"), ("a.bin", b"5678")]
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["deep", "deep/er", "deep/er/p"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_are_not_read(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "p.tgz", "w:gz") as opened:
        info = tarfile.TarInfo("a.bin")
        info.type, info.linkname = kind, "/etc/hostname"
        opened.addfile(info)
    assert list(members(tmp_path / "p.tgz", {"a.bin": 0})) == []


def test_an_archive_that_unpacks_to_too_much_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tar(tmp_path / "p.tgz", ("zeros", bytes(3_000_000)), ("a.bin", b"1234"))
    assert archive.stat().st_size < 10_000
    assert list(members(archive, {"a.bin": 4}))
    monkeypatch.setattr(archives, "MOST_BYTES", 2**20)
    with pytest.raises(ArchiveFault, match=r"p\.tgz: over 1 MiB unpacked"):
        list(members(archive, {"a.bin": 4}))


@pytest.mark.parametrize("make", [tar, zipped])
def test_an_archive_of_too_many_files_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make) -> None:
    archive = make(tmp_path / "p", *((f"{number}", b"") for number in range(4)))
    assert list(members(archive, {"a.bin": 4})) == []
    monkeypatch.setattr(archives, "MOST_MEMBERS", 3)
    with pytest.raises(ArchiveFault, match="over 3 files"):
        list(members(archive, {"a.bin": 4}))


def test_a_file_that_is_larger_than_it_says_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "p.whl", ("a.bin", b"x" * 1000))
    content = archive.read_bytes().replace((1000).to_bytes(4, "little"), (4).to_bytes(4, "little"))
    archive.write_bytes(content)
    with pytest.raises(ArchiveFault):
        list(members(archive, {"a.bin": 4}))


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x1f\x8bnothing", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_archive_is_said_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.tgz").write_bytes(content)
    with pytest.raises(ArchiveFault, match=r"p\.tgz: is no zip or tar archive that can be read"):
        list(members(tmp_path / "p.tgz", {"a.bin": 4}))


@pytest.mark.parametrize("make", [tar, zipped])
def test_a_cut_archive_is_damaged(tmp_path: Path, make) -> None:
    archive = make(tmp_path / "p", ("a.bin", os.urandom(5000)), ("b.bin", b"12"))
    archive.write_bytes(archive.read_bytes()[:3000])
    with pytest.raises(ArchiveFault, match="fetch it again"):
        list(members(archive, {"a.bin": 5000, "b.bin": 2}))


def test_a_missing_archive_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.tgz: no such file"):
        list(members(tmp_path / "none.tgz", {}))
