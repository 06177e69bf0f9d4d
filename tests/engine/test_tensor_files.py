"""Files of tensors: what comes back is what was written, and anything else is refused by name."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fada.engine.tensor_files import DamagedFile, hash_tensors, header_fault, load_tensors, save_tensors

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(3, dtype=torch.bfloat16), "none": torch.zeros(0, 2)}


def test_what_is_loaded_is_what_was_saved_and_nothing_else_lies_there(tmp_path: Path) -> None:
    save_tensors(TENSORS, tmp_path / "stages" / "1.safetensors")
    found = load_tensors(tmp_path / "stages" / "1.safetensors")
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], value) for name, value in TENSORS.items())
    assert [path.name for path in (tmp_path / "stages").iterdir()] == ["1.safetensors"]


def test_the_hash_is_over_names_types_shapes_and_values() -> None:
    content = b"b\0torch.float32\0(2,)\0" + bytes.fromhex("0000803f00000040")
    assert hash_tensors({"b": torch.tensor([1.0, 2.0])}) == hashlib.sha256(content).hexdigest()
    hashes = {
        hash_tensors(TENSORS),
        hash_tensors({**TENSORS, "b": TENSORS["b"].reshape(3, 2)}),
        hash_tensors({**TENSORS, "c": torch.zeros(0)}),
        hash_tensors({**TENSORS, "a": torch.ones(3, dtype=torch.float16)}),
    }
    assert len(hashes) == 4


@pytest.mark.parametrize(
    ("damage", "said"),
    [("empty", "cannot be read"), ("cut", "cannot be read"), ("flip", "is damaged"), ("gone", "cannot be read")],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, damage: str, said: str) -> None:
    path = tmp_path / "1.safetensors"
    save_tensors(TENSORS, path)
    content = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": content[:-3], "flip": content[:-1] + b"\x01", "gone": b""}[damage])
    if damage == "gone":
        path.unlink()
    with pytest.raises(DamagedFile, match=rf"1\.safetensors: {said}"):
        load_tensors(path)
    assert (header_fault(path) is None) == (damage == "flip")


def test_a_file_without_a_hash_is_taken_as_it_is(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, str(tmp_path / "old.safetensors"))
    assert torch.equal(load_tensors(tmp_path / "old.safetensors")["a"], torch.ones(2))
