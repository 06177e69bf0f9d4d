"""A distillation step in the Gaussian world: inputs, targets, losses, weights, scales, branches against closed forms.

What a step draws is read off what the networks were asked; everything that follows from it is computed here by hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from gaussian_formulas import Formulas, chord, combined, even_nodes, wide
from gaussian_model import Call, branch_means, calls_of, gaussian_student, gaussian_teacher
from torch import Tensor

from fada.data.sampling.dataset import Batch, BatchShape, ClipSampler, LatentClip
from fada.student.distillation import DistillObjective
from fada.student.mixed_loss import MixedLossConfig
from fada.student.solved_windows import DistillSettings

FORMS = [Formulas(form) for form in ("epsilon", "v_prediction", "flow_prediction")]
FRAMES, BATCH = 3, 6
REFERENCE_SCALES, AUDIO_SCALES = (1.5, 4.0), (5.0, 9.0)
PLAIN = MixedLossConfig(weighting="fixed", base=1.0)


def clips(length: int = 9) -> list[LatentClip]:
    generator = torch.Generator().manual_seed(3)
    return [
        LatentClip(
            f"clip-{number}",
            "AB"[number % 2],
            0.4 * number
            + torch.randn(length, 4, 8, 8, generator=generator)
            + torch.arange(length)[:, None, None, None],
            torch.randn(length, 1, 6, generator=generator),
        )
        for number in range(8)
    ]


def settings(**changes: Any) -> DistillSettings:
    values: dict[str, Any] = {
        "guidance": "distill",
        "windows": 4,
        "times": "uniform",
        "solver": "ddim",
        "solver_steps": 5,
        "scales": (REFERENCE_SCALES, AUDIO_SCALES),
        "motion_drop": 0.0,
        "loss": PLAIN,
        "gt_guidance": "neutral",
        "seed": 0,
        **changes,
    }
    return DistillSettings(**values)


@dataclass
class Step:
    """One step, and what is read off it: times (B,), the noise that was added, scales (B, 2) or branches (B,)."""

    formulas: Formulas
    batch: Batch
    teacher: list[Call]
    asked: Call
    loss: Any
    settings: DistillSettings

    @property
    def count(self) -> int:
        return len(self.batch.latents)

    @property
    def t(self) -> Tensor:
        """Of the student, by what it was told."""
        return self.asked.t[: self.count]

    @property
    def window(self) -> tuple[Tensor, Tensor]:
        # On the grid the timestep says the time up to its rounding.
        return self.formulas.window(torch.round(self.t * 1000) / 1000, self.settings.windows)

    @property
    def z_start(self) -> Tensor:
        return self.teacher[0].latents[: self.count].double()

    @property
    def noise(self) -> Tensor:
        return self.formulas.noise_in(self.z_start, self.batch.latents, self.window[0])

    @property
    def means_of_branches(self) -> Tensor:
        batch = self.batch
        return branch_means(batch.reference, batch.audio, batch.motion, batch.has_motion)

    @property
    def means(self) -> Tensor:
        """Of what the teacher aims at: combined by the scales, or at the branches."""
        if self.settings.guidance == "distill":
            assert self.asked.scales is not None
            return combined(self.means_of_branches, self.asked.scales[: self.count].double())
        branches = self.asked.branches[: self.count]
        return torch.stack([row[:, branch] for row, branch in zip(self.means_of_branches, branches, strict=True)])

    @property
    def z_end(self) -> Tensor:
        return self.formulas.ddim_end(self.z_start, self.nodes, self.means)

    @property
    def nodes(self) -> list[Tensor]:
        return even_nodes(*self.window, self.settings.solver_steps)

    @property
    def data_end(self) -> Tensor:
        return self.formulas.noised(self.batch.latents, self.noise, self.window[1])

    def errors(self) -> tuple[Tensor, Tensor]:
        """Squared errors (B,) on the teacher's chord and on the data's, by hand from points to predictions."""
        neutral = combined(self.means_of_branches, torch.ones(self.count, 2, dtype=torch.float64))
        own = neutral if self.settings.guidance == "distill" else self.means
        found = []
        for end, means in ((self.z_end, self.means), (self.data_end, own)):
            target = self.formulas.target(self.z_start, end, *self.window)
            point = chord(self.z_start, end, self.t, *self.window)
            found.append((self.formulas.perfect(point, self.t, means) - target).square().mean((1, 2, 3, 4)))
        return found[0], found[1]


def objective(formulas: Formulas, perfect: bool = False, shape: BatchShape | None = None, **changes: Any) -> Any:
    """An objective whose student copies the teacher, or is perfect in its windows."""
    chosen = settings(**changes)
    teacher = gaussian_teacher(formulas)
    student = gaussian_student(teacher, chosen.windows if perfect else None, is_told=chosen.guidance == "distill")
    sampler = ClipSampler(clips(), FRAMES, motion_frames=2, context=2)
    return DistillObjective(teacher, student, sampler, chosen, shape or BatchShape(BATCH))


def taken(made: Any, step: int = 0, micro: int = 0) -> Step:
    teacher, student = (calls_of(each) for each in (made.solved.teacher, made.module))
    teacher.clear(), student.clear()
    loss = made.loss(made.module, step, micro)
    (asked,) = student
    batch = made.sampler.batch(step, made.shape, micro)
    return Step(made.solved.teacher.denoising_unet.formulas, batch, list(teacher), asked, loss, made.settings)


def near(found: Tensor, expected: Tensor, within: float = 2e-5) -> None:
    """Up to the rounding of latents, which are float32."""
    torch.testing.assert_close(found.double(), expected.double(), rtol=within, atol=within)


def forms() -> Any:
    return pytest.mark.parametrize("formulas", FORMS, ids=lambda each: each.form)


@forms()
@pytest.mark.parametrize("windows", [4, 3, 1])
def test_the_teacher_walks_its_window_on_the_grid_and_the_last_node_is_the_windows_end(
    formulas: Formulas, windows: int
) -> None:
    found = taken(objective(formulas, windows=windows))
    start, end = found.window
    assert bool(((end < found.t - 1e-7) & (found.t <= start + 1e-7)).all())
    assert len(found.teacher) == 5
    for number, call in enumerate(found.teacher):
        expected = start + number * (end - start) / 5
        # A flow has no table to be rounded to: its first point stays where it is.
        is_exact = formulas.form == "flow_prediction" and number == 0
        near(call.t[:BATCH], expected if is_exact else torch.round(expected * 1000) / 1000, 1e-7)
    near(found.asked.latents[:BATCH], chord(found.z_start, found.z_end, found.t, start, end))


@forms()
@pytest.mark.parametrize("guidance", ["distill", "sync"])
def test_points_targets_and_both_losses_of_a_step(formulas: Formulas, guidance: str) -> None:
    found = taken(objective(formulas, guidance=guidance))
    assert len(found.asked.latents) == 2 * BATCH
    near(found.asked.t[BATCH:], found.t, 1e-9)
    near(found.asked.latents[:BATCH], chord(found.z_start, found.z_end, found.t, *found.window))
    # The data's chord has the same noise at both ends.
    near(found.asked.latents[BATCH:], chord(found.z_start, found.data_end, found.t, *found.window))
    distill, data = found.errors()
    assert float(found.loss.scalars["loss_distill"]) == pytest.approx(float(distill.mean()), rel=2e-4)
    assert float(found.loss.scalars["loss_ground_truth"]) == pytest.approx(float(data.mean()), rel=2e-4)
    assert float(found.loss.total.detach()) == pytest.approx(float((distill + data).mean()), rel=2e-4)
    assert float(distill.mean()) > 1e-4


@forms()
@pytest.mark.parametrize("guidance", ["distill", "sync"])
def test_a_perfect_student_has_the_loss_of_the_teachers_solver_alone(formulas: Formulas, guidance: str) -> None:
    found = taken(objective(formulas, perfect=True, guidance=guidance, solver_steps=200))
    copy = taken(objective(formulas, guidance=guidance, solver_steps=200))
    assert float(found.loss.scalars["loss_distill"]) < 2e-3 * float(copy.loss.scalars["loss_distill"])


@forms()
def test_in_endpoint_space_both_losses_are_errors_of_the_windows_end(formulas: Formulas) -> None:
    found = taken(objective(formulas, loss=MixedLossConfig(weighting="fixed", base=0.5, loss_space="endpoint")))
    gain = formulas.line(*found.window)[1].square()
    distill, data = (error * gain for error in found.errors())
    assert float(found.loss.scalars["loss_distill"]) == pytest.approx(float(distill.mean()), rel=5e-4)
    assert float(found.loss.scalars["loss_ground_truth"]) == pytest.approx(float(data.mean()), rel=5e-4)
    assert float(found.loss.total.detach()) == pytest.approx(float((distill + 0.5 * data).mean()), rel=5e-4)


def test_each_sample_is_weighed_by_its_own_ratio_and_no_gradient_passes_through_the_weight() -> None:
    config = MixedLossConfig(weighting="adaptive", slope=0.5, base=0.3, peak=4.0, dead=40.0)
    made = objective(FORMS[0], loss=config)
    for step in range(6):
        found = taken(made, step)
        distill, data = found.errors()
        ratio = data / distill
        weight = torch.where(ratio < 4, 0.3 * ratio.sqrt(), 0.3 * 2 * (40 - ratio) / 36)
        weight = torch.where(ratio < 40, weight, 0.0)
        assert float(found.loss.total.detach()) == pytest.approx(float((distill + weight * data).mean()), rel=5e-4)
        assert float(found.loss.scalars["weight_mean"]) == pytest.approx(float(weight.mean()), rel=5e-4, abs=1e-6)
        made.module.zero_grad()
        found.loss.total.backward()
        # d/dg of mean((g p - y)^2) at g = 1 is 2 mean(p (p - y)).
        slopes = []
        neutral = combined(found.means_of_branches, torch.ones(BATCH, 2).double())
        for end, means in ((found.z_end, found.means), (found.data_end, neutral)):
            target = FORMS[0].target(found.z_start, end, *found.window)
            answer = FORMS[0].perfect(chord(found.z_start, end, found.t, *found.window), found.t, means)
            slopes.append(2 * (answer * (answer - target)).mean((1, 2, 3, 4)))
        expected = float((slopes[0] + weight * slopes[1]).mean())
        assert float(made.module.denoising_unet.gain.grad) == pytest.approx(expected, rel=2e-3, abs=1e-5)


def test_a_fast_student_is_told_the_scales_that_its_teacher_is_combined_with_reference_before_audio() -> None:
    made = objective(FORMS[1])
    scales = torch.cat([taken(made, step).asked.scales[:BATCH] for step in range(8)])
    for column, (low, high) in enumerate((REFERENCE_SCALES, AUDIO_SCALES)):
        assert float(scales[:, column].min()) >= low
        assert float(scales[:, column].max()) <= high
        # Uniform: 48 draws reach far into both ends.
        assert float(scales[:, column].max() - scales[:, column].min()) > 0.8 * (high - low)
        assert len(scales[:, column].unique()) == len(scales)


def test_the_guided_teacher_asks_three_branches_of_every_clip_in_one_pass() -> None:
    found = taken(objective(FORMS[0]))
    for call in found.teacher:
        assert call.branches == [0] * BATCH + [1] * BATCH + [2] * BATCH
        assert call.clips == list(range(BATCH)) * 3
        rows = call.latents.view(3, BATCH, FRAMES, 4, 8, 8)
        assert torch.equal(rows[0], rows[1])
        assert torch.equal(rows[0], rows[2])
    assert found.asked.branches == [2] * (2 * BATCH)
    assert found.asked.clips == list(range(BATCH)) * 2


@pytest.mark.parametrize(("gt_guidance", "is_neutral"), [("neutral", True), ("sampled", False)])
def test_the_data_branch_is_told_neutral_scales_unless_sampled_ones_are_asked(
    gt_guidance: str, is_neutral: bool
) -> None:
    found = taken(objective(FORMS[0], gt_guidance=gt_guidance))
    assert found.asked.scales is not None
    told, data = found.asked.scales.chunk(2)
    assert torch.equal(data, torch.ones(BATCH, 2)) is is_neutral
    assert torch.equal(data, told) is not is_neutral


def test_a_balanced_student_has_its_teachers_branches_on_both_chords_and_all_branches_come() -> None:
    made = objective(FORMS[0], guidance="sync")
    seen: set[int] = set()
    for step in range(4):
        found = taken(made, step)
        assert found.asked.scales is None
        for call in found.teacher:
            assert call.branches == found.asked.branches[:BATCH]
            assert call.clips == list(range(BATCH))
        assert found.asked.branches[:BATCH] == found.asked.branches[BATCH:]
        seen |= set(found.asked.branches)
    assert seen == {0, 1, 2}


def test_every_sample_and_step_has_its_own_standard_noise_and_a_step_always_the_same() -> None:
    made = objective(FORMS[0], guidance="sync")
    noises = torch.cat([taken(made, step).noise for step in range(4)])
    assert float(noises.mean()) == pytest.approx(0.0, abs=0.02)
    assert float(noises.std()) == pytest.approx(1.0, abs=0.02)
    flat = noises.flatten(1)
    alike = (flat @ flat.T / flat.shape[1]).fill_diagonal_(0).abs().max()
    assert float(alike) < 0.2
    near(taken(made, 3).noise, noises[-BATCH:])


def test_processes_and_micro_batches_divide_the_samples_of_one_big_batch() -> None:
    whole = taken(objective(FORMS[0], guidance="sync", shape=BatchShape(8)), 2)
    parts = []
    for micro in range(2):
        for rank in range(2):
            shape = BatchShape(2, rank, world=2, accumulate=2)
            parts.append(taken(objective(FORMS[0], guidance="sync", shape=shape), 2, micro))
    near(torch.cat([part.batch.latents for part in parts]), whole.batch.latents)
    near(torch.cat([part.noise for part in parts]), whole.noise, 1e-3)


def test_samples_of_a_batch_sit_in_windows_of_their_own() -> None:
    made = objective(FORMS[0], shape=BatchShape(8))
    starts = taken(made).window[0]
    assert sorted(starts.tolist()) == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1.0, 1.0]


def test_times_at_window_starts_put_students_on_the_noise_path_itself() -> None:
    found = taken(objective(FORMS[2], times="starts"))
    near(found.t, found.window[0], 1e-7)
    near(found.asked.latents[:BATCH], found.z_start)
    near(found.asked.latents[BATCH:], found.z_start)


def test_one_solver_step_gives_the_teachers_copy_no_loss_at_window_starts() -> None:
    for formulas in FORMS:
        found = taken(objective(formulas, times="starts", solver_steps=1))
        assert float(found.loss.scalars["loss_distill"]) < 1e-6


def test_motion_frames_are_dropped_at_the_asked_rate_for_teacher_and_student_alike() -> None:
    made = objective(FORMS[0], guidance="sync", motion_drop=0.4, shape=BatchShape(8), solver_steps=1)
    had, kept = 0, 0
    for step in range(60):
        for model in (made.solved.teacher, made.module):
            model.denoising_unet.told_motion.clear()
        batch = taken(made, step).batch
        (motion, told), (_, student_told) = (
            model.denoising_unet.told_motion[-1] for model in (made.solved.teacher, made.module)
        )
        assert torch.equal(told, student_told)
        assert torch.equal(motion.float(), batch.motion)
        assert not bool((told & ~batch.has_motion).any())
        had, kept = had + int(batch.has_motion.sum()), kept + int(told.sum())
    assert had > 200
    assert kept / had == pytest.approx(0.6, abs=4 * math.sqrt(0.24 / had))


@pytest.mark.parametrize("drop", [0.0, 1.0])
def test_motion_frames_may_always_or_never_be_dropped(drop: float) -> None:
    made = objective(FORMS[0], guidance="sync", motion_drop=drop, solver_steps=1)
    for step in range(8):
        made.module.denoising_unet.told_motion.clear()
        batch = taken(made, step).batch
        told = made.module.denoising_unet.told_motion[-1][1]
        assert torch.equal(told, batch.has_motion if drop == 0 else torch.zeros_like(told))


def test_motion_frames_are_the_frames_before_and_the_portrait_is_another_moment_of_the_clip() -> None:
    sampler = ClipSampler(clips(), FRAMES, motion_frames=2, context=2)
    latents = {clip.key: clip.latents for clip in sampler.clips}
    own_first = 0
    for step in range(30):
        batch = sampler.batch(step, BatchShape(BATCH))
        for row, key in enumerate(batch.keys):
            places = (latents[key] == batch.latents[row, :1]).flatten(1).all(1).nonzero()
            start = int(places[0])
            assert torch.equal(batch.latents[row], latents[key][start : start + FRAMES])
            assert bool(batch.has_motion[row]) == (start >= 2)
            before = latents[key][start - 2 : start] if start >= 2 else torch.zeros(2, 4, 8, 8)
            assert torch.equal(batch.motion[row], before)
            place = int((latents[key] == batch.reference[row]).flatten(1).all(1).nonzero()[0])
            own_first += place == start
    # A moment of nine, drawn apart from the start: its own first frame in one of nine.
    assert own_first / (30 * BATCH) == pytest.approx(1 / 9, abs=0.09)


@pytest.mark.parametrize("guidance", ["distill", "sync"])
def test_matched_points_are_the_chords_divided_and_at_the_time_of_their_ratio(guidance: str) -> None:
    formulas = FORMS[1]
    plain, found = (taken(objective(formulas, guidance=guidance, matched=each)) for each in (False, True))
    t, (start, end) = plain.t, plain.window
    share = (t - start) / (end - start)
    (a, c), (a_end, c_end) = formulas.levels(start), formulas.levels(end)
    signal, noise = (1 - share) * a + share * a_end, (1 - share) * c + share * c_end
    scale = (signal**2 + noise**2).sqrt()
    near(found.t, formulas.time_of(signal, noise), 1e-6)
    near(found.asked.latents[:BATCH], plain.asked.latents[:BATCH] / wide(scale))
    near(found.asked.latents[BATCH:], plain.asked.latents[BATCH:] / wide(scale))
    # Its answer says data and noise there; the window's prediction is the line through them.
    signal, noise = signal / scale, noise / scale
    errors = []
    for half, z_end in enumerate((plain.z_end, plain.data_end)):
        z = found.asked.latents[half * BATCH : (half + 1) * BATCH].double()
        answer = formulas.perfect(z, found.t, found.asked.means[half * BATCH : (half + 1) * BATCH])
        clean, eps = wide(signal) * z - wide(noise) * answer, wide(noise) * z + wide(signal) * answer
        prediction = wide(a) * eps - wide(c) * clean
        target = formulas.target(plain.z_start, z_end, start, end)
        errors.append((prediction - target).square().mean())
    assert float(found.loss.scalars["loss_distill"]) == pytest.approx(float(errors[0]), rel=1e-3)
    assert float(found.loss.scalars["loss_ground_truth"]) == pytest.approx(float(errors[1]), rel=1e-3)


def test_solver_nodes_at_equal_noise_share_lie_where_the_share_is_reached() -> None:
    formulas = FORMS[0]
    found = taken(objective(formulas, solver_spacing="noise_share", guidance="sync"))
    grid = torch.arange(1, 1001).double() / 1000
    a, c = formulas.levels(grid)
    clock = c / (a + c)
    for row in range(BATCH):
        start, end = (float(each[row]) for each in found.window)
        first, last = (float(clock[max(round(1000 * at), 1) - 1]) for at in (start, end))
        wanted = [first + number / 5 * (last - first) for number in range(1, 5)]
        expected = [start, *(float(grid[clock <= share + 1e-12].max()) for share in wanted)]
        assert [float(call.t[row]) for call in found.teacher] == pytest.approx(expected, abs=1e-6)
    nodes = [torch.round(call.t * 1000) / 1000 for call in found.teacher]
    near(
        found.asked.latents[:BATCH],
        chord(
            found.z_start,
            formulas.ddim_end(found.z_start, [*nodes, found.window[1]], found.means),
            found.t,
            *found.window,
        ),
    )


@forms()
def test_second_order_window_ends(formulas: Formulas) -> None:
    found = taken(objective(formulas, solver="dpmpp_2m", solver_steps=4))
    end = formulas.second_order_end(found.z_start, found.nodes, found.means)
    near(found.asked.latents[:BATCH], chord(found.z_start, end, found.t, *found.window), 1e-4)


def test_the_grid_of_the_form_is_the_one_that_is_recorded() -> None:
    # Of vectors/method.json, made with NumPy elsewhere: the formulas here are no reading of fada's.
    table = Formulas("epsilon").table()
    for index, value in ((0, 0.99915), (249, 0.6754324137251241), (499, 0.27766965045646763), (999, 0.0046600985)):
        assert table[index + 1] == pytest.approx(value, rel=1e-7)
    assert np.isclose(Formulas("v_prediction").table()[-1], 0.0)
