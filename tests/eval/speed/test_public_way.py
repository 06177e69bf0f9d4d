"""The public way is the same training with DDIM, 8 steps in a quarter of the time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fada.eval.speed.public_way import public_steps, public_way
from fada.student.distillation import DistillSettings


@pytest.mark.parametrize(("windows", "steps"), [(4, 8), (1, 32), (6, 5), (2, 16), (100, 1)])
def test_windows_of_another_length_get_as_many_steps_per_time(windows: int, steps: int) -> None:
    assert public_steps(windows) == steps


def test_nothing_but_the_solver_is_another(settings: DistillSettings) -> None:
    own = replace(settings, solver_spacing="noise_share", guidance="sync")
    public = public_way(own)
    assert (public.solver, public.solver_steps, public.solver_spacing) == ("ddim", 8, "time")
    assert replace(public, solver=own.solver, solver_steps=4, solver_spacing="noise_share") == own
