"""Checkpoints: whole or not loaded, and never at the cost of an older one."""

import json
import logging
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from fada.engine import checkpoints as module_under_test
from fada.engine.checkpoints import (
    MANIFEST,
    CheckpointError,
    CheckpointMismatch,
    Checkpoints,
    find_fault,
    load_state,
    read_checkpoint,
)
from fada.engine.optimizer import AveragingAdamW
from fada.engine.parallel import ParallelSettings, new_accelerator
from fada.engine.trained_state import TrainedState

Trained = tuple[Accelerator, TrainedState]


def new_state(seed: int = 0, outputs: int = 2) -> TrainedState:
    """A small net after one step, so that all of its state is there."""
    torch.manual_seed(seed)
    module = torch.nn.Sequential(torch.nn.Linear(3, outputs), torch.nn.Linear(outputs, 1))
    optimizer = AveragingAdamW(module.parameters(), 0.1, 0.01, 0.9)
    module(torch.randn(4, 3)).square().sum().backward()
    optimizer.step()
    return TrainedState(module, optimizer)


@pytest.fixture
def trained() -> Trained:
    return new_accelerator(ParallelSettings(), 1), new_state()


def saved(folder: Path, trained: Trained, steps: list[int], **options: int) -> Checkpoints:
    checkpoints = Checkpoints(folder, options.pop("keep_last", 2), **options)
    for step in steps:
        checkpoints.save(trained[0], step, trained[1])
    return checkpoints


def everything(state: TrainedState) -> dict[tuple[str, str], torch.Tensor]:
    return {(name, key): state.read(name, key).clone() for name in state.parameters for key in state.keys}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("bytes_per_file", [1, 10**9])
def test_everything_comes_back_from_one_file_or_many(tmp_path, trained, monkeypatch, bytes_per_file: int) -> None:
    monkeypatch.setattr(module_under_test, "BYTES_PER_FILE", bytes_per_file)
    saved(tmp_path, trained, [7])
    assert len(list(tmp_path.glob("*/state-*"))) == (4 if bytes_per_file == 1 else 1)
    other = new_state(seed=1)
    load_state(tmp_path / "step-00000007", other, other.keys)
    before, after = everything(trained[1]), everything(other)
    assert all(torch.equal(before[entry], after[entry]) for entry in before)


def test_a_checkpoint_is_read_without_the_model(tmp_path, trained) -> None:
    saved(tmp_path, trained, [7])
    found = {(name, key): value for name, key, value in read_checkpoint(tmp_path / "step-00000007")}
    expected = everything(trained[1])
    assert found.keys() == expected.keys()
    assert torch.equal(found["0.weight", "average"], expected["0.weight", "average"])


def test_a_checkpoint_of_another_model_is_refused(tmp_path, trained) -> None:
    saved(tmp_path, trained, [7])
    less = TrainedState(torch.nn.Sequential(torch.nn.Linear(3, 2)), trained[1].optimizer)
    with pytest.raises(CheckpointMismatch, match=r"holds 1\.\w+, which this phase does not train"):
        load_state(tmp_path / "step-00000007", less, ("weight",))


def test_a_checkpoint_of_another_kind_of_run_is_refused(tmp_path, trained) -> None:
    Checkpoints(tmp_path, 2, facts={"samples_per_step": 8}).save(trained[0], 1, trained[1])
    with pytest.raises(CheckpointMismatch, match="samples_per_step was 8, is 4"):
        Checkpoints(tmp_path, 2, facts={"samples_per_step": 4}).find(trained[0])


def test_the_newest_and_every_nth_are_kept(tmp_path, trained) -> None:
    saved(tmp_path, trained, [1, 2, 3, 4, 5, 6, 7], keep_last=2, keep_every=3)
    assert names(tmp_path) == ["step-00000003", "step-00000006", "step-00000007"]


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "no manifest", "bad manifest"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_loaded(tmp_path, trained, caplog, damage: str) -> None:
    checkpoints = saved(tmp_path, trained, [1, 2])
    newest = tmp_path / "step-00000002"
    weights = newest / "state-00000.safetensors"
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
        assert checkpoints.find(trained[0]) == tmp_path / "step-00000001"
    assert "step-00000002" in caplog.text
    assert "not loaded" in caplog.text


def test_an_unfinished_one_is_named_not_loaded_and_swept_away_later(tmp_path, trained, caplog) -> None:
    checkpoints = saved(tmp_path, trained, [1])
    (tmp_path / ".partial-00000002").mkdir()
    with caplog.at_level(logging.WARNING):
        assert checkpoints.find(trained[0]) == tmp_path / "step-00000001"
    assert ".partial-00000002" in caplog.text
    checkpoints.save(trained[0], 3, trained[1])
    assert names(tmp_path) == ["step-00000001", "step-00000003"]


def test_a_full_disk_leaves_the_last_good_one(tmp_path, trained, monkeypatch) -> None:
    checkpoints = saved(tmp_path, trained, [1])

    def refuse(held: object, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module_under_test, "save_file", refuse)
    with pytest.raises(CheckpointError, match=r"No space left.*goes on from step-00000001"):
        checkpoints.save(trained[0], 2, trained[1])
    assert names(tmp_path) == ["step-00000001"]
    assert find_fault(tmp_path / "step-00000001") is None


def test_the_manifest_lists_every_file(tmp_path, trained) -> None:
    saved(tmp_path, trained, [4])
    folder = tmp_path / "step-00000004"
    manifest = json.loads((folder / MANIFEST).read_text())
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == found - {MANIFEST}
    assert manifest["step"] == 4
