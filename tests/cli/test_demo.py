"""``fada demo``: the shipped recipe, and at the end a face, a voice and the command that makes them talk."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from fada.data.world import make_clip
from fada.media.audio import read_audio
from fada.media.image import read_image
from fada.recipe import load_recipe


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "FADA_STARTED_HERE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("options", "name"), [((), "tiny/demo"), (("--from-scratch",), "tiny/demo-from-scratch")], ids=["demo", "scratch"]
)
def test_demo_distils_the_shipped_recipe_and_measures_it(
    cli, calls, tmp_path: Path, options: tuple[str, ...], name: str
) -> None:
    overrides = [f"output={tmp_path / 'run'}", "seed=4"]
    outcome = cli("demo", *overrides, *options)
    assert outcome.code == 0, outcome.err
    recipe = load_recipe(name, overrides)
    assert calls == [("distill", recipe), ("bench", recipe)]
    assert f"{tmp_path / 'run' / 'report' / 'index.html'}" in outcome.out


def test_the_last_line_is_a_command_for_files_that_are_there(cli, calls, tmp_path: Path, monkeypatch) -> None:
    run = tmp_path / "my run"
    command = shlex.split(cli("demo", f"output={run}").out.splitlines()[-1])
    options = dict(zip(command[2::2], command[3::2], strict=True))
    assert command[:2] == ["fada", "generate"]
    assert options == {
        "--model": str(run),
        "--image": str(run / "portrait.png"),
        "--audio": str(run / "speech.wav"),
        "--out": "talking.mp4",
    }
    # A face of the kind that the model knows, of a world that it has not seen.
    drawn = make_clip(99, 0, split="test", version=2)
    assert np.array_equal(read_image(options["--image"]), drawn.frames[0])
    assert np.abs(read_audio(options["--audio"]) - drawn.audio).max() < 1e-4
    assert load_recipe("tiny/demo").data.world.seed != 99


def test_files_of_the_users_that_are_there_stay(cli, calls, tmp_path: Path) -> None:
    for name in ("portrait.png", "speech.wav"):
        (tmp_path / name).write_bytes(b"mine")
    assert cli("demo", f"output={tmp_path}").code == 0
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"mine"}


def test_a_dry_run_trains_and_writes_nothing(cli, calls, tmp_path: Path) -> None:
    outcome = cli("demo", f"output={tmp_path / 'run'}", "--dry-run")
    assert outcome.out == "the price\n"
    assert [name for name, _ in calls] == ["dry_run"]
    assert not (tmp_path / "run").exists()
