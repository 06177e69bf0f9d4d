import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from fada.data.sampling.dataset import BatchShape, ClipSampler, LatentClip
from fada.student.copies import student_of
from fada.student.distillation import DistillObjective
from fada.student.mixed_loss import MixedLossConfig
from fada.student.solved_windows import DistillSettings
from fada.student.target_cache import CacheMismatch, TargetCache
from fada.teacher.dual_unet.model import DualUNet


def cache(folder: Path, count: int = 130, **made_with: object) -> TargetCache:
    return TargetCache(folder, count, windows=4, seed=0, made_with={"teacher": "abc", **made_with})


def numbered(numbers: Sequence[int]) -> torch.Tensor:
    """Window ends that say which number they are of."""
    return torch.tensor(numbers, dtype=torch.float32).reshape(-1, 1, 1, 1, 1).expand(-1, 2, 1, 1, 1)


def test_every_number_comes_once_per_epoch_and_windows_take_turns(tmp_path: Path) -> None:
    made = cache(tmp_path)
    assert made.count == 132
    first, second = ([made.number(epoch * 132 + place) for place in range(132)] for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(132))
    assert first != second
    assert [number % 4 for number in first] == [0, 1, 2, 3] * 33


def test_what_is_read_is_what_was_solved(tmp_path: Path) -> None:
    made = cache(tmp_path)
    made.fill(numbered, batch=5)
    assert made.missing() == []
    assert made.read([0, 131, 64, 63]).flatten(1)[:, 0].tolist() == [0, 131, 64, 63]


def test_processes_share_the_work_and_a_broken_fill_goes_on(tmp_path: Path) -> None:
    solved: list[int] = []

    def remember(numbers: Sequence[int]) -> torch.Tensor:
        solved.extend(numbers)
        return numbered(numbers)

    cache(tmp_path).fill(remember, batch=16, rank=1, world=2)
    assert sorted(solved) == list(range(64, 128))
    assert cache(tmp_path).missing() == [0, 2]
    path = tmp_path / "ends-000001.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    assert cache(tmp_path).missing() == [0, 1, 2]
    solved.clear()
    cache(tmp_path).fill(remember, batch=16)
    assert sorted(solved) == list(range(132))


def test_a_cache_of_another_teacher_is_refused(tmp_path: Path) -> None:
    cache(tmp_path, solver="ddim").fill(numbered, batch=64)
    cache(tmp_path, solver="ddim")
    with pytest.raises(CacheMismatch, match=r"solver was 'ddim', is 'dpmpp_2m'.*delete this folder"):
        cache(tmp_path, solver="dpmpp_2m")
    with pytest.raises(CacheMismatch, match="count was 132, is 64"):
        cache(tmp_path, count=64, solver="ddim")
    assert json.loads((tmp_path / "index.json").read_text())["teacher"] == "abc"


@pytest.mark.parametrize("damage", ["empty", "flip", "another size"])
def test_a_damaged_file_is_named_once_and_solved_anew(tmp_path: Path, caplog, damage: str) -> None:
    cache(tmp_path).fill(numbered, batch=64)
    path = tmp_path / "ends-000001.safetensors"
    content = path.read_bytes()
    path.write_bytes(b"" if damage == "empty" else content[:-1] + bytes([content[-1] ^ 1]))
    if damage == "another size":
        path.write_bytes((tmp_path / "ends-000002.safetensors").read_bytes())
    again = cache(tmp_path)
    assert again.missing() == again.missing() == [1]
    assert caplog.text.count("ends-000001.safetensors: ") == (0 if damage == "another size" else 1)
    again.fill(numbered, batch=64)
    assert again.missing() == []
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"{"])
def test_a_cache_whose_index_cannot_be_read_is_put_aside(tmp_path: Path, caplog, content: bytes) -> None:
    folder = tmp_path / "targets"
    cache(folder).fill(numbered, batch=64)
    (folder / "index.json").write_bytes(content)
    assert cache(folder).missing() == [0, 1, 2]
    assert "index.json: cannot be read; its targets are solved anew, these now lie in " in caplog.text
    assert (tmp_path / "targets.aside-1" / "ends-000000.safetensors").is_file()


@pytest.fixture
def made(teacher: DualUNet, tmp_path: Path) -> DistillObjective:
    """A distillation from a full cache of 16 windows."""
    generator = torch.Generator().manual_seed(3)
    clips = [
        LatentClip(f"{i}", "A", *(torch.randn(9, *shape, generator=generator) for shape in ((4, 8, 8), (1, 12))))
        for i in range(4)
    ]
    settings = DistillSettings(
        guidance="distill",
        windows=4,
        times="uniform",
        solver="ddim",
        solver_steps=1,
        scales=((1.0, 2.0), (1.0, 3.0)),
        motion_drop=0.3,
        loss=MixedLossConfig(),
        gt_guidance="neutral",
        seed=0,
    )
    sampler = ClipSampler(clips, frames=3, motion_frames=2, context=2)
    student = student_of(teacher, "tokens", 2).double()
    objective = DistillObjective(
        teacher, student, sampler, settings, BatchShape(4), cache=TargetCache(tmp_path, 16, 4, 0, {})
    )
    objective.solved.cache.fill(lambda numbers: objective.solved.window_ends(numbers, torch.device("cpu")), batch=3)
    return objective


def test_cached_ends_are_the_teachers(made: DistillObjective) -> None:
    again = made.solved.window_ends([9, 2], torch.device("cpu"))
    torch.testing.assert_close(made.solved.cache.read([9, 2]), again.float(), atol=2e-3, rtol=2e-3)


def test_times_are_new_in_every_epoch_within_the_same_window(made: DistillObjective) -> None:
    seen: dict[int, set[float]] = {}
    for step in range(8):
        numbers = [made.solved.cache.number(step * 4 + sample) for sample in range(4)]
        draws = made.solved.redraw_times(made.solved.cached_inputs(numbers, torch.device("cpu"))[1], step, 0)
        assert torch.equal(made.solved.windows.look_up(draws.t)[0], draws.t_start)
        assert draws.t_start.tolist() == [(number % 4 + 1) / 4 for number in numbers]
        for number, t in zip(numbers, draws.t.tolist(), strict=True):
            seen.setdefault(number, set()).add(t)
    assert all(len(times) == 2 for times in seen.values())


def test_the_teacher_is_let_go_and_not_missed(made: DistillObjective) -> None:
    made.solved.let_teacher_go()
    loss = made.loss(made.module, step=3, micro=0)
    loss.total.backward()
    assert torch.isfinite(loss.total)
    assert len(loss.keys) == 4


def test_the_teacher_stays_while_window_ends_are_missing(made: DistillObjective, tmp_path: Path) -> None:
    (tmp_path / "ends-000000.safetensors").unlink()
    with pytest.raises(ValueError, match="the teacher is needed"):
        made.solved.let_teacher_go()
