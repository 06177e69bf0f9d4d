"""Files of weights from others: tensors and nothing else, and nothing that leads elsewhere."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fada.pretrained.errors import ModelFolderError
from fada.pretrained.weights import NotOnlyTensors, read_pickle, read_safetensors


class Marks:
    """A pickle of it makes a folder when it is read."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("is_in_memory", [False, True])
@pytest.mark.parametrize("is_torch_s", [False, True])
def test_a_pickle_runs_nothing(tmp_path: Path, is_in_memory: bool, is_torch_s: bool) -> None:
    file, mark = tmp_path / "weights.pth", tmp_path / "ran"
    made = io.BytesIO()
    if is_torch_s:
        torch.save({"weight": Marks(mark)}, made)
    else:
        made.write(pickle.dumps(Marks(mark), protocol=2))
    if not is_in_memory:
        file.write_bytes(made.getvalue())
    with pytest.raises(NotOnlyTensors, match=r"weights\.pth: holds more than tensors"):
        read_pickle(file, made.getvalue() if is_in_memory else None)
    assert not mark.exists()


@pytest.mark.parametrize("is_in_memory", [False, True])
def test_tensors_of_a_pickle_are_read(tmp_path: Path, is_in_memory: bool) -> None:
    file, made = tmp_path / "weights.pth", io.BytesIO()
    torch.save({"weight": torch.arange(3.0)}, made)
    file.write_bytes(made.getvalue())
    assert read_pickle(file, made.getvalue() if is_in_memory else None)["weight"].tolist() == [0.0, 1.0, 2.0]


def test_weights_behind_a_link_are_not_read(tmp_path: Path) -> None:
    save_file({"weight": torch.arange(3.0)}, tmp_path / "real.safetensors")
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "real.safetensors")
    assert read_safetensors(tmp_path / "real.safetensors")["weight"].tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(ModelFolderError, match=r"link\.safetensors: is a link"):
        read_safetensors(tmp_path / "link.safetensors")
