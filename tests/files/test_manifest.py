import hashlib
import json
from pathlib import Path

import pytest

from fada.files.manifest import MANIFEST, find_fault, read_manifest, write_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "weights").write_bytes(b"abcd")
    (tmp_path / "config.json").write_text("{}")
    write_manifest(tmp_path, step=3)
    return tmp_path


def test_a_manifest_states_facts_sizes_and_hashes(folder: Path) -> None:
    content = read_manifest(folder)
    assert content["step"] == 3
    assert content["files"]["net/weights"] == {"bytes": 4, "sha256": hashlib.sha256(b"abcd").hexdigest()}
    assert sorted(content["files"]) == ["config.json", "net/weights"]
    assert find_fault(folder) is None


def test_damage_is_named(folder: Path) -> None:
    (folder / "net" / "weights").write_bytes(b"abce")
    assert "net/weights is damaged" in str(find_fault(folder))
    (folder / "net" / "weights").write_bytes(b"")
    assert find_fault(folder) == "net/weights has 0 bytes, 4 were written"
    (folder / "net" / "weights").unlink()
    assert find_fault(folder) == "net/weights is missing"
    (folder / MANIFEST).unlink()
    assert find_fault(folder) == "incomplete, it has no manifest.json"


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"null", b"3", b"\xff\xfe{}", b"{", b'{"files": []}', b'{"files": {"a": 1}}', b"[" * 100_000),
        b'{"files": {"a": {"bytes": "4", "sha256": "x"}}}',
    ],
)
def test_whatever_stands_in_a_manifest_is_a_fault_not_a_crash(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    assert "manifest.json cannot be read" in str(find_fault(folder))


@pytest.mark.parametrize("name", ["/etc/hostname", "../outside", "net/../../outside", ""])
def test_a_manifest_does_not_lead_out_of_its_folder(folder: Path, name: str) -> None:
    (folder / MANIFEST).write_text(json.dumps({"files": {name: {"bytes": 0, "sha256": ""}}}))
    assert "is not in the folder" in str(find_fault(folder))


def test_a_link_is_no_file_of_a_manifest(folder: Path) -> None:
    (folder / "config.json").rename(folder / "elsewhere")
    (folder / "config.json").symlink_to(folder / "elsewhere")
    assert find_fault(folder) == "config.json is missing"
