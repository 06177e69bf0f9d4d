"""The training verbs hand the checked recipe on; the work itself has its own tests."""

from __future__ import annotations

import pytest

from fada.recipe import load_recipe


@pytest.mark.parametrize(
    ("verb", "function"), [(("distill",), "distill"), (("teacher", "train"), "train_teacher"), (("bench",), "bench")]
)
def test_a_verb_calls_its_function_with_the_overridden_recipe(cli, calls, verb: tuple[str, ...], function: str) -> None:
    outcome = cli(*verb, "tiny/smoke", "seed=4", "engine.log_every=2")
    assert outcome.code == 0, outcome.err
    assert calls == [(function, load_recipe("tiny/smoke", ["seed=4", "engine.log_every=2"]))]


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
