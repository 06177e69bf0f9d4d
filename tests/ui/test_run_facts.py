"""What a run's folder says of how far it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fada.engine.run_log import RunLog
from fada.files.errors import FolderFault, NameFault
from fada.files.locks import locked
from fada.run import codec as trained
from fada.ui import run_facts
from fada.ui.run_facts import (
    PILLARS,
    POINTS,
    curves_of,
    histograms_of,
    log_of,
    parts_of,
    preview_file,
    previews_of,
    state_of,
)

RECIPE = """
teacher: {stages: [{name: images, steps: 4}, {name: clips, steps: 8}]}
distill: {phases: [{name: fast, steps: 100}, {name: ../out, steps: 3}, 7]}
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    write_log(folder, "teacher-images", [{"step": step, "loss": 1.0, "seconds": 0.5} for step in (2, 4)])
    write_log(folder, "fast", [{"step": step, "loss": 1 / step, "seconds": 0.25} for step in range(1, 41)])
    write_log(folder, "extra", [{"step": 3}])
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


def write_log(run: Path, part: str, lines: list[dict[str, object]]) -> None:
    (run / "work" / part).mkdir(parents=True)
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    # A crash may leave half a line.
    (run / "work" / part / "log.jsonl").write_text(text + '{"step": 99')


def test_parts_follow_the_recipe_with_steps_and_time_left(run: Path) -> None:
    told = [(part.name, part.title, part.steps, part.of, part.seconds_left) for part in parts_of(run)]
    assert told == [
        ("teacher-images", "teacher, images", 4, 4, 0.0),
        ("teacher-clips", "teacher, clips", 0, 8, None),
        ("fast", "fast", 40, 100, 15.0),
        ("extra", "extra", 3, None, None),
    ]


def test_a_codec_that_the_run_trains_is_its_first_part(run: Path) -> None:
    assert trained.CODEC == run_facts.CODEC
    write_log(run, "../codec", [{"step": step, "loss": 2.0, "seconds": 0.5} for step in (1, 2)])
    (run / "codec" / "preview").mkdir()
    (run / "codec" / "preview" / "frames-000002.png").write_bytes(b"")
    (run / "recipe.yaml").write_text(RECIPE.replace("{stages", "{codec: {train: {steps: 10}}, stages"))
    first = parts_of(run)[0]
    assert (first.name, first.title, first.steps, first.of, first.seconds_left) == ("codec", "codec", 2, 10, 4.0)
    assert curves_of(log_of(run, "codec"))["loss"] == [(1, 2.0), (2, 2.0)]
    assert previews_of(run, "codec") == [2]
    assert preview_file(run, "codec", 2) == run / "codec" / "preview" / "frames-000002.png"
    # One that is given is not trained; a phase of that name lies where phases do.
    (run / "recipe.yaml").write_text(
        RECIPE.replace("{stages", "{codec: {train: {steps: 10}}, stages") + "vae: {path: elsewhere}"
    )
    assert parts_of(run)[0].name == "teacher-images"
    write_log(run, "codec", [{"step": 7}])
    assert log_of(run, "codec") == [{"step": 7}]


def test_stages_of_a_given_teacher_are_no_parts_of_the_run(run: Path) -> None:
    (run / "recipe.yaml").write_text(RECIPE.replace("{stages", "{path: elsewhere, stages"))
    assert [part.name for part in parts_of(run)] == ["fast", "extra", "teacher-images"]


def test_curves_hold_what_is_finite_and_thin_what_is_long() -> None:
    lines = [{"step": step, "loss": float(step), "text": "x", "flag": True} for step in range(1, 2 * POINTS + 1)]
    lines += [{"step": 2 * POINTS + 1, "loss": float("nan")}, {"loss": 1.0}]
    curves = curves_of(lines)
    assert list(curves) == ["loss"]
    assert len(curves["loss"]) == POINTS
    assert curves["loss"][0] == (2, 1.5)
    assert curves["loss"][-1] == (2 * POINTS, 2 * POINTS - 0.5)


