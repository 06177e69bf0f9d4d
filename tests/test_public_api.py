"""The package's public names: light to import, whole, documented."""

from __future__ import annotations

import inspect
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import fada
from fada.recipe import load_recipe


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_all_public_names_are_there_and_no_others_are_listed() -> None:
    assert sorted(fada.__all__) == fada.__all__
    assert {name for name in fada.__all__ if hasattr(fada, name)} == {*fada._LIGHT, *fada._HEAVY}
    assert {name for name in dir(fada) if not name.startswith("_")} >= {*fada.__all__}


def test_importing_fada_and_asking_for_its_help_load_nothing_heavy_and_take_no_time() -> None:
    heavy = ("torch", "numpy", "diffusers", "pydantic", "rich", "typer")
    code = f"import sys, fada, pydoc; pydoc.render_doc(fada); print([each for each in {heavy} if each in sys.modules])"
    started = time.perf_counter()
    assert run(code).strip() == "[]"
    # Alone it takes a tenth of a second; tests beside it may take the processor away for a while.
    assert time.perf_counter() - started < 2.0


@pytest.mark.parametrize("name", sorted(fada._LIGHT))
def test_a_light_name_loads_no_torch(name: str) -> None:
    assert run(f"import sys, fada; fada.{name}; print('torch' in sys.modules)").strip() == "False"


def test_the_help_names_every_public_name() -> None:
    assert fada.__doc__ is not None
    assert [name for name in fada.__all__ if f"fada.{name}" not in fada.__doc__] == []


@pytest.mark.parametrize("name", fada.__all__)
def test_every_public_name_says_what_it_is_and_its_arguments(name: str) -> None:
    found: Any = getattr(fada, name)
    text = inspect.getdoc(found) or ""
    assert len(text.splitlines()[0]) > 20
    if inspect.isfunction(found):
        # Every argument is told of, and what is raised.
        missing = [each for each in inspect.signature(found).parameters if each not in text]
        assert missing == []
        assert "Raises:" in text
    if inspect.isclass(found) and not getattr(found, "_is_protocol", False):
        methods = [each for key, each in vars(found).items() if inspect.isfunction(each) and not key.startswith("_")]
        # A recipe's checks are named after what they check.
        checks = {*found.__pydantic_decorators__.model_validators} if name == "Recipe" else set()
        assert [each.__name__ for each in methods if not each.__doc__ and each.__name__ not in checks] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'fada' has no attribute 'teach'"):
        _ = fada.teach


def test_a_recipe_takes_no_arguments_of_a_model_of_your_own(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a recipe says everything itself, but windows, data, folder was given too"):
        fada.distill("tiny/smoke", [], windows=8, folder=tmp_path)
    with pytest.raises(TypeError, match="overrides change a recipe's file"):
        fada.distill(load_recipe("tiny/smoke"), overrides=["name=other"])


def test_a_model_of_your_own_takes_data_and_no_overrides() -> None:
    with pytest.raises(TypeError, match="a model of your own needs data"):
        fada.distill(torch.nn.Linear(2, 2))
    with pytest.raises(TypeError, match="overrides are a recipe's"):
        fada.distill(torch.nn.Linear(2, 2), [], overrides=["name=other"])
    with pytest.raises(TypeError, match="got int; give a recipe"):
        fada.distill(3)  # type: ignore[arg-type]


def test_a_recipe_is_trained_by_the_verbs_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fada import jobs

    asked: list[tuple[str, str]] = []
    for verb in ("distill", "train_teacher", "bench"):
        monkeypatch.setattr(
            jobs, verb, lambda recipe, console, verb=verb: asked.append((verb, recipe.name)) or tmp_path
        )
    given = [f"output={tmp_path}", "engine.processes=1"]
    names = [folder.relative_to(tmp_path).as_posix() for folder in fada.distill("tiny/smoke", overrides=given)]
    assert names == ["students/balanced", "students/fast"]
    assert fada.train_teacher(load_recipe("tiny/smoke", given)) == tmp_path / "teacher"
    assert fada.bench("tiny/smoke", given) == tmp_path
    assert asked == [("distill", "smoke"), ("train_teacher", "smoke"), ("bench", "smoke")]


def test_processes_of_a_recipe_are_given_it_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fada import jobs
    from fada.engine import launch

    commands: list[list[str]] = []

    def start(count: int, command: list[str]) -> None:
        assert count == 2
        assert load_recipe(command[-1]).output == tmp_path
        commands.append(command[:-1])

    monkeypatch.setattr(launch, "start_processes", start)
    monkeypatch.setattr(jobs, "prepare", lambda recipe, console: None)
    fada.train_teacher("tiny/smoke", [f"output={tmp_path}", "engine.processes=2"])
    assert commands == [["teacher", "train"]]


def test_load_and_generate_are_the_shipped_teachers(tmp_path: Path) -> None:
    import numpy as np

    from fada.media.video import read_video

    pipeline = fada.load("shipped:drawn", device="cpu")
    portrait = np.full((48, 48, 3), 128, np.uint8)
    sound = np.zeros(3200, np.float32)
    out = tmp_path / "video.mp4"
    made = fada.generate(pipeline, portrait, sound, out, steps=1, guidance="none", max_frames=2)
    assert made.frames.shape == (2, pipeline.config.size, pipeline.config.size, 3)
    assert read_video(out).shape == made.frames.shape
    with pytest.raises(ValueError, match="exists; give another name"):
        fada.generate(pipeline, portrait, sound, out)
    with pytest.raises(ValueError, match="is no difference from a teacher; leave teacher out"):
        fada.load("shipped:drawn", teacher="shipped:drawn")
