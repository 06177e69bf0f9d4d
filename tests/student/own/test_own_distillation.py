"""A model of your own, distilled: targets and samples in closed form, resuming, folders, and what is refused."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from points_model import Points, offsets
from torch import Tensor

import fada
from fada.engine.checkpoint_state import CheckpointMismatch
from fada.files.errors import FolderFault
from fada.student.own.model import NotADenoiser
from fada.teacher.denoiser import Sites

SHAPES = [(5,), (3, 4), (2, 3, 3), (2, 1, 2, 2)]
QUICK: dict[str, Any] = {"steps": 4, "batch": 6, "lr": 1e-2, "log_every": 1, "checkpoint_every": 2, "progress": False}


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "work" / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["balanced", "fast"])
def test_a_model_whose_windows_are_straight_has_nothing_to_learn_whatever_its_latents_rank(
    shape: tuple[int, ...], kind: Any, tmp_path: Path
) -> None:
    model = Points(Sites((8,), 4, 2, 8))
    # Adam would make steps of rounding.
    given = {**QUICK, "lr": 0.0, "scales": {"style": 1.0, "text": 1.0}}
    fada.distill(model, offsets(*shape), folder=tmp_path, kind=kind, data_weight=0.0, **given)
    assert max(line["loss"] for line in lines(tmp_path)) < 1e-6


def test_the_data_are_learned_as_far_as_they_are_weighed(tmp_path: Path) -> None:
    # Of the data's chord the student's answer is off by (3 - point of the branch) / t, and nothing else.
    model = Points()
    with torch.no_grad():
        model.points.fill_(3.0)
    fada.distill(model, offsets(2, 3), folder=tmp_path, **QUICK)
    first = lines(tmp_path)[0]
    # Branch 0 is not told the offset: where it is drawn its own windows are straight, the data's are not.
    assert first["loss_distill"] < 1e-8
    assert first["loss_ground_truth"] > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_samples_of_a_balanced_student_are_the_guided_points(shape: tuple[int, ...]) -> None:
    model = Points()
    student = fada.distill(model, offsets(*shape), data_weight=0.0, **{**QUICK, "steps": 1, "lr": 0.0})
    offset, noise = torch.randn(2, *shape), torch.randn(2, *shape)
    for scales in ({"style": 2.0, "text": 3.0}, {"text": 0.5}, {}):
        made = student.sample(noise, {"offset": offset}, scales=scales)
        # Nought plus each scale times what its branch adds: 2 + offset, and 1. Left out: the middle of the range, 4.5.
        first, second = scales.get("style", 4.5), scales.get("text", 4.5)
        torch.testing.assert_close(made, first * (2.0 + offset) + second, rtol=1e-4, atol=1e-4)
    # Undistilled, what is left out is not guided; names may come in any order.
    for scales, first, second in (({"text": 3.0}, 1.0, 3.0), ({"text": 3.0, "style": 2.0}, 2.0, 3.0)):
        made = fada.sample(model, noise, {"offset": offset}, steps=3, scales=scales)
        torch.testing.assert_close(made, first * (2.0 + offset) + second, rtol=1e-4, atol=1e-4)
    assert student.evaluations(scales={"style": 2.0, "text": 3.0}) == 6 * 3
    assert student.evaluations(4, {"style": 1.0, "text": 1.0}) == 4


def test_a_fast_student_learns_its_scales_in_one_evaluation() -> None:
    student = fada.distill(
        Points(Sites((8,), 4, 2, 8)), offsets(3), kind="fast", scales={"style": 1.0, "text": (1.0, 3.0)}, **QUICK
    )
    assert student.model.guidance_layers.config.mode == "tokens"
    assert student.sampler.scales == {"style": 1.0, "text": 2.0}
    assert student.evaluations() == 6
    offset, noise = {"offset": torch.randn(2, 3)}, torch.randn(2, 3)
    assert not torch.equal(student.sample(noise, offset), student.sample(noise, offset, scales={"text": 3.0}))


def test_only_the_copy_is_trained_and_the_model_is_left_as_it_was() -> None:
    model = Points().train()
    model.encoder.bias.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    student = fada.distill(model, offsets(3), **QUICK)
    assert model.training
    assert [p.requires_grad for p in model.parameters()] == [True, True, False]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not torch.equal(student.denoiser.points, model.points)
    # What only prepares conditions is frozen.
    assert torch.equal(student.denoiser.encoder.weight, model.encoder.weight)


def test_a_training_that_was_stopped_goes_on_as_an_unbroken_one(tmp_path: Path) -> None:
    model = Points()
    whole = fada.distill(model, offsets(3), folder=tmp_path, **QUICK)
    losses = [line["loss"] for line in lines(tmp_path)]
    shutil.rmtree(tmp_path / "work" / "checkpoints" / "step-00000004")
    again = fada.distill(model, offsets(3), folder=tmp_path, **QUICK)
    assert [line["loss"] for line in lines(tmp_path)] == losses
    assert torch.equal(again.denoiser.points, whole.denoiser.points)


def test_a_folder_of_another_training_is_refused_by_what_differs(tmp_path: Path) -> None:
    fada.distill(Points(), offsets(3), folder=tmp_path / "own", **QUICK)
    with pytest.raises(CheckpointMismatch, match=r"lr was 0\.01, is 0\.02"):
        fada.distill(Points(), offsets(3), folder=tmp_path / "own", **{**QUICK, "lr": 0.02})
    other = Points()
    with torch.no_grad():
        other.points.add_(1.0)
    with pytest.raises(CheckpointMismatch, match="teacher was"):
        fada.distill(other, offsets(3), folder=tmp_path / "own", **QUICK)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "letter.txt").write_text("dear")
    with pytest.raises(FolderFault, match=r"holds files that fada did not make \(letter.txt\)"):
        fada.distill(Points(), offsets(3), folder=tmp_path / "theirs", **QUICK)


def test_a_saved_student_samples_the_same_and_anything_else_is_refused(tmp_path: Path) -> None:
    model = Points(Sites((8,), 4, 2, 8))
    student = fada.distill(model, offsets(3), kind="fast", folder=tmp_path / "run", **QUICK)
    noise, offset = torch.randn(2, 3), {"offset": torch.randn(2, 3)}
    for folder in (tmp_path / "run", student.save(tmp_path / "saved")):
        opened = fada.Student.load(folder, model)
        assert torch.equal(opened.sample(noise, offset), student.sample(noise, offset))
    with pytest.raises(ValueError, match="holds no student"):
        fada.Student.load(tmp_path / "nowhere", model)
    said = json.loads((tmp_path / "saved" / "student.json").read_text())
    for name, value in (("kind", "slow"), ("steps", 10**9), ("windows", -1), ("scales", {"style": float("inf")}),
                        ("tokens", 10**6), ("spacing", "even"), ("unknown", 1)):  # fmt: skip
        spoiled = {**said, "sampler": {**said["sampler"], name: value}}
        (tmp_path / "saved" / "student.json").write_text(json.dumps(spoiled))
        with pytest.raises(ValueError, match="holds no student"):
            fada.Student.load(tmp_path / "saved", model)
    (tmp_path / "saved" / "student.json").write_text(json.dumps({**said, "layout": [["a", [10**9]]]}))
    with pytest.raises(ValueError, match="layout: must be names with sizes"):
        fada.Student.load(tmp_path / "saved", model)
    bigger = Points(Sites((8, 8), 4, 2, 8))
    with pytest.raises(ValueError, match="holds a student of another model"):
        fada.Student.load(tmp_path / "run", bigger)


@pytest.mark.parametrize("value", [None, True, -1, 0.5, "", "x", [], [1], {}, {"x": []}, [["x"]], [["x", 1]], 10**30])
def test_whatever_a_folder_says_it_is_opened_or_refused(value: Any, tmp_path: Path) -> None:
    model = Points()
    fada.distill(model, offsets(3), **{**QUICK, "steps": 1}).save(tmp_path)
    said = json.loads((tmp_path / "student.json").read_text())
    for place in (*said["sampler"], "sampler", "layout", ""):
        spoiled = {**said, "sampler": {**said["sampler"], place: value}} if place in said["sampler"] else value
        spoiled = {**said, place: value} if place in said else spoiled
        (tmp_path / "student.json").write_text(json.dumps(spoiled))
        # No other error, and none that does not say where.
        with suppress(ValueError), _named(tmp_path):
            fada.Student.load(tmp_path, model)


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if str(folder) not in str(error):
            raise AssertionError(f"does not name the folder: {error}") from error
        raise


class SoundAndVideo(Points):
    """Two parts at once: what it is told of the one moves the other."""

    branches = ("none", "style")

    def inputs_of(self, conditions: Any) -> Any:
        return torch.zeros(1)

    def expand(self, conditions: Tensor, clips: Tensor, branches: Tensor) -> Tensor:
        return branches

    def evaluate(self, latents: Any, t: Tensor, conditions: Tensor) -> dict[str, Tensor]:
        assert {name: part.shape[1:] for name, part in latents.items()} == {"sound": (4,), "video": (2, 1, 3, 3)}
        predictions = {}
        for number, (name, part) in enumerate(latents.items()):
            ones = [1] * (part.ndim - 1)
            point = (1.0 + number) * (conditions > 0).to(part).view(-1, *ones)
            predictions[name] = (part - point + 0.0 * self.points[0]) / t.to(part).view(-1, *ones)
        return predictions


def test_parts_of_a_model_that_makes_sound_and_video_share_their_time_and_stay_apart(tmp_path: Path) -> None:
    shapes = {"sound": (4,), "video": (2, 1, 3, 3)}

    def draw(generator: torch.Generator) -> tuple[dict[str, Tensor], None]:
        return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}, None

    model = SoundAndVideo()
    student = fada.distill(model, draw, folder=tmp_path, data_weight=0.0, **QUICK)
    assert max(line["loss"] for line in lines(tmp_path)) < 1e-8
    noise = {name: torch.randn(2, *shape) for name, shape in shapes.items()}
    for found in (
        student.sample(noise, scales={"style": 3.0}),
        fada.Student.load(tmp_path, model).sample(noise, scales={"style": 3.0}),
        fada.sample(model, noise, steps=4, scales={"style": 3.0}),
    ):
        torch.testing.assert_close(found["sound"], torch.full((2, 4), 3.0), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found["video"], torch.full((2, 2, 1, 3, 3), 6.0), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"latents: expected the parts sound \(4,\), video .*got a tensor"):
        student.sample(torch.randn(2, 22))


def test_a_model_without_conditions_is_distilled_as_it_is(tmp_path: Path) -> None:
    model = Points()
    model.branches = ("none",)
    student = fada.distill(model, offsets(3), folder=tmp_path, kind="fast", data_weight=0.0, **{**QUICK, "lr": 0.0})
    assert max(line["loss"] for line in lines(tmp_path)) < 1e-6
    assert student.model.guidance_layers is None
    assert student.evaluations() == 6


def test_models_that_lack_something_are_told_what() -> None:
    with pytest.raises(NotADenoiser, match="Linear: has no inputs_of, prepare, expand, evaluate, branches, path"):
        fada.distill(torch.nn.Linear(1, 1), offsets(3), **QUICK)
    with pytest.raises(NotADenoiser, match=r"no sites\(\) that says where they go"):
        fada.distill(Points(), offsets(3), kind="fast", **QUICK)
    with pytest.raises(NotADenoiser, match="a model must be a torch"):
        fada.sample(object(), torch.randn(1, 3))  # type: ignore[arg-type]
    model = Points()
    model.path = "flow"
    with pytest.raises(NotADenoiser, match=r"path must be a fada\.NoisePath, got str"):
        fada.distill(model, offsets(3), **QUICK)
    model = Points()
    model.branches = ("none", "none")
    with pytest.raises(NotADenoiser, match="branches must be names, unconditional first"):
        fada.distill(model, offsets(3), **QUICK)
    model = Points()
    model.evaluate = lambda latents, t, conditions: latents[:, :1]
    with pytest.raises(ValueError, match=r"latents \(6, 3\) got an answer of shape \(6, 1\)"):
        fada.distill(model, offsets(3), **QUICK)


def test_choices_and_names_that_are_none_are_refused() -> None:
    for given, message in (
        ({"kind": "slow"}, "kind: got 'slow'; choose from balanced, fast"),
        ({"scales": {"audio": 2.0}}, "no guidance scale named 'audio'; choose from style, text"),
        ({"scales": {"text": (3.0, 1.0)}}, "scales: text: must be a number from 0 up"),
        ({"solver": "euler"}, "solver: got 'euler'"),
        ({"windows": 0}, "windows: count must be at least 1"),
        ({"steps": 0}, "steps: must be a whole number from 1 to 1e"),
        ({"batch": 2.5}, "batch: must be a whole number from 1"),
        ({"lr": float("nan")}, "lr: must be a number from 0 to 1000, got nan"),
        ({"ema": 1.5}, "ema: must be a number from 0 to 1, got 1.5"),
        ({"solver_steps": 0}, "solver_steps: must be a whole number from 1 to 1000"),
    ):
        with pytest.raises(ValueError, match=message):
            fada.distill(Points(), offsets(3), **{**QUICK, **given})
    student = fada.distill(Points(), offsets(3), **{**QUICK, "steps": 1})
    with pytest.raises(ValueError, match="this model's latents are one tensor, got sound"):
        student.sample({"sound": torch.randn(1, 3)})
