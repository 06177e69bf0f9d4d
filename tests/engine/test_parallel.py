"""What the recipe says wins over what a launcher exported."""

import os

import pytest

from fada.engine.parallel import ParallelSettings, new_accelerator


def test_what_accelerates_launcher_exports_does_not_overrule_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "7")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    made = new_accelerator(ParallelSettings(accumulate=2), batch=1)
    assert (made.mixed_precision, made.gradient_accumulation_steps) == ("no", 2)
    assert made.state.deepspeed_plugin is None
    assert "ACCELERATE_USE_DEEPSPEED" not in os.environ
