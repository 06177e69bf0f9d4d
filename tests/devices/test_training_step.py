"""Every kind of training step on a device that is not the CPU: the CPU's values, and nothing waits but what must."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pretended import DEVICE, GRID, DevicesMixed, There, gradients, pretended_device, values
from torch import Tensor

from fada.data.sampling.dataset import BatchShape, ClipSampler
from fada.engine.objective import StepLoss
from fada.engine.run_log import RunLog
from fada.student.copies import student_of
from fada.student.distillation import DistillObjective
from fada.student.mixed_loss import MixedLossConfig
from fada.student.solved_windows import DistillSettings
from fada.student.target_cache import TargetCache
from fada.student.trajectory import TrajectoryObjective
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.dual_unet.layers import attend
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.frame_dropout import FrameDropout
from fada.teacher.guidance import at_branch
from fada.teacher.inputs import ClipInputs
from fada.teacher.pretrain import DropRates, PretrainObjective
from fada.teacher.v_express.model import VExpress

SHAPE = BatchShape(4)
CHECKED = ("a value of the device's", "mixed_loss.py:_refuse_non_finite")
"""Whether a micro-batch's losses are finite: known before its backward pass, or its samples could not be replaced."""
PARTS = ("reference", "spatial", "audio", "temporal")
Made = PretrainObjective | DistillObjective | TrajectoryObjective


def settings(**changes: Any) -> DistillSettings:
    values: dict[str, Any] = {
        "guidance": "distill", "windows": 4, "times": "uniform", "solver": "ddim", "solver_steps": 2,
        "scales": ((1.0, 4.0), (1.0, 9.0)), "motion_drop": 0.3, "loss": MixedLossConfig(),
        "gt_guidance": "neutral", "seed": 0,
        **changes,
    }  # fmt: skip
    return DistillSettings(**values)


def pretrain(model: AvatarDenoiser, sampler: ClipSampler, folder: Path) -> Made:
    assert isinstance(model, DualUNet)
    return PretrainObjective(
        model, sampler, SHAPE, PARTS, DropRates({"reference": 0.3, "audio": 0.3}, 0.3), seed=0, min_snr_gamma=5.0
    )


def v_express_stage(model: AvatarDenoiser, sampler: ClipSampler, folder: Path) -> Made:
    """Its last stage, with all that its training adds."""
    assert isinstance(model, VExpress)
    added: Any = {"frame_drop": FrameDropout(0.3, 0.3), "lip_weight": 2.0, "offset_noise": 0.05}
    return PretrainObjective(
        model,
        sampler,
        SHAPE,
        (*PARTS, "keypoints"),
        DropRates({"reference": 0.0, "audio": 0.1}, 0.0),
        seed=0,
        min_snr_gamma=5.0,
        **added,
    )


def float_stage(model: AvatarDenoiser, sampler: ClipSampler, folder: Path) -> Made:
    """FLOAT's only stage."""
    drop = DropRates({"audio": 0.3, "emotion": 0.3}, 0.5, 0.3)
    weights = {"velocity_weight": 1.0, "motion_weight": 1.0}
    return PretrainObjective(model, sampler, SHAPE, ("audio", "vector_field"), drop, seed=0, **weights)


def distilled(mode: Any, **changes: Any) -> Callable[[AvatarDenoiser, ClipSampler, Path], Made]:
    def make(model: AvatarDenoiser, sampler: ClipSampler, folder: Path) -> Made:
        return DistillObjective(model, student_of(model, mode, 2), sampler, settings(**changes), SHAPE)

    return make


def cached(model: AvatarDenoiser, sampler: ClipSampler, folder: Path) -> Made:
    cache = TargetCache(folder / "targets", 8, 4, 0, {})
    made = DistillObjective(model, student_of(model, "tokens", 2), sampler, settings(), SHAPE, cache=cache)
    cache.fill(lambda numbers: values(made.solved.window_ends(numbers, torch.device("cpu"))), 4)
    return made


def tcd(model: AvatarDenoiser, sampler: ClipSampler, folder: Path) -> Made:
    chosen = settings(times="starts", solver_steps=1)
    return TrajectoryObjective(model, student_of(model, "layer", 2), sampler, chosen, SHAPE)


STEPS = {
    "pretrain": (pretrain, []),
    "V-Express's last stage": (v_express_stage, []),
    "FLOAT's stage": (float_stage, []),
    "balanced": (distilled("none", guidance="sync", matched=True), [CHECKED]),
    "fast": (distilled("tokens", solver="dpmpp_2m", solver_spacing="noise_share"), [CHECKED]),
    "fast by time embedding": (distilled("time_embed", solver="dpmpp_2m_log_snr"), [CHECKED]),
    "without ground truth": (distilled("layer", loss=MixedLossConfig(base=0.0)), [CHECKED]),
    "cached": (cached, [CHECKED]),
    "trajectory": (tcd, []),
}


OWN = {"dual_unet": "pretrain", "v_express": "V-Express's last stage", "float": "FLOAT's stage"}
"""How a family's teachers are trained; Hallo's are not."""


