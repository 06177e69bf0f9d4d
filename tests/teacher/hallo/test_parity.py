"""Our networks against what the public code answered at equal weights and inputs (`record_original.py`)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small_checkpoint as small
import torch
from torch import Tensor

from fada.diffusion.paths import NoisePath
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.diffusion.solvers import solve
from fada.diffusion.spacing import time_points
from fada.teacher.dual_unet.layers import KeysValues
from fada.teacher.guidance import BatchedBranches, at_branch, guided
from fada.teacher.hallo.checkpoint import Imported, read_hallo
from fada.teacher.hallo.conditions import HalloInputs, banks_of_frames
from fada.teacher.hallo.model import Hallo
from fada.teacher.hallo.schedule import hallo_scheduler

TOLERANCE = 1e-4
HALF = torch.tensor([0.5], dtype=torch.float64)


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "original.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def imported(small_file: Path) -> Imported:
    return read_hallo(small_file)


@pytest.fixture(scope="module")
def hallo(imported: Imported) -> Hallo:
    return build(imported, "released")


def build(imported: Imported, bank_tiling: Any) -> Hallo:
    path = NoisePath.from_config(PeRFlowScheduler.from_config(hallo_scheduler().config).config)
    return Hallo(**imported.parts, path=path, bank_tiling=bank_tiling, region_weights=small.REGION_WEIGHTS)


@torch.no_grad()
def branches(model: Hallo, inputs: HalloInputs, noise: Tensor, wanted: tuple[int, ...] = (0, 1, 2)) -> list[Tensor]:
    return BatchedBranches(model, model.prepare(inputs), wanted).predict(noise, HALF)


def assert_as_recorded(got: Tensor, recorded: dict[str, Any]) -> None:
    answer = small.summary(got)
    assert answer["shape"] == recorded["shape"]
    for name in ("values", "mean", "deviation"):
        torch.testing.assert_close(
            torch.tensor(answer[name]), torch.tensor(recorded[name]), atol=TOLERANCE, rtol=0, msg=lambda text: text
        )


@torch.no_grad()
def test_the_audio_projection_equals_the_public_one(
    hallo: Hallo, inputs: HalloInputs, recorded: dict[str, Any]
) -> None:
    assert_as_recorded(hallo.audio_projection(inputs.audio)[0], recorded["audio_tokens"])


@torch.no_grad()
def test_the_reference_bank_equals_the_public_one(hallo: Hallo, inputs: HalloInputs, recorded: dict[str, Any]) -> None:
    features = hallo.features(inputs)
    for site in (0, 6, 15):
        assert_as_recorded(features.sites[site][0].flatten(0, 1), recorded[f"bank_{site}"])


def test_every_branch_equals_the_public_denoiser(
    hallo: Hallo, inputs: HalloInputs, noise: Tensor, recorded: dict[str, Any]
) -> None:
    for branch, prediction in enumerate(branches(hallo, inputs, noise)):
        assert_as_recorded(prediction[0], recorded[f"rung_{branch}"])


def test_with_fixed_tiling_every_branch_equals_the_mended_public_denoiser(
    imported: Imported, inputs: HalloInputs, noise: Tensor, recorded: dict[str, Any]
) -> None:
    for branch, prediction in enumerate(branches(build(imported, "fixed"), inputs, noise)):
        assert_as_recorded(prediction[0], recorded[f"fixed_rung_{branch}"])


@torch.no_grad()
@pytest.mark.parametrize("frames", [4, 5])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_branches_in_any_order_and_number_of_frames_equal_each_by_itself(
    hallo: Hallo, inputs: HalloInputs, noise: Tensor, frames: int, order: tuple[int, ...]
) -> None:
    # Batched, rows that hear nothing skip their attention; an even number of frames reads its banks without copies.
    given = replace(inputs, audio=inputs.audio[:, :frames])
    together = branches(hallo, given, noise[:, :frames], order)
    for branch, prediction in zip(order, together, strict=True):
        (alone,) = branches(hallo, given, noise[:, :frames], (branch,))
        torch.testing.assert_close(prediction, alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_an_even_number_of_frames_reads_its_banks_as_if_each_were_copied(
    hallo: Hallo, inputs: HalloInputs, noise: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = replace(inputs, audio=inputs.audio[:, :4])
    in_turn = branches(hallo, given, noise[:, :4], (2,))[0]

    def copied(sites: Any, reference: KeysValues) -> KeysValues:
        banks = banks_of_frames(4, reference.keys.shape[1])
        return KeysValues(*(each[:, banks].flatten(0, 1)[:, None] for each in reference))

    monkeypatch.setattr("fada.teacher.hallo.unets._Sites._in_turn", copied)
    assert torch.equal(branches(hallo, given, noise[:, :4], (2,))[0], in_turn)


def test_the_tilings_differ_by_more_than_the_tolerance(recorded: dict[str, Any]) -> None:
    for branch in range(3):
        ours, theirs = (torch.tensor(recorded[f"{kind}rung_{branch}"]["values"]) for kind in ("", "fixed_"))
        assert (ours - theirs).abs().max() > 20 * TOLERANCE


@torch.no_grad()
def test_two_sampler_steps_equal_the_public_pipeline(
    imported: Imported, inputs: HalloInputs, noise: Tensor, recorded: dict[str, Any]
) -> None:
    model = build(imported, "released")
    predict = guided(model, model.prepare(inputs), torch.full((1, 2), small.SCALE))
    latents = solve(predict, model.path, noise, torch.ones(1), torch.zeros(1), small.STEPS)
    assert_as_recorded(latents[0], recorded["sampled"])


@pytest.mark.parametrize(
    ("branch", "changes"),
    [
        (0, {"motion"}),
        (1, {"motion", "reference", "face_region", "face_embedding"}),
        (2, {"motion", "reference", "face_region", "face_embedding", "audio", "masks"}),
    ],
)
def test_a_branch_sees_exactly_its_conditions(
    imported: Imported, inputs: HalloInputs, noise: Tensor, branch: int, changes: set[str]
) -> None:
    # With fixed tiling: the released one lets the face embedding into the unconditional branch's motion frames.
    # The masks weigh what zero audio leaves of an attention, its bias: they matter at every branch.
    model = build(imported, "fixed")
    before = branches(model, inputs, noise, (branch,))[0]
    for name in ("motion", "reference", "face_region", "face_embedding", "audio"):
        other = replace(inputs, **{name: getattr(inputs, name).flip(-1)})
        after = branches(model, other, noise, (branch,))[0]
        assert (not torch.allclose(before, after, atol=1e-6)) == (name in changes), name


def test_clips_at_their_own_branches_equal_whole_batches(hallo: Hallo, inputs: HalloInputs, noise: Tensor) -> None:
    two = _twice(inputs)
    with torch.no_grad():
        mixed = at_branch(hallo, hallo.prepare(two), torch.tensor([2, 0]))(noise.repeat(2, 1, 1, 1, 1), HALF.repeat(2))
    nothing, audio = branches(hallo, inputs, noise, (0, 2))
    torch.testing.assert_close(mixed, torch.cat((audio, nothing)), atol=1e-5, rtol=0)


def test_a_first_clip_sees_its_reference_as_motion_frames(hallo: Hallo, inputs: HalloInputs, noise: Tensor) -> None:
    copies = inputs.reference[:, None].expand(-1, small.MOTION_FRAMES, -1, -1, -1)
    first, given = (branches(hallo, replace(inputs, motion=motion), noise, (2,))[0] for motion in (None, copies))
    torch.testing.assert_close(first, given)


def test_the_time_grid_is_that_of_trailing_steps() -> None:
    scheduler = hallo_scheduler()
    scheduler.set_timesteps(40)
    path = NoisePath.from_config(scheduler.config)
    points = time_points(torch.ones(1), torch.zeros(1), 40, 1000)[:-1, 0]
    assert path.network_timestep(points).tolist() == scheduler.timesteps.tolist()


@pytest.mark.parametrize("betas", ["linear", "scaled_linear"])
def test_the_noise_path_is_the_schedulers(betas: Any) -> None:
    scheduler = hallo_scheduler(betas)
    path = NoisePath.from_config(scheduler.config)
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    torch.testing.assert_close(path.alpha_bar(t).float(), scheduler.alphas_cumprod, atol=2e-6, rtol=0)
    assert path.alpha_bar(torch.tensor([0.0])).item() == 1.0


def test_pictures_that_do_not_fit_are_refused(hallo: Hallo, inputs: HalloInputs) -> None:
    with pytest.raises(ValueError, match="squares only: reference latents are 16 x 8"):
        hallo.prepare(replace(inputs, reference=inputs.reference[..., :8]))
    with pytest.raises(ValueError, match=r"face_region is \(64, 128\), latents of 16 x 16 need 128 x 128"):
        hallo.prepare(replace(inputs, face_region=inputs.face_region[..., :64, :]))
    with pytest.raises(ValueError, match=r"masks: one \(B, 3, h, w\) per level, sides \[16, 8, 4, 2\]"):
        hallo.prepare(replace(inputs, masks=inputs.masks[:2]))


def test_an_unknown_tiling_is_refused(hallo: Hallo) -> None:
    parts = (hallo.reference_unet, hallo.denoising_unet, hallo.audio_projection)
    with pytest.raises(ValueError, match="bank_tiling: got 'other'; choose from released, fixed"):
        Hallo(*parts, hallo.face_projection, hallo.face_locator, hallo.path, bank_tiling="other")  # type: ignore[arg-type]


def _twice(inputs: HalloInputs) -> HalloInputs:
    tensors = {name: torch.cat([getattr(inputs, name)] * 2) for name in ("reference", "audio", "motion")}
    faces = {name: torch.cat([getattr(inputs, name)] * 2) for name in ("face_embedding", "face_region")}
    return HalloInputs(**tensors, **faces, masks=tuple(torch.cat([mask] * 2) for mask in inputs.masks))
