import math

import pytest
import torch
from torch import Tensor, nn

from fada.data.sampling.dataset import BatchShape, ClipSampler, LatentClip
from fada.data.sampling.seeds import sample_generator
from fada.diffusion.matched import matched_points
from fada.student.copies import student_of
from fada.student.distillation import DistillObjective
from fada.student.mixed_loss import MixedLossConfig
from fada.student.solved_windows import DistillSettings
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.dual_unet.model import DualUNet


def settings(**changes: object) -> DistillSettings:
    values: dict[str, object] = {
        "guidance": "distill",
        "windows": 4,
        "times": "uniform",
        "solver": "ddim",
        "solver_steps": 1,
        "scales": ((1.0, 1.0), (1.0, 1.0)),
        "motion_drop": 0.3,
        "loss": MixedLossConfig(),
        "gt_guidance": "neutral",
        "seed": 0,
        **changes,
    }
    return DistillSettings(**values)


@pytest.fixture
def sampler() -> ClipSampler:
    generator = torch.Generator().manual_seed(3)
    clips = [
        LatentClip(
            f"clip-{i}",
            "AB"[i % 2],
            torch.randn(9, 4, 8, 8, generator=generator),
            torch.randn(9, 1, 12, generator=generator),
        )
        for i in range(4)
    ]
    return ClipSampler(clips, frames=3, motion_frames=2, context=2)


def objective(teacher: DualUNet, sampler: ClipSampler, batch: int = 3, **changes: object) -> DistillObjective:
    student = student_of(teacher, "tokens", 2).double()
    return DistillObjective(teacher, student, sampler, settings(**changes), BatchShape(batch))


class Recorded(nn.Module):
    """The student, remembering what it was asked."""

    def __init__(self, student: AvatarDenoiser) -> None:
        super().__init__()
        self.student, self.calls = student, []

    def forward(self, inputs: object, latents: Tensor, t: Tensor, **options: object) -> Tensor:
        self.calls.append({"latents": latents, "t": t, **options})
        return self.student(inputs, latents.double(), t, **options)