def cases(family: str) -> list[Any]:
    """Its own training and all of distillation; of the others' steps, which take seconds, only the usual phases' are
    in the default tier."""
    usual = ("balanced", "fast", OWN.get(family))
    foreign = set(OWN.values()) - {OWN.get(family)}
    is_usual = {step: family == "dual_unet" or step in usual for step in STEPS if step not in foreign}
    return [pytest.param(family, step, marks=() if is_usual[step] else pytest.mark.slow) for step in is_usual]


CASES = [case for family in ("dual_unet", "hallo", "v_express", "float") for case in cases(family)]


def stepped(made: Made) -> StepLoss:
    loss = made.loss(made.module, 0, 0)
    loss.total.backward()
    return loss


def to_device(made: Made, device: torch.device = DEVICE) -> Made:
    """The objective with its networks on a device, the pretended one."""
    there = copy.deepcopy(made)
    there.module.to(device)
    if not isinstance(there, PretrainObjective):
        there.solved.teacher.to(device)
    return there


@pytest.mark.parametrize(("model", "step"), CASES, indirect=["model"])
def test_a_step_is_the_cpus_and_waits_for_the_device_only_where_it_must(
    model: AvatarDenoiser, sampler: ClipSampler, tmp_path: Path, step: str
) -> None:
    make, waits = STEPS[step]
    made = make(model, sampler, tmp_path)
    with pretended_device() as told:
        there = to_device(made)
        del told.waits[:]
        found = stepped(there)
    expected = stepped(made)
    assert isinstance(found.total, There)
    assert told.waits == waits
    torch.testing.assert_close(values(found.total), expected.total.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradients(there.module), gradients(made.module), rtol=1e-3, atol=1e-5)


def test_a_step_is_logged_without_waiting_and_read_in_one_transfer(
    model: AvatarDenoiser, sampler: ClipSampler, tmp_path: Path
) -> None:
    made = distilled("tokens")(model, sampler, tmp_path)
    log = RunLog(tmp_path / "log", "fast")
    with pretended_device() as told:
        found = stepped(to_device(made))
        del told.waits[:]
        log.collect([found], 1.0, 1.0, 1e-4, 0.1)
        assert told.waits == []
        means = log.flush(1)
    log.close()
    expected = stepped(made)
    places = [place for _, place in told.waits]
    assert places.count("figures.py:numbers_of") == 1
    # Each of two histograms is fetched too; nothing else is.
    assert len(places) == 3
    assert means["loss_distill"] == pytest.approx(float(expected.scalars["loss_distill"]), rel=1e-4)


def test_branches_may_lie_on_the_device_too(model: AvatarDenoiser, sampler: ClipSampler) -> None:
    batch = sampler.batch(0, SHAPE)
    branch, t = torch.tensor([0, 2, 1, 0]), torch.full((4,), 0.5, dtype=torch.float64)

    @torch.no_grad()
    def predicted(network: AvatarDenoiser, device: torch.device) -> Tensor:
        there: Any = network
        conditions = there.prepare(there.inputs_of(ClipInputs.of_batch(batch.to(device))))
        return at_branch(there, conditions, branch.to(device))(batch.latents.to(device), t.to(device))

    with pretended_device():
        found = predicted(copy.deepcopy(model).to(DEVICE), DEVICE)
    torch.testing.assert_close(values(found), predicted(model, torch.device("cpu")), rtol=1e-4, atol=1e-5)


def test_what_cuda_refuses_the_pretended_device_refuses() -> None:
    with pretended_device() as told:
        there = torch.arange(3.0).to(DEVICE, non_blocking=True)
        with pytest.raises(DevicesMixed, match="at least two devices"):
            there + torch.ones(3)
        with pytest.raises(DevicesMixed, match="same device as the indexed tensor"):
            torch.arange(3)[there > 0]
        with pytest.raises(DevicesMixed, match="device type for generator"):
            torch.randn(3, generator=torch.Generator(), device=DEVICE)
        assert (there + 2 * torch.ones(()))[:2].shape == (2,)
        assert told.waits == []
        assert values(there[there > 0]).tolist() == [1.0, 2.0]
        assert float(there[torch.tensor([2])]) == 2.0
        assert torch.tensor([1.0], device=DEVICE).cpu().tolist() == [1.0]
    assert [what for what, _ in told.waits] == [
        "a mask as index", "an index from the CPU", "a value of the device's", "a copy to the device",
        "a copy from the device",
    ]  # fmt: skip


def test_attention_over_more_places_than_a_grid_has_blocks_is_taken_in_parts() -> None:
    # Two clips' branches of 64 x 64 places and 8 heads are as many.
    rows = torch.randn(GRID // 8 + 1, 8, 2, 1)
    with pretended_device():
        there = rows.to(DEVICE)
        with pytest.raises(DevicesMixed, match="attention over 65536 rows and heads"):
            torch.nn.functional.scaled_dot_product_attention(there, there, there)
        found = attend(there, there, there)
    torch.testing.assert_close(values(found), attend(rows, rows, rows))
