"""A step of a teacher's training in the Gaussian world: input, target, weights, dropped conditions, what is frozen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from gaussian_formulas import Formulas, wide
from gaussian_model import Call, branch_means, calls_of, gaussian_teacher
from test_gaussian_distillation import FORMS, clips, near
from torch import Tensor

from fada.data.sampling.dataset import Batch, BatchShape, ClipSampler
from fada.teacher.pretrain import DropRates, PretrainObjective

EVERYTHING = ("reference", "spatial", "audio", "temporal")
KEPT = DropRates({"reference": 0.0, "audio": 0.0}, 0.0)


def objective(formulas: Formulas, drop: DropRates = KEPT, batch: int = 8, **options: Any) -> PretrainObjective:
    teacher = gaussian_teacher(formulas)
    teacher.denoising_unet.gain.data.fill_(0.8)
    sampler = ClipSampler(clips(), 3, motion_frames=2, context=2)
    trains = options.pop("trains", EVERYTHING)
    return PretrainObjective(teacher, sampler, BatchShape(batch), trains, drop, 0, **options)


def taken(made: PretrainObjective, step: int) -> tuple[Any, Call, Batch]:
    calls_of(made.module).clear()
    made.module.denoising_unet.told_motion.clear()
    loss = made.loss(made.module, step, 0)
    (call,) = calls_of(made.module)
    return loss, call, made.sampler.batch(step, made.shape)


def errors(formulas: Formulas, call: Call, batch: Batch, means: Tensor) -> tuple[Tensor, Tensor]:
    """Squared errors (B,), and the noise that was added."""
    noise = formulas.noise_in(call.latents, batch.latents, call.t)
    a, c = map(wide, formulas.levels(call.t))
    target = {
        "epsilon": noise,
        "v_prediction": a * noise - c * batch.latents,
        "flow_prediction": noise - batch.latents,
    }[formulas.form]
    answer = 0.8 * formulas.perfect(call.latents, call.t, means)
    return (answer - target).square().mean((1, 2, 3, 4)), noise


@pytest.mark.parametrize("formulas", FORMS, ids=lambda each: each.form)
def test_the_input_is_noised_data_and_the_target_that_of_the_form(formulas: Formulas) -> None:
    made = objective(formulas)
    for step in range(3):
        loss, call, batch = taken(made, step)
        near(call.t * 1000, torch.round(call.t * 1000), 1e-4)
        means = branch_means(batch.reference, batch.audio, batch.motion, batch.has_motion)[..., 2]
        found, noise = errors(formulas, call, batch, means)
        assert float(loss.total.detach()) == pytest.approx(float(found.mean()), rel=1e-3)
        assert float(noise.std()) == pytest.approx(1.0, abs=0.05)
        assert call.use_temporal
        assert call.branches == [2] * 8


def test_times_are_uniform_and_every_sample_has_its_own_noise() -> None:
    made = objective(FORMS[0])
    times, noises = [], []
    for step in range(40):
        _, call, batch = taken(made, step)
        times.append(call.t)
        noises.append(FORMS[0].noise_in(call.latents, batch.latents, call.t).flatten(1))
    t = torch.cat(times)
    assert float(t.mean()) == pytest.approx(0.5005, abs=0.06)
    assert float(t.std()) == pytest.approx(0.2887, abs=0.03)
    assert float(t.min()) > 0.0005
    flat = torch.cat(noises[:3])
    assert float((flat @ flat.T / flat.shape[1]).fill_diagonal_(0).abs().max()) < 0.2


def test_conditions_are_dropped_at_the_asked_rates() -> None:
    made = objective(FORMS[0], DropRates({"reference": 0.2, "audio": 0.3}, 0.4))
    branches: Counter[int] = Counter()
    had, kept = 0, 0
    for step in range(120):
        loss, call, batch = taken(made, step)
        branches.update(call.branches)
        (_, told) = made.module.denoising_unet.told_motion[-1]
        assert not bool((told & ~batch.has_motion).any())
        had, kept = had + int(batch.has_motion.sum()), kept + int(told.sum())
        means_of_branches = branch_means(batch.reference, batch.audio, batch.motion, told)
        means = torch.stack([row[:, branch] for row, branch in zip(means_of_branches, call.branches, strict=True)])
        found, _ = errors(FORMS[0], call, batch, means)
        for number, name in enumerate(("nothing", "reference", "audio")):
            chosen = found[torch.tensor(call.branches) == number]
            if len(chosen):
                assert float(loss.scalars[f"loss_{name}"]) == pytest.approx(float(chosen.mean()), rel=1e-3)
    total = sum(branches.values())
    assert total == 960
    for branch, share in ((0, 0.2), (1, 0.3), (2, 0.5)):
        assert branches[branch] / total == pytest.approx(share, abs=0.05)
    assert kept / had == pytest.approx(0.6, abs=0.07)


@pytest.mark.parametrize("formulas", FORMS[:2], ids=lambda each: each.form)
def test_min_snr_weights_are_those_of_the_paper(formulas: Formulas) -> None:
    made = objective(formulas, min_snr_gamma=5.0)
    least = 1.0
    for step in range(8):
        loss, call, batch = taken(made, step)
        means = branch_means(batch.reference, batch.audio, batch.motion, batch.has_motion)[..., 2]
        found, _ = errors(formulas, call, batch, means)
        a, c = formulas.levels(torch.round(call.t * 1000) / 1000)
        snr = (a / c) ** 2
        weight = snr.clamp(max=5) / (snr if formulas.form == "epsilon" else snr + 1)
        assert float(loss.total.detach()) == pytest.approx(float((weight * found).mean()), rel=1e-3)
        least = min(least, float(weight.min()))
    assert least < 0.5


def test_images_are_learned_without_time_and_motion_frames_and_sound_where_it_is_not_trained() -> None:
    made = objective(FORMS[0], is_image_stage=True, trains=("reference", "spatial"))
    _, call, _ = taken(made, 0)
    assert not call.use_temporal
    assert call.branches == [1] * 8
    assert made.module.denoising_unet.told_motion == [(None, None)]


@pytest.mark.parametrize("trains", [("reference", "spatial"), ("audio", "temporal"), ("temporal",)])
def test_only_the_parts_that_are_named_learn(trains: tuple[str, ...]) -> None:
    made = objective(FORMS[0], trains=trains)
    model = made.module
    for name in EVERYTHING:
        assert {p.requires_grad for p in model.part(name)} == {name in trains}
    assert any(p.requires_grad for p in model.parameters())
    assert not all(p.requires_grad for p in model.parameters())
