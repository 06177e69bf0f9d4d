import pytest
import torch
from torch import Tensor, nn

from fada.data.sampling.dataset import BatchShape, ClipSampler, LatentClip
from fada.diffusion.trajectory import jump
from fada.engine.clock import Clock
from fada.student.copies import student_of
from fada.student.mixed_loss import MixedLossConfig
from fada.student.solved_windows import DistillSettings
from fada.student.trajectory import TrajectoryObjective
from fada.teacher.dual_unet.model import DualUNet


def settings(**changes: object) -> DistillSettings:
    values: dict[str, object] = {
        "guidance": "sync",
        "windows": 20,
        "times": "starts",
        "solver": "ddim",
        "solver_steps": 1,
        "scales": ((1.5, 1.5), (2.0, 2.0)),
        "motion_drop": 0.3,
        "loss": MixedLossConfig(weighting="fixed", base=0.0),
        "gt_guidance": "neutral",
        "seed": 0,
        **changes,
    }
    return DistillSettings(**values)


@pytest.fixture
def sampler() -> ClipSampler:
    generator = torch.Generator().manual_seed(3)
    clips = [
        LatentClip(f"{i}", "A", *(torch.randn(9, *shape, generator=generator) for shape in ((4, 8, 8), (1, 12))))
        for i in range(4)
    ]
    return ClipSampler(clips, frames=3, motion_frames=2, context=2)


def objective(teacher: DualUNet, sampler: ClipSampler, **changes: object) -> TrajectoryObjective:
    student = student_of(teacher, "tokens", 2).double()
    return TrajectoryObjective(teacher, student, sampler, settings(**changes), BatchShape(3))


def jumping_to_the_teachers_step(made: TrajectoryObjective, monkeypatch: pytest.MonkeyPatch) -> TrajectoryObjective:
    monkeypatch.setattr(made, "_goals", lambda latest, step, micro: latest)
    return made


class Recorded(nn.Module):
    """The student, remembering what it was asked."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student, self.calls = student, []

    def forward(self, inputs: object, latents: Tensor, t: Tensor, **options: object) -> Tensor:
        self.calls.append({"latents": latents, "t": t, **options})
        return self.student(inputs, latents, t, **options)


def test_the_teachers_copy_has_no_loss_where_a_jump_ends_with_the_teachers_step(
    teacher: DualUNet, sampler: ClipSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = jumping_to_the_teachers_step(objective(teacher, sampler), monkeypatch)
    assert float(made.loss(made.module, 0, 0).total.detach()) < 1e-9
    assert float(objective(teacher, sampler).loss(made.module, 0, 0).total.detach()) > 1e-6


def test_the_guided_teachers_step_is_the_target_of_a_student_that_is_told_the_scales(
    teacher: DualUNet, sampler: ClipSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = jumping_to_the_teachers_step(objective(teacher, sampler, guidance="distill"), monkeypatch)
    recorded = Recorded(made.module)
    loss = float(made.loss(recorded, 0, 0).total.detach())
    found = made.solved.solved(0, 0, torch.device("cpu"), Clock())
    (call,) = recorded.calls
    assert torch.equal(call["scales"], torch.tensor([[1.5, 2.0]]).expand(3, 2))
    assert call["branch"] is None
    prediction = made.module(found.inputs, found.z_start, found.draws.t_start, scales=call["scales"])
    landing = jump(made.solved.path, found.z_start, prediction.float(), found.draws.t_start, found.draws.t_end)
    assert loss == pytest.approx(float((landing - found.z_end).square().mean().detach()), rel=1e-5)
    assert loss > 1e-7


def test_targets_come_from_the_average_and_carry_no_gradient(teacher: DualUNet, sampler: ClipSampler) -> None:
    made = objective(teacher, sampler)
    own = float(made.loss(made.module, 0, 0).total.detach())
    averages = {name: p.detach() + 0.05 for name, p in made.module.named_parameters() if p.requires_grad}
    for value in averages.values():
        value.requires_grad_(True)
    made.follow(lambda: averages)
    loss = made.loss(made.module, 0, 0)
    loss.total.backward()
    assert float(loss.total.detach()) != pytest.approx(own, rel=1e-3)
    assert all(value.grad is None for value in averages.values())
    assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in made.module.parameters())


def test_goals_lie_on_the_grid_between_data_and_the_teachers_step(teacher: DualUNet, sampler: ClipSampler) -> None:
    made = objective(teacher, sampler)
    latest = torch.tensor([0.95, 0.5, 0.0], dtype=torch.float64)
    goals = torch.stack([made._goals(latest, step, 0) for step in range(300)])
    assert torch.equal(goals * 1000, (goals * 1000).round())
    assert bool((goals <= latest).all())
    assert bool((goals[:, 2] == 0).all())
    torch.testing.assert_close(goals.mean(dim=0), latest / 2, rtol=0, atol=0.05)


def test_the_same_step_has_the_same_loss(teacher: DualUNet, sampler: ClipSampler) -> None:
    made = objective(teacher, sampler)
    assert torch.equal(made.loss(made.module, 5, 0).total, made.loss(made.module, 5, 0).total)
    assert not torch.equal(made.loss(made.module, 5, 0).total, made.loss(made.module, 6, 0).total)


@pytest.mark.parametrize("changes", [{"times": "uniform"}, {"solver_steps": 2}])
def test_points_within_a_step_are_refused(teacher: DualUNet, sampler: ClipSampler, changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="the teacher takes one step from each window's start"):
        objective(teacher, sampler, **changes)
