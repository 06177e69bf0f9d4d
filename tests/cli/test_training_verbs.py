"""The training verbs hand the checked recipe on; the work itself has its own tests."""

from __future__ import annotations

import pytest

from fada.recipe import load_recipe


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "FADA_STARTED_HERE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("verb", "functions"),
    [
        (("distill",), ["distill", "bench"]),
        (("teacher", "train"), ["train_teacher"]),
        (("bench",), ["bench"]),
    ],
)
def test_a_verb_calls_its_functions_with_the_overridden_recipe(
    cli, calls, verb: tuple[str, ...], functions: list[str]
) -> None:
    outcome = cli(*verb, "tiny/smoke", "seed=4", "engine.log_every=2")
    assert outcome.code == 0, outcome.err
    recipe = load_recipe("tiny/smoke", ["seed=4", "engine.log_every=2"])
    assert calls == [(function, recipe) for function in functions]


@pytest.mark.parametrize(
    ("verb", "functions"),
    [(("distill",), ["prepare", "start", "bench"]), (("teacher", "train"), ["prepare", "start"])],
)
def test_several_processes_are_started_once_the_data_are_there(
    cli, calls, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...], functions: list[str]
) -> None:
    from fada.engine import launch

    monkeypatch.setattr(launch, "start_processes", lambda count, command: calls.append(("start", (count, command))))
    outcome = cli(*verb, "tiny/smoke", "engine.processes=3")
    assert outcome.code == 0, outcome.err
    assert [name for name, _ in calls] == functions
    assert calls[1][1] == (3, [*verb, "tiny/smoke", "engine.processes=3"])


def test_a_process_that_was_started_here_leaves_the_report_to_its_parent(
    cli, calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("FADA_STARTED_HERE", "1")
    assert cli("distill", "tiny/smoke", "engine.processes=3").code == 0
    assert [name for name, _ in calls] == ["distill"]


def test_a_failed_step_is_replayed_instead_of_training(cli, calls) -> None:
    outcome = cli("distill", "tiny/smoke", "--replay", "somewhere")
    assert outcome.out == "the price\n"
    assert [name for name, _ in calls] == ["replay"]


@pytest.mark.parametrize("verb", [("distill",), ("teacher", "train")])
def test_a_dry_run_prices_and_trains_nothing(cli, calls, verb: tuple[str, ...]) -> None:
    outcome = cli(*verb, "tiny/smoke", "--dry-run", "seed=4")
    assert outcome.out == "the price\n"
    assert calls == [("dry_run", load_recipe("tiny/smoke", ["seed=4"]))]


@pytest.mark.parametrize("verb", [("distill",), ("teacher", "train"), ("bench",)])
def test_a_wrong_override_stops_before_anything_is_built(cli, calls, verb: tuple[str, ...]) -> None:
    outcome = cli(*verb, "tiny/smoke", "sead=4")
    assert outcome.code == 2
    assert "did you mean 'seed'" in outcome.err
    assert calls == []


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_made(
    cli, calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "wandb" else find_spec(name))
    outcome = cli("distill", "tiny/smoke", "engine.trackers=[tensorboard, wandb]")
    assert (outcome.code, calls) == (2, [])
    assert "error: engine.trackers: wandb is not installed here; run: pip install wandb" in outcome.err
    outcome = cli("distill", "tiny/smoke", "engine.trackers=[neptune]")
    assert (outcome.code, calls) == (2, [])
    assert "engine.trackers.0" in outcome.err
    assert "tensorboard" in outcome.err


@pytest.mark.parametrize("strategy", ["zero1", "zero3"])
def test_a_divided_training_without_deepspeed_is_refused_before_anything_is_made(
    cli, calls, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "deepspeed" else find_spec(name))
    outcome = cli("distill", "tiny/smoke", "engine.processes=2", f"engine.strategy={strategy}")
    assert (outcome.code, calls) == (2, [])
    assert f"error: engine.strategy: {strategy} needs DeepSpeed, which is not installed here; run: pip" in outcome.err
    assert cli("distill", "tiny/smoke").code == 0