def test_copy_of_the_teacher_has_no_distillation_loss_where_one_solver_step_starts_a_window(
    teacher: DualUNet, sampler: ClipSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At t = t_start with n = 1 the target is the teacher's own prediction, up to float32 of the chain.
    made = objective(teacher, sampler, batch=1)
    monkeypatch.setattr(
        made.solved.windows.__class__, "draw_times", lambda self, n, g, T, d: torch.full((n,), 0.75).double()
    )
    loss = made.loss(made.module, step=0, micro=0)
    assert float(loss.scalars["loss_distill"]) < 1e-8
    assert float(loss.scalars["loss_ground_truth"]) > 1e-2


@pytest.mark.parametrize("scales", [((1.5, 3.0), (2.0, 8.0)), ((1.0, 3.0), (0.5, 6.0), (2.0, 2.0))])
def test_scales_are_drawn_in_the_order_of_the_branches_whatever_their_number(
    teacher: DualUNet, sampler: ClipSampler, scales: tuple[tuple[float, float], ...]
) -> None:
    solved = objective(teacher, sampler, scales=scales, seed=5).solved
    batch = sampler.batch(4, BatchShape(3))
    drawn = solved.draw(batch, [(4, 0), (4, 1), (4, 2)]).scales
    for row in range(3):
        # As they have always been drawn: after the time, the noise and the branch of the sample.
        generator = sample_generator(5, 4, row, "distill")
        solved.windows.draw_times(1, generator, solved.path.num_train_timesteps, torch.device("cpu"))
        torch.randn(batch.latents[0].shape, generator=generator)
        torch.randint(3, (), generator=generator)
        uniform = torch.rand(len(scales), generator=generator)
        expected = [low + share * (high - low) for (low, high), share in zip(scales, uniform, strict=True)]
        assert torch.equal(drawn[row], torch.stack(expected))


def test_one_student_pass_covers_both_branches(teacher: DualUNet, sampler: ClipSampler) -> None:
    made = objective(teacher, sampler, scales=((2.0, 4.0), (2.0, 9.0)))
    recorded = Recorded(made.module)
    made.loss(recorded, step=0, micro=0)
    (call,) = recorded.calls
    assert call["latents"].shape == (6, 3, 4, 8, 8)
    assert torch.equal(call["t"][:3], call["t"][3:])


def test_ground_truth_is_told_neutral_scales_and_the_teacher_branch_its_own(
    teacher: DualUNet, sampler: ClipSampler
) -> None:
    made = objective(teacher, sampler, scales=((2.0, 4.0), (2.0, 9.0)))
    recorded = Recorded(made.module)
    made.loss(recorded, step=0, micro=0)
    told, neutral = recorded.calls[0]["scales"].chunk(2)
    assert torch.equal(neutral, torch.ones(3, 2))
    assert bool(((told >= 2.0) & (told <= torch.tensor([4.0, 9.0]))).all())


def test_sampled_ground_truth_guidance_repeats_the_scales(teacher: DualUNet, sampler: ClipSampler) -> None:
    made = objective(teacher, sampler, scales=((1.0, 1.0), (2.0, 9.0)), gt_guidance="sampled")
    recorded = Recorded(made.module)
    made.loss(recorded, step=0, micro=0)
    told, repeated = recorded.calls[0]["scales"].chunk(2)
    assert torch.equal(told, repeated)


def test_balanced_student_sees_the_branches_of_its_teacher_and_no_scales(
    teacher: DualUNet, sampler: ClipSampler
) -> None:
    made = objective(teacher, sampler, guidance="sync")
    recorded = Recorded(made.module)
    made.loss(recorded, step=0, micro=0)
    call = recorded.calls[0]
    assert call["scales"] is None
    assert torch.equal(call["branch"][:3], call["branch"][3:])


def test_the_guided_teacher_runs_its_three_branches_in_one_pass_per_solver_step(
    teacher: DualUNet, sampler: ClipSampler
) -> None:
    made = objective(teacher, sampler, solver_steps=5, scales=((2.0, 4.0), (2.0, 9.0)))
    batches: list[int] = []
    handle = teacher.denoising_unet.register_forward_pre_hook(lambda module, args: batches.append(len(args[0])))
    made.loss(made.module, step=0, micro=0)
    handle.remove()
    assert batches == [9] * 5


def test_reference_net_runs_once_per_step_for_teacher_and_student(teacher: DualUNet, sampler: ClipSampler) -> None:
    made = objective(teacher, sampler, solver_steps=4)
    calls: list[int] = []
    teacher.reference_unet.register_forward_pre_hook(lambda module, args: calls.append(1))
    made.loss(made.module, step=0, micro=0)
    assert len(calls) == 1


def test_the_same_step_has_the_same_loss(teacher: DualUNet, sampler: ClipSampler) -> None:
    made = objective(teacher, sampler, solver_steps=2)
    assert torch.equal(made.loss(made.module, 5, 0).total, made.loss(made.module, 5, 0).total)
    assert not torch.equal(made.loss(made.module, 5, 0).total, made.loss(made.module, 6, 0).total)


def test_gradients_reach_the_guidance_tokens_but_not_the_shared_reference_net(
    teacher: DualUNet, sampler: ClipSampler
) -> None:
    made = objective(teacher, sampler, scales=((1.0, 1.0), (2.0, 9.0)))
    for layer in made.module.guidance_layers.layers:
        torch.nn.init.normal_(layer.attn.to_out[0].weight)
    made.loss(made.module, 0, 0).total.backward()
    assert made.module.guidance_layers.scale_tokens.tokens.grad.abs().sum() > 0
    assert all(p.grad is None for p in made.module.reference_unet.parameters())


def test_a_batch_covers_the_windows_evenly(teacher: DualUNet, sampler: ClipSampler) -> None:
    made = objective(teacher, sampler, batch=4)
    batch = sampler.batch(0, BatchShape(4))
    times = torch.stack([made.solved.draw(batch, [(step, sample) for sample in range(4)]).t for step in range(200)])
    starts = made.solved.windows.look_up(times)[0]
    assert torch.equal(starts, torch.tensor([0.25, 0.5, 0.75, 1.0], dtype=torch.float64).expand(200, 4))
    grid = times * 1000
    assert torch.equal(grid, grid.round())
    assert float(times.mean()) == pytest.approx(0.5, abs=0.01)


def test_times_may_be_the_starts_of_windows_alone(teacher: DualUNet, sampler: ClipSampler) -> None:
    made = objective(teacher, sampler, batch=6, windows=6, times="starts")
    draws = made.solved.draw(sampler.batch(0, BatchShape(6)), [(0, sample) for sample in range(6)])
    assert torch.equal(draws.t, draws.t_start)
    assert draws.t.tolist() == pytest.approx([(number + 1) / 6 for number in range(6)])


def test_matched_points_reach_the_student_scaled_and_at_the_time_of_equal_snr(
    teacher: DualUNet, sampler: ClipSampler
) -> None:
    plain, matched = (objective(teacher, sampler, matched=each) for each in (False, True))
    seen = []
    for made in (plain, matched):
        recorded = Recorded(made.module)
        made.loss(recorded, step=0, micro=0)
        seen.append(recorded.calls[0])
    t = seen[0]["t"]
    points = matched_points(teacher.path, t, *plain.solved.windows.look_up(t))
    torch.testing.assert_close(seen[1]["t"], points.t)
    scale = points.scale.view(-1, 1, 1, 1, 1).to(seen[0]["latents"])
    torch.testing.assert_close(seen[1]["latents"], seen[0]["latents"] / scale)
    assert bool((points.scale < 1).any())


def test_an_untrained_copy_has_a_smaller_ground_truth_loss_at_matched_points_of_one_datum(
    teacher: DualUNet, sampler: ClipSampler
) -> None:
    # A network that knows the datum: its answer at matched points is the target; as they are, the points mislead it.
    losses = []
    for is_matched in (False, True):
        made = objective(teacher, sampler, batch=8, matched=is_matched)
        clean = made.sampler.batch(0, BatchShape(8), 0).latents.repeat(2, 1, 1, 1, 1)

        def knows(inputs: object, z: Tensor, t: Tensor, clean: Tensor = clean, **options: object) -> Tensor:
            a, c = (level.view(-1, 1, 1, 1, 1) for level in teacher.path.signal_noise_between(t))
            noise = (z - a * clean) / c
            return noise if teacher.path.prediction_type == "epsilon" else a * noise - c * clean

        losses.append(float(made.loss(knows, step=0, micro=0).scalars["loss_ground_truth"]))  # type: ignore[arg-type]
    assert losses[1] < 1e-9
    assert losses[0] > 1e-3


@pytest.mark.parametrize("spacing", ["log_snr", "noise_share"])
def test_a_batch_covers_unequal_windows_evenly_too(teacher: DualUNet, sampler: ClipSampler, spacing: str) -> None:
    made = objective(teacher, sampler, batch=4, spacing=spacing)
    batch = sampler.batch(0, BatchShape(4))
    draws = [made.solved.draw(batch, [(step, sample) for sample in range(4)]) for step in range(50)]
    bounds = torch.tensor(made.solved.windows.bounds, dtype=torch.float64)
    assert all(torch.equal(each.t_start, bounds[1:]) and torch.equal(each.t_end, bounds[:-1]) for each in draws)
    grid = torch.stack([each.t for each in draws]) * 1000
    torch.testing.assert_close(grid, grid.round(), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("guidance", "weighting"), [("distill", "fixed"), ("sync", "fixed"), ("distill", "adaptive")])
def test_a_student_is_not_asked_about_data_that_cannot_count(
    teacher: DualUNet, sampler: ClipSampler, guidance: str, weighting: str
) -> None:
    found = []
    for base in (0.0, 1e-30):
        torch.manual_seed(0)
        changes: dict[str, object] = {"guidance": guidance, "loss": MixedLossConfig(weighting, base=base)}  # type: ignore[arg-type]
        made = objective(teacher, sampler, scales=((1.0, 1.0), (2.0, 9.0)), **changes)
        recorded = Recorded(made.module)  # type: ignore[arg-type]
        loss = made.loss(recorded, step=0, micro=0)
        loss.total.backward()
        gradient = made.module.denoising_unet.conv_in.weight.grad
        found.append((loss.total.detach(), loss.scalars["loss_distill"], gradient))
        assert [len(call["latents"]) for call in recorded.calls] == [3 if base == 0 else 6]
        assert math.isnan(float(loss.scalars["loss_ground_truth"])) == (base == 0)
    # A weight of 1e-30 is none, but asks: the same loss and gradient for twice the passes.
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=0)
    assert float(loss.scalars["weight_mean"]) < 1e-20