def test_histograms_are_those_of_the_log(tmp_path: Path) -> None:
    from fada.engine.objective import StepLoss

    log = RunLog(tmp_path / "work" / "fast", "fast")
    for step, values in ((1, [0.1, 0.2, 0.2]), (2, [0.3, 0.5, 0.5, 0.5])):
        loss = StepLoss(torch.tensor(1.0), samples={"weight": torch.tensor(values), "other": torch.tensor(values)})
        log.collect([loss], 1.0, 1.0, 1e-4, 0.1)
        log.flush(step)
    log.close()
    found = histograms_of(tmp_path, "fast")
    assert list(found) == ["weight"]
    assert [event["step"] for event in found["weight"]] == [1, 2]
    for event, (low, high, count) in zip(found["weight"], ((0.1, 0.2, 3), (0.3, 0.5, 4)), strict=True):
        assert len(event["edges"]) == PILLARS + 1 == len(event["counts"]) + 1
        assert event["edges"][0] == pytest.approx(low)
        assert event["edges"][-1] == pytest.approx(high)
        assert event["edges"] == sorted(event["edges"])
        assert sum(event["counts"]) == pytest.approx(count)


def test_pillars_count_what_lies_in_them(tmp_path: Path) -> None:
    """Against numpy's own counts of the same values, but for what lies at borders of the logs' buckets."""
    from fada.engine.objective import StepLoss

    values = torch.linspace(0.0, 1.0, 20_000) ** 0.5
    log = RunLog(tmp_path / "work" / "fast", "fast")
    log.collect([StepLoss(torch.tensor(1.0), samples={"weight": values})], 1.0, 1.0, 1e-4, 0.1)
    log.collect([StepLoss(torch.tensor(1.0), samples={"log10_ratio": torch.full((7,), -2.0)})], 1.0, 1.0, 1e-4, 0.1)
    log.flush(1)
    log.close()
    found = histograms_of(tmp_path, "fast")
    (event,) = found["weight"]
    expected, _ = np.histogram(values.numpy(), PILLARS, (0, 1))
    assert np.cumsum(event["counts"]) == pytest.approx(np.cumsum(expected), abs=0.02 * len(values))
    assert found["log10_ratio"] == [{"step": 1, "edges": [-2.0, -2.0], "counts": [7.0]}]


def test_damaged_events_hold_no_histograms(tmp_path: Path) -> None:
    (tmp_path / "work" / "fast").mkdir(parents=True)
    (tmp_path / "work" / "fast" / "events.out.tfevents.1.x").write_bytes(b"\xff" * 3000)
    assert histograms_of(tmp_path, "fast") == {}
    assert histograms_of(tmp_path, "never") == {}


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("log.jsonl", log_of),
        ("events.out.tfevents.1.x", histograms_of),
        ("preview", previews_of),
        ("preview", lambda run, part: preview_file(run, part, 1)),
    ],
)
def test_links_in_a_run_are_not_followed(tmp_path: Path, name: str, read: Callable[[Path, str], object]) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "frames-000001.png").write_bytes(b"x")
    (tmp_path / "run" / "work" / "fast").mkdir(parents=True)
    (tmp_path / "run" / "work" / "fast" / name).symlink_to(tmp_path / "secret")
    with pytest.raises(FolderFault, match="is a link"):
        read(tmp_path / "run", "fast")


def test_a_part_is_a_plain_name(run: Path) -> None:
    for read in (log_of, histograms_of, previews_of):
        with pytest.raises(NameFault):
            read(run, "../../elsewhere")  # type: ignore[operator]


def test_previews_are_found_by_their_steps(run: Path) -> None:
    folder = run / "work" / "fast" / "preview"
    folder.mkdir()
    for name in ("frames-000020.png", "frames-000003.png", "frames-x.png", "other-000004.png"):
        (folder / name).write_bytes(b"")
    assert previews_of(run, "fast") == [3, 20]
    assert preview_file(run, "fast", 3) == folder / "frames-000003.png"


def test_a_run_is_running_while_it_is_held_and_finished_with_its_last_student(run: Path) -> None:
    (run / "recipe.yaml").write_text(RECIPE.replace(", {name: ../out, steps: 3}, 7", ""))
    assert state_of(run) == "stopped"
    with locked(run, "training"):
        assert state_of(run) == "running"
    (run / "students" / "fast").mkdir(parents=True)
    (run / "students" / "fast" / "model_index.json").write_text("{}")
    assert state_of(run) == "finished"


@pytest.mark.parametrize("text", ["[1, 2]", "teacher: 3", "distill: {phases: 5}", ": :", "teacher: {stages: {a: 1}}"])
def test_odd_recipes_have_no_planned_parts(run: Path, text: str) -> None:
    (run / "recipe.yaml").write_text(text)
    assert [part.of for part in parts_of(run)] == [None, None, None]
