"""Checkpoints: whole or not loaded, and never at the cost of an older one."""

import json
import logging
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from fada.engine.checkpoints import MANIFEST, CheckpointError, Checkpoints, find_fault
from fada.engine.ema import MovingAverage


@pytest.fixture
def trained() -> tuple[Accelerator, torch.nn.Module]:
    accelerator = Accelerator(cpu=True)
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    module, _ = accelerator.prepare(module, optimizer)
    return accelerator, module


def saved(folder: Path, accelerator: Accelerator, steps: list[int], **options: int) -> Checkpoints:
    checkpoints = Checkpoints(folder, options.pop("keep_last", 2), **options)
    for step in steps:
        checkpoints.save(accelerator, step, None)
    return checkpoints


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_weights_and_average_come_back(tmp_path, trained) -> None:
    accelerator, module = trained
    average = MovingAverage(module, 0.9)
    checkpoints = Checkpoints(tmp_path, 2)
    checkpoints.save(accelerator, 7, average)
    before = module.weight.detach().clone()
    with torch.no_grad():
        module.weight.zero_()
    average.update()
    assert checkpoints.load(accelerator, average) == 7
    assert torch.equal(module.weight, before)
    assert torch.equal(average.averages["weight"], before)
    assert average.updates == 0


def test_the_newest_and_every_nth_are_kept(tmp_path, trained) -> None:
    saved(tmp_path, trained[0], [1, 2, 3, 4, 5, 6, 7], keep_last=2, keep_every=3)
    assert names(tmp_path) == ["step-00000003", "step-00000006", "step-00000007"]


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "no manifest", "bad manifest"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_loaded(tmp_path, trained, caplog, damage: str) -> None:
    checkpoints = saved(tmp_path, trained[0], [1, 2])
    newest = tmp_path / "step-00000002"
    weights = newest / "model.safetensors"
    content = weights.read_bytes()
    if damage == "flip":
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "cut":
        weights.write_bytes(content[:-5])
    elif damage == "remove":
        weights.unlink()
    elif damage == "no manifest":
        (newest / MANIFEST).unlink()
    else:
        (newest / MANIFEST).write_text("{")
    with caplog.at_level(logging.WARNING):
        assert checkpoints.load(trained[0], None) == 1
    assert "step-00000002" in caplog.text
    assert "not loaded" in caplog.text


def test_an_unfinished_one_is_named_not_loaded_and_swept_away_later(tmp_path, trained, caplog) -> None:
    checkpoints = saved(tmp_path, trained[0], [1])
    (tmp_path / ".partial-00000002").mkdir()
    with caplog.at_level(logging.WARNING):
        assert checkpoints.load(trained[0], None) == 1
    assert ".partial-00000002" in caplog.text
    checkpoints.save(trained[0], 3, None)
    assert names(tmp_path) == ["step-00000001", "step-00000003"]


def test_a_full_disk_leaves_the_last_good_one(tmp_path, trained, monkeypatch) -> None:
    checkpoints = saved(tmp_path, trained[0], [1])

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trained[0], "save_state", refuse)
    with pytest.raises(CheckpointError, match=r"No space left.*goes on from step-00000001"):
        checkpoints.save(trained[0], 2, None)
    assert names(tmp_path) == ["step-00000001"]
    assert find_fault(tmp_path / "step-00000001") is None


def test_the_manifest_lists_every_file(tmp_path, trained) -> None:
    saved(tmp_path, trained[0], [4])
    folder = tmp_path / "step-00000004"
    manifest = json.loads((folder / MANIFEST).read_text())
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == found - {MANIFEST}
    assert manifest["step"] == 4
