"""The exact world's teacher against its own data: the best predictor there is, by regression and by sampling."""

from __future__ import annotations

import math

import pytest
import torch

from fada.diffusion.solvers import solve
from fada.eval.exact_world.world import (
    DIRECTIONS,
    LOUD,
    PLACES,
    ExactTeacher,
    Quality,
    World,
    draw_clips,
    mouth,
    sample_error,
)

WORLD = World()


def test_the_mouth_bends_beyond_a_half() -> None:
    heard = torch.tensor([-0.95, -0.5, 0.4, 0.65])
    torch.testing.assert_close(mouth(heard), torch.tensor([-0.65, -0.5, 0.4, 0.55]))


@pytest.mark.parametrize("quality", ["A", "B"])
@pytest.mark.parametrize("t", [0.9, 0.5, 0.2])
def test_no_other_predictor_is_nearer_to_the_noise(quality: Quality, t: float) -> None:
    """The error of the best predictor is orthogonal to everything that its branch knows, and to the branches below."""
    clips = draw_clips(WORLD, 60_000, quality, torch.Generator().manual_seed(1))
    noise = torch.randn(clips.latents.shape, generator=torch.Generator().manual_seed(2))
    times = torch.full((len(noise),), t, dtype=torch.float64)
    z = WORLD.path.add_noise(clips.latents, noise, times)
    unknown, person, both = ExactTeacher(WORLD, quality).branches(z, times, clips.person, clips.heard)
    place, said = PLACES[clips.person], (clips.heard[:, None] * DIRECTIONS[clips.person])
    knows = [(unknown, [z, z**3]), (person, [z, unknown, place]), (both, [z, person, place, said, mouth(said)])]
    for answer, probes in knows:
        error = noise - answer
        for probe in probes:
            products = (error[:, : probe.shape[1]] * probe).mean(0)
            bound = 4.5 * (error[:, : probe.shape[1]] * probe).std(0) / math.sqrt(len(noise))
            assert bool((products.abs() < bound).all())


@pytest.mark.parametrize("quality", ["A", "B"])
def test_each_condition_brings_the_prediction_nearer_to_the_noise(quality: Quality) -> None:
    clips = draw_clips(WORLD, 20_000, quality, torch.Generator().manual_seed(1))
    noise = torch.randn(clips.latents.shape, generator=torch.Generator().manual_seed(2))
    times = torch.full((len(noise),), 0.5, dtype=torch.float64)
    z = WORLD.path.add_noise(clips.latents, noise, times)
    branches = ExactTeacher(WORLD, quality).branches(z, times, clips.person, clips.heard)
    errors = [float((noise - each).square().mean()) for each in branches]
    assert errors[0] > 1.05 * errors[1] > 1.05 * errors[2]


def test_its_samples_without_guidance_are_distributed_as_its_clips() -> None:
    count = 20_000
    clips = draw_clips(WORLD, count, "A", torch.Generator().manual_seed(1))
    z = torch.randn(count, 3, generator=torch.Generator().manual_seed(2))
    ones = torch.ones(count, dtype=torch.float64)
    predict = ExactTeacher(WORLD).guided(clips.person, clips.heard, torch.ones(count, 2))
    found = solve(predict, WORLD.path, z, ones, 0 * ones, 100)
    torch.testing.assert_close(found.mean(0), clips.latents.mean(0), rtol=0, atol=0.03)
    torch.testing.assert_close(found.T.cov(), clips.latents.T.cov(), rtol=0, atol=0.06)


def test_guidance_makes_pictures_righter() -> None:
    count = 2_000
    clips = draw_clips(WORLD, count, "A", torch.Generator().manual_seed(1))
    z = torch.randn(count, 3, generator=torch.Generator().manual_seed(2))
    ones = torch.ones(count, dtype=torch.float64)
    errors = []
    for scales in ((1.0, 1.0), (2.5, 6.5)):
        predict = ExactTeacher(WORLD).guided(clips.person, clips.heard, torch.tensor(scales).expand(count, 2))
        found = solve(predict, WORLD.path, z, ones, 0 * ones, 25)
        errors.append(float(sample_error(WORLD, found, clips.person, clips.heard).clamp(max=1.0).mean()))
    assert errors[1] < 0.4 * errors[0]


def test_sets_have_the_shares_they_say() -> None:
    count = 40_000
    clips = draw_clips(WORLD, count, "B", torch.Generator().manual_seed(1))
    is_loud = (clips.heard[:, None] == LOUD).any(1)
    assert float(clips.is_flawed.float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float((is_loud & ~clips.is_flawed).float().mean()) == pytest.approx(0.3, abs=0.01)
    # What is left out of B's flawed clips is loud as often as the rest of B.
    assert float(is_loud[clips.is_flawed].float().mean()) == pytest.approx(3 / 7, abs=0.02)
    a_clips = draw_clips(WORLD, count, "A", torch.Generator().manual_seed(1))
    assert not bool(a_clips.is_flawed.any())


def test_a_right_picture_has_no_error_whichever_way_the_head_is_turned() -> None:
    person, heard = torch.tensor([0, 2]), torch.tensor([0.3, 0.8])
    head = torch.tensor([[1.0], [-1.0]])
    right = torch.cat([PLACES[person] + mouth(heard)[:, None] * DIRECTIONS[person], head], dim=1)
    torch.testing.assert_close(sample_error(WORLD, right, person, heard), torch.zeros(2))
    torch.testing.assert_close(sample_error(WORLD, right + 0.5, person, heard), torch.full((2,), 0.75))
