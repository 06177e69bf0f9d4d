"""Our transformer against what the public code answered at equal weights and inputs (`record_transformer.py`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import small_float as small
import torch
from torch import Tensor

from fada.diffusion.solvers import solve
from fada.teacher.float.model import Float
from fada.teacher.float.transformer import VectorField
from fada.teacher.guidance import guided
from fada.teacher.inputs import ClipInputs

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "transformer.json").read_text(encoding="utf-8"))


def clip(states: Tensor, motion: Tensor | None, motion_states: Tensor | None) -> ClipInputs:
    """Inputs of one clip, of (F, layers, dim) states."""
    given = small.inputs()
    is_first = motion is None
    motion = torch.zeros_like(given["motion"]) if motion is None else motion
    before = torch.zeros_like(given["motion_states"]) if motion_states is None else motion_states
    return ClipInputs(
        given["reference"][None],
        states[None, :, None],
        motion[None],
        torch.tensor([not is_first]),
        emotion=given["emotion"][None],
        motion_audio=before[None, :, None],
    )


def whole_clip() -> ClipInputs:
    given = small.inputs()
    return clip(given["states"], given["motion"], given["motion_states"])


def assert_as_recorded(got: Tensor, recorded: dict[str, Any]) -> None:
    answer = small.summary(got)
    assert answer["shape"] == recorded["shape"]
    for name in ("values", "mean", "deviation"):
        torch.testing.assert_close(torch.tensor(answer[name]), torch.tensor(recorded[name]), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("time", [0.0, 0.4, 1.0])
@torch.no_grad()
def test_every_branch_answers_as_the_public_code_does(model: Float, recorded: dict[str, Any], time: float) -> None:
    conditions = model.prepare(model.inputs_of(whole_clip()))
    noise = small.inputs()["noise"][None]
    for branch in range(3):
        rows = model.expand(conditions, torch.zeros(1, dtype=torch.long), torch.tensor([branch]))
        answer = model.evaluate(noise, torch.tensor([1 - time]).double(), rows, shows_motion=True)
        before, after = answer[:, : small.MOTION_FRAMES], answer[:, small.MOTION_FRAMES :]
        assert_as_recorded(torch.cat([before, -after], dim=1), recorded["answers"][f"branch_{branch}_at_{time:g}"])
        torch.testing.assert_close(model.evaluate(noise, torch.tensor([1 - time]).double(), rows), after)


@torch.no_grad()
def test_guidance_combines_the_branches_as_the_public_code_does(model: Float, recorded: dict[str, Any]) -> None:
    conditions = model.prepare(model.inputs_of(whole_clip()))
    predict = guided(model, conditions, torch.tensor([small.SCALES]))
    got = -predict(small.inputs()["noise"][None], torch.tensor([0.6]).double())
    assert_as_recorded(got, recorded["answers"]["guided"])


@torch.no_grad()
def test_two_windows_are_sampled_as_the_public_code_does(model: Float, recorded: dict[str, Any]) -> None:
    given = small.inputs()
    padded = torch.cat([given["all_states"], given["all_states"][-1:].expand(3, -1, -1)])
    windows, motion, heard = padded.split(small.FRAMES), None, None
    made = []
    for noise, states in zip(given["noises"], windows, strict=True):
        conditions = model.prepare(model.inputs_of(clip(states, motion, heard)))
        predict = guided(model, conditions, torch.tensor([small.SCALES]))
        end, start = torch.zeros(1).double(), torch.ones(1).double()
        latents = solve(predict, model.path, noise[None], start, end, 2)[0]
        made.append(latents)
        motion, heard = latents[-small.MOTION_FRAMES :], states[-small.MOTION_FRAMES :]
    assert_as_recorded(torch.cat(made)[None, : small.LENGTH], recorded["answers"]["sampled"])


def test_names_and_shapes_are_those_of_the_released_sizes(recorded: dict[str, Any]) -> None:
    with torch.device("meta"):
        field = VectorField()
    own = {f"fmt.{key}": list(tensor.shape) for key, tensor in field.state_dict().items()}
    released = {key: shape for key, shape in recorded["layout"].items() if key.startswith("fmt.")}
    # The mask is made from the window's width.
    assert own == {key: shape for key, shape in released.items() if key != "fmt.alignment_mask"}
