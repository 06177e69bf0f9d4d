"""What the recipe says wins over what a launcher exported."""

import os
from typing import Any

import pytest
import torch.distributed as dist

from fada.engine.parallel import PATIENCE, ParallelSettings, deepspeed_config, new_accelerator, until_all


def test_what_accelerates_launcher_exports_does_not_overrule_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "7")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    made = new_accelerator(ParallelSettings(precision="fp32", accumulate=2), batch=1)
    assert (made.mixed_precision, made.gradient_accumulation_steps) == ("no", 2)
    assert made.state.deepspeed_plugin is None
    assert "ACCELERATE_USE_DEEPSPEED" not in os.environ


def test_gradients_of_bf16_are_summed_in_float32() -> None:
    made = {precision: deepspeed_config(ParallelSettings("zero2", precision), 1) for precision in ("bf16", "fp32")}
    assert made["bf16"]["data_types"] == {"grad_accum_dtype": "fp32"}
    assert "data_types" not in made["fp32"]


def test_processes_wait_for_unequal_shares_patiently_and_not_with_the_trainings_collectives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[Any] = []
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "new_group", lambda **options: done.append(options) or "patient")
    monkeypatch.setattr(dist, "barrier", lambda group: done.append(f"barrier of {group}"))
    monkeypatch.setattr(dist, "destroy_process_group", lambda group: done.append(f"end of {group}"))
    with until_all():
        done.append("share")
    assert done == [{"backend": "gloo", "timeout": PATIENCE}, "share", "barrier of patient", "end of patient"]
