"""Checkpoints: whole or not loaded, and never at the cost of an older one."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator

from fada.engine import checkpoint_state, checkpoints
from fada.engine.checkpoint_state import CheckpointMismatch, load_state, read_checkpoint
from fada.engine.checkpoints import CheckpointError, Checkpoints, checkpoint_fault
from fada.engine.optimizer import AveragingAdamW
from fada.engine.parallel import ParallelSettings, new_accelerator
from fada.engine.trained_state import TrainedState
from fada.files.manifest import MANIFEST

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
    return new_accelerator(ParallelSettings(precision="fp32"), 1), new_state()


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
    monkeypatch.setattr(checkpoint_state, "BYTES_PER_FILE", bytes_per_file)
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


def damaged(folder: Path, damage: str) -> Path:
    """The checkpoint, with one thing wrong."""
    weights, manifest = folder / "state-00000.safetensors", folder / MANIFEST
    content, said = weights.read_bytes(), json.loads(manifest.read_text())
    if damage == "flip":
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "cut":
        weights.write_bytes(content[:-5])
    elif damage == "empty":
        weights.write_bytes(b"")
    elif damage == "remove":
        weights.unlink()
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "not UTF-8":
        manifest.write_bytes(b"\xff\xfe{}")
    elif damage == "another step":
        manifest.write_text(json.dumps({**said, "step": 7}))
    elif damage == "no facts":
        manifest.write_text(json.dumps({"step": 2, "files": said["files"]}))
    else:
        manifest.write_text(damage)
    return folder


DAMAGES = ["flip", "cut", "empty", "remove", "no manifest", "not UTF-8", "another step", "no facts", "{", "[]", "3",
           '{"step": 2, "files": []}', '{"step": 2, "files": {"state-00000.safetensors": 1}}']  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_loaded(tmp_path, trained, caplog, damage: str) -> None:
    saved(tmp_path, trained, [1, 2])
    damaged(tmp_path / "step-00000002", damage)
    checkpoints = Checkpoints(tmp_path, 2)
    with caplog.at_level(logging.WARNING):
        assert checkpoints.latest() == tmp_path / "step-00000001"
        assert names(tmp_path) == ["step-00000001", "step-00000002"]
        assert checkpoints.find(trained[0]) == tmp_path / "step-00000001"
    assert "step-00000002" in caplog.text
    assert "not loaded" in caplog.text
    assert names(tmp_path) == ["step-00000001", "step-00000002.aside-1"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_whose_newest_checkpoint_is_damaged_keeps_those_that_it_writes(tmp_path, trained, damage: str) -> None:
    saved(tmp_path, trained, [10, 20])
    damaged(tmp_path / "step-00000020", damage)
    # Nobody has looked for it: as where a step before the damaged one is written.
    saved(tmp_path, trained, [12], keep_last=1)
    assert checkpoint_fault(tmp_path / "step-00000012") is None
    assert "step-00000010" not in names(tmp_path)
    again = Checkpoints(tmp_path, 1)
    assert again.find(trained[0]) == tmp_path / "step-00000012"
    again.save(trained[0], 20, trained[1])
    assert names(tmp_path) == ["step-00000020", "step-00000020.aside-1"]


def test_a_damaged_one_among_the_last_does_not_count(tmp_path, trained, caplog) -> None:
    saved(tmp_path, trained, [1, 2])
    damaged(tmp_path / "step-00000002", "cut")
    saved(tmp_path, trained, [3], keep_last=2)
    assert names(tmp_path) == ["step-00000001", "step-00000002.aside-1", "step-00000003"]
    assert "it now lies in" in caplog.text


def test_only_what_a_manifest_of_ours_lists_is_removed(tmp_path, trained, caplog) -> None:
    saved(tmp_path, trained, [1])
    (tmp_path / "step-00000001" / "thoughts.txt").write_text("mine")
    (tmp_path / "step-notes").mkdir()
    (tmp_path / "step-00000002").symlink_to(tmp_path / "step-notes")
    (tmp_path / "step-00000000").mkdir()
    (tmp_path / "step-00000000" / "thesis.tex").write_text("mine")
    saved(tmp_path, trained, [5], keep_last=1)
    assert (tmp_path / "step-00000001" / "thoughts.txt").read_text() == "mine"
    assert (tmp_path / "step-00000000" / "thesis.tex").read_text() == "mine"
    assert (tmp_path / "step-00000002").is_symlink()
    assert "step-00000001: holds more than its manifest lists, or less; it is not removed" in caplog.text


def test_an_unfinished_one_is_swept_away_and_what_only_looks_so_stays(tmp_path, trained) -> None:
    checkpoints = saved(tmp_path, trained, [1])
    (tmp_path / f".fada-{'0' * 16}.partial").mkdir()
    (tmp_path / ".partial-mine").mkdir()
    assert checkpoints.find(trained[0]) == tmp_path / "step-00000001"
    assert names(tmp_path) == [".partial-mine", "step-00000001"]


def test_a_full_disk_leaves_the_last_good_one(tmp_path, trained, monkeypatch) -> None:
    checkpoints = saved(tmp_path, trained, [1])

    def refuse(held: object, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_state, "save_file", refuse)
    with pytest.raises(CheckpointError, match=r"No space left.*goes on from step-00000001"):
        checkpoints.save(trained[0], 2, trained[1])
    assert names(tmp_path) == ["step-00000001"]
    assert checkpoint_fault(tmp_path / "step-00000001") is None


def test_the_manifest_lists_every_file(tmp_path, trained) -> None:
    saved(tmp_path, trained, [4])
    folder = tmp_path / "step-00000004"
    manifest = json.loads((folder / MANIFEST).read_text())
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == found - {MANIFEST}
    assert manifest["step"] == 4


def test_a_folder_that_cannot_be_made_is_said_in_every_process(tmp_path, trained, monkeypatch) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(
        CheckpointError, match=r"step-00000001: the checkpoint could not be written \(.*start of this ph"
    ):
        Checkpoints(tmp_path / "checkpoints", 2).save(trained[0], 1, trained[1])
    # What another process is told then: nothing.
    monkeypatch.setattr(checkpoints, "broadcast_object_list", lambda told: None)
    another = SimpleNamespace(is_main_process=False)
    with (
        pytest.raises(OSError, match="the main process cannot write there"),
        checkpoints._partial(another, tmp_path / "step-00000001"),
    ):
        pass
