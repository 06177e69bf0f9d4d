"""Side by side with the public PeRFlow code: its numbers as recorded, and with a checkout of it also as it runs.

    FADA_PERFLOW_CHECKOUT=PATH python -m pytest tests/diffusion/test_public_perflow.py

Where the windows' solver steps are whole training indices the two are equal. Elsewhere the public solver steps by
``floor(1000 / (K n))`` indices and its sampler by whole ones, so both leave the points they mean; ours do not.
"""

import json
import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from fada.diffusion.forms import student_point, window_target
from fada.diffusion.paths import NoisePath
from fada.diffusion.released_forms import noise_of_diff_eps, noise_of_velocity
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.diffusion.solvers import solve
from fada.diffusion.windows import Windows

HERE = Path(__file__).parent
CHECKOUT = os.environ.get("FADA_PERFLOW_CHECKOUT")
EXACT = 5e-13
RECORDED = json.loads((HERE / "vectors" / "public_perflow.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def public() -> ModuleType:
    """The module that runs their code, for its inputs."""
    spec = spec_from_file_location("public_perflow", HERE / "public_perflow.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=["recorded", "checkout"])
def theirs(request: pytest.FixtureRequest, public: ModuleType) -> dict[str, Any]:
    """Their numbers."""
    if request.param == "recorded":
        return RECORDED
    if CHECKOUT is None:
        pytest.skip("needs FADA_PERFLOW_CHECKOUT, the path of a checkout of the public PeRFlow code")
    return public.run_public(Path(CHECKOUT))


def column(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def is_whole(case: dict[str, Any]) -> bool:
    return 1000 % (case["windows"] * case["steps"]) == 0


@pytest.mark.parametrize("number", range(len(RECORDED["targets"])))
def test_window_ends_inputs_and_targets(theirs: dict[str, Any], public: ModuleType, number: int) -> None:
    case, path = theirs["targets"][number], NoisePath()
    world_mean, world_std = public.MEAN, public.STD

    def teacher(z: Tensor, t: Tensor) -> Tensor:
        a, c = path.signal_noise(t, like=z)
        return c * (z - a * world_mean) / (a**2 * world_std**2 + c**2)

    t = torch.tensor(public.TIMES, dtype=torch.float64)
    t_start, t_end = Windows(case["windows"]).look_up(t)
    z_start = path.add_noise(column(public.CLEAN), column(public.NOISE), t_start)
    z_end = solve(teacher, path, z_start, t_start, t_end, case["steps"])
    if not is_whole(case):
        # Not the same points: near, and not equal. Their steps and the next one's start differ by up to an index.
        off = (z_end - column(case["ends"])).abs().max()
        assert 1e-5 < off < 0.05
        return
    torch.testing.assert_close(z_start, column(case["starts"]), rtol=0, atol=EXACT)
    torch.testing.assert_close(z_end, column(case["ends"]), rtol=0, atol=EXACT)
    z_t = student_point(z_start, z_end, t, t_start, t_end)
    torch.testing.assert_close(z_t, column(case["inputs"]), rtol=0, atol=EXACT)
    target = window_target(path, z_start, z_end, t_start, t_end)
    targets = {kind: column(values) for kind, values in case["targets"].items()}
    # 1 / eta of the last, nearly noiseless windows enlarges the last digit.
    torch.testing.assert_close(target, targets["ddim_eps"], rtol=0, atol=EXACT)
    from_difference = noise_of_diff_eps(path, targets["diff_eps"], t_start, t_end)
    torch.testing.assert_close(target, from_difference, rtol=0, atol=EXACT)
    from_velocity = noise_of_velocity(path, targets["velocity"], z_t, t, t_start, t_end)
    torch.testing.assert_close(target, from_velocity, rtol=0, atol=EXACT)


@pytest.mark.parametrize("number", range(len(RECORDED["targets"])))
def test_their_solver_leaves_its_points_where_steps_are_no_whole_indices(
    theirs: dict[str, Any], public: ModuleType, number: int
) -> None:
    case = theirs["targets"][number]
    ends = Windows(case["windows"]).look_up(torch.tensor(public.TIMES, dtype=torch.float64))[1]
    is_met = [
        [now - case["interval"] == following for now, following in zip(visited, [*visited[1:], end], strict=True)]
        for visited, end in zip(case["timesteps"], (torch.round(ends * 1000) - 1).tolist(), strict=True)
    ]
    assert all(all(each) for each in is_met) == is_whole(case)


@pytest.mark.parametrize("number", range(len(RECORDED["samples"])))
def test_sampling(theirs: dict[str, Any], public: ModuleType, number: int) -> None:
    case = theirs["samples"][number]
    scheduler = PeRFlowScheduler.from_config(
        {**public.BETAS, "prediction_type": case["prediction_type"], "num_time_windows": case["windows"]}
    )
    scheduler.set_timesteps(case["steps"])
    # They cut timesteps down to whole ones, ours are what was meant; only 12 steps over 4 windows show it here.
    is_on_grid = case["steps"] != 12
    assert (scheduler.timesteps.tolist() == case["timesteps"]) == is_on_grid
    assert torch.floor(scheduler.timesteps + 1e-3).tolist() == case["timesteps"]
    if not is_on_grid:
        scheduler.set_timesteps(timesteps=case["timesteps"])
    z = column(public.NOISE)
    for timestep, expected in zip(scheduler.timesteps, case["samples"], strict=True):
        z = scheduler.step(public.answer(z, timestep), timestep, z).prev_sample
        # Their times are float32, exact only for binary fractions.
        torch.testing.assert_close(z, column(expected), rtol=0, atol=EXACT if is_on_grid else 1e-5)
