"""Our networks against what the public code answered at equal weights and inputs (`record_original.py`)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small_v_express as small
import torch
from torch import Tensor

from fada.diffusion.paths import NoisePath
from fada.diffusion.solvers import solve
from fada.diffusion.spacing import time_points
from fada.teacher.guidance import BatchedBranches, at_branch, guided
from fada.teacher.inputs import ClipInputs
from fada.teacher.v_express.checkpoint import read_v_express
from fada.teacher.v_express.conditions import VExpressInputs
from fada.teacher.v_express.keypoints import draw_keypoints
from fada.teacher.v_express.model import VExpress
from fada.teacher.v_express.schedule import v_express_scheduler

TOLERANCE = 1e-4
HALF = torch.tensor([0.5], dtype=torch.float64)


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "original.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model(small_folder: Path) -> VExpress:
    parts = read_v_express(small_folder).parts
    seen, heard = small.WEIGHTS
    return VExpress(
        **parts,
        path=NoisePath.from_config(v_express_scheduler().config),
        reference_weight=seen,
        audio_weight=heard,
        frames=small.FRAMES,
        overlap=small.OVERLAP,
    )


def first_context(inputs: VExpressInputs) -> VExpressInputs:
    frames = slice(0, small.FRAMES)
    return replace(inputs, audio=inputs.audio[:, frames], keypoints=inputs.keypoints[:, frames])


@torch.no_grad()
def branches(
    model: VExpress, inputs: VExpressInputs, noise: Tensor, wanted: tuple[int, ...] = (0, 1, 2)
) -> list[Tensor]:
    return BatchedBranches(model, model.prepare(inputs), wanted).predict(noise, HALF.expand(len(noise)))


def assert_as_recorded(got: Tensor, recorded: dict[str, Any]) -> None:
    answer = small.summary(got)
    assert answer["shape"] == recorded["shape"]
    for name in ("values", "mean", "deviation"):
        torch.testing.assert_close(
            torch.tensor(answer[name]), torch.tensor(recorded[name]), atol=TOLERANCE, rtol=0, msg=lambda text: text
        )


@torch.no_grad()
def test_audio_tokens_of_encoder_states_equal_the_public_ones(
    model: VExpress, inputs: VExpressInputs, recorded: dict[str, Any]
) -> None:
    assert_as_recorded(model.audio_projection(inputs.audio)[0], recorded["audio_tokens"])


@torch.no_grad()
def test_the_keypoint_guider_equals_the_public_one(
    model: VExpress, inputs: VExpressInputs, recorded: dict[str, Any]
) -> None:
    assert_as_recorded(model.prepare(inputs).keypoints[0], recorded["keypoint_maps"])


@torch.no_grad()
def test_the_reference_bank_equals_the_public_one(
    model: VExpress, inputs: VExpressInputs, recorded: dict[str, Any]
) -> None:
    features = model.features(inputs)
    assert len(features) == 16
    for site in (0, 6, 15):
        assert_as_recorded(features[site], recorded[f"bank_{site}"])


def test_every_branch_equals_the_public_denoiser(
    model: VExpress, inputs: VExpressInputs, noise: Tensor, recorded: dict[str, Any]
) -> None:
    for branch, prediction in enumerate(branches(model, first_context(inputs), noise[:, : small.FRAMES])):
        assert_as_recorded(prediction[0], recorded[f"rung_{branch}"])


def test_the_recorded_branches_differ_by_more_than_the_tolerance(recorded: dict[str, Any]) -> None:
    nothing, reference, audio = (torch.tensor(recorded[f"rung_{branch}"]["values"]) for branch in range(3))
    for one, other in ((nothing, reference), (reference, audio)):
        assert (one - other).abs().max() > 20 * TOLERANCE


def test_two_sampler_steps_over_two_contexts_equal_the_public_pipeline(
    model: VExpress, inputs: VExpressInputs, noise: Tensor, recorded: dict[str, Any]
) -> None:
    with torch.no_grad():
        predict = guided(model, model.prepare(inputs), torch.full((1, 2), small.SCALE))
        ones = torch.ones(1, dtype=torch.float64)
        latents = solve(predict, model.path, noise, ones, 0 * ones, small.STEPS, "ddim")
    assert_as_recorded(latents[0], recorded["sampled"])


def test_a_picture_of_keypoints_is_the_public_one_but_for_its_borders(recorded: dict[str, Any]) -> None:
    ours = small.digits(draw_keypoints(torch.tensor(small.POINTS), *small.PICTURE))
    pairs = [pair for row, other in zip(ours, recorded["drawn"], strict=True) for pair in zip(row, other, strict=True)]
    drawn = sum(other != "0" for _, other in pairs)
    assert sum(one != other for one, other in pairs) < 0.06 * drawn


def test_pictures_of_a_clip_are_those_of_its_frames() -> None:
    points = torch.tensor([small.POINTS, small.POINTS[::-1]])
    both = draw_keypoints(points, *small.PICTURE)
    assert both.shape == (2, 3, *small.PICTURE)
    for frame in range(2):
        assert torch.equal(both[frame], draw_keypoints(points[frame], *small.PICTURE))
    assert not torch.equal(both[0], both[1])


@pytest.mark.parametrize(("branch", "changes"), [(0, set()), (1, {"reference", "keypoints"})])
def test_a_lower_branch_sees_exactly_its_conditions(
    model: VExpress, inputs: VExpressInputs, noise: Tensor, branch: int, changes: set[str]
) -> None:
    clip, start = first_context(inputs), noise[:, : small.FRAMES]
    before = branches(model, clip, start, (branch,))[0]
    for name in ("reference", "keypoints", "audio"):
        after = branches(model, replace(clip, **{name: getattr(clip, name).flip(-1)}), start, (branch,))[0]
        assert (not torch.allclose(before, after, atol=1e-6)) == (name in changes), name


def test_clips_at_their_own_branches_equal_whole_batches(
    model: VExpress, inputs: VExpressInputs, noise: Tensor
) -> None:
    clip, start = first_context(inputs), noise[:, : small.FRAMES]
    two = VExpressInputs(*(torch.cat((each, each)) for each in (clip.reference, clip.audio, clip.keypoints)))
    with torch.no_grad():
        predict = at_branch(model, model.prepare(two), torch.tensor([2, 0]))
        mixed = predict(start.repeat(2, 1, 1, 1, 1), HALF.repeat(2))
    nothing, audio = branches(model, clip, start, (0, 2))
    torch.testing.assert_close(mixed, torch.cat((audio, nothing)), atol=1e-5, rtol=0)


def test_the_branches_weights_matter_at_every_branch(model: VExpress, inputs: VExpressInputs, noise: Tensor) -> None:
    clip, start = first_context(inputs), noise[:, : small.FRAMES]
    before = branches(model, clip, start)
    released, (model.reference_weight, model.audio_weight) = model.weights, (1.0, 1.0)
    after = branches(model, clip, start)
    model.reference_weight, model.audio_weight = released
    for one, other in zip(before, after, strict=True):
        assert not torch.allclose(one, other, atol=1e-3)


def test_features_of_a_shared_reference_net_are_used(model: VExpress, inputs: VExpressInputs) -> None:
    features = [2 * bank for bank in model.features(inputs)]
    with torch.no_grad():
        own, given = model.prepare(inputs), model.prepare(inputs, features)
    torch.testing.assert_close(given.reference[3].keys, 2 * own.reference[3].keys)


def test_the_noise_path_and_its_grid_are_the_schedulers() -> None:
    scheduler = v_express_scheduler()
    scheduler.set_timesteps(25)
    path = NoisePath.from_config(scheduler.config)
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    torch.testing.assert_close(path.alpha_bar(t).float(), scheduler.alphas_cumprod, atol=2e-6, rtol=0)
    points = time_points(torch.ones(1), torch.zeros(1), 25, 1000)[:-1, 0]
    assert path.network_timestep(points).tolist() == scheduler.timesteps.tolist()


def test_inputs_that_do_not_fit_are_refused(model: VExpress, inputs: VExpressInputs) -> None:
    with pytest.raises(ValueError, match="reference latents are 8 x 12; both sides must be multiples of 8"):
        model.prepare(replace(inputs, reference=inputs.reference[..., :12]))
    with pytest.raises(ValueError, match=r"shape \(8, 3, 64, 96\); 8 frames of audio .* need \(8, 3, 64, 128\)"):
        model.prepare(replace(inputs, keypoints=inputs.keypoints[..., :96]))
    seven = replace(inputs, audio=inputs.audio[:, :7], keypoints=inputs.keypoints[:, :7])
    with pytest.raises(ValueError, match="7 frames are not filled by contexts of 5 that share 2: take 5 or 8"):
        model.prepare(seven)


def test_contexts_that_cannot_be_are_refused(model: VExpress) -> None:
    parts = (model.reference_unet, model.denoising_unet, model.audio_projection, model.keypoint_guider, model.path)
    with pytest.raises(ValueError, match="contexts of 4 frames cannot share 4; overlap is 0 to frames - 1"):
        VExpress(*parts, frames=4, overlap=4)
    with pytest.raises(ValueError, match="contexts of 33 frames: the motion modules number 32"):
        VExpress(*parts, frames=33)


def test_clips_without_keypoints_are_refused(model: VExpress) -> None:
    with pytest.raises(ValueError, match="V-Express is shown where eyes and nose are, but the keypoints are missing"):
        model.inputs_of(ClipInputs(torch.zeros(1, 4, 16, 16), torch.zeros(1, 5, 10, 1, 6)))
