"""Where the copy is taught: on the teacher's guided ways and on chords of data and noise."""

from __future__ import annotations

import torch

from fada.diffusion.solvers import solve
from fada.diffusion.windows import Windows
from fada.eval.exact_world.copying import WALK_STEPS, _Walkers, asked_for, chord_points
from fada.eval.exact_world.world import ExactTeacher, World, draw_clips

WORLD = World()


def test_walkers_go_the_teachers_guided_way_and_begin_again_at_the_end() -> None:
    walkers, teacher = _Walkers(WORLD, 40, torch.Generator().manual_seed(1)), ExactTeacher(WORLD)
    z, t, scales, asked = walkers.z, walkers.t, walkers.scales, walkers.asked
    predict = teacher.guided(asked.person, asked.heard, scales)
    walkers.step(predict(z, t))
    ahead = torch.round((t - 1.0 / WALK_STEPS).clamp(min=0.0) * 1000) / 1000
    goes_on = ahead > 0
    expected = solve(predict, WORLD.path, z, t, ahead, 1)
    torch.testing.assert_close(walkers.z[goes_on], expected[goes_on], rtol=0, atol=1e-5)
    assert torch.equal(walkers.t[goes_on], ahead[goes_on])
    for _ in range(2 * WALK_STEPS):
        walkers.step(torch.zeros_like(walkers.z))
        assert bool((walkers.t > 0).all())


def test_walkers_have_each_branch_alone_and_all_scales() -> None:
    scales = _Walkers(WORLD, 4000, torch.Generator().manual_seed(1)).scales
    for branch, share in (((0.0, 0.0), 0.1), ((1.0, 0.0), 0.1), ((1.0, 1.0), 0.2)):
        assert abs(float((scales == torch.tensor(branch)).all(1).float().mean()) - share) < 0.03
    assert float(scales[:, 0].max()) > 3.9
    assert float(scales[:, 1].max()) > 8.8


def test_chord_points_lie_between_the_windows_ends() -> None:
    points, times, person, heard = chord_points(WORLD, 80, torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    clips = draw_clips(WORLD, 80, "B", generator)
    noise = torch.randn(80, 3, generator=generator)
    # The second quarter has four windows.
    for index in range(20, 40):
        (start,), (end,) = Windows(4).look_up(times[index : index + 1])
        share = float((start - times[index]) / (start - end))
        first, last = (
            WORLD.path.add_noise(clips.latents[index : index + 1], noise[index : index + 1], each[None])[0]
            for each in (start, end)
        )
        torch.testing.assert_close(points[index], (1 - share) * first + share * last, rtol=0, atol=1e-5)
    assert torch.equal(person, clips.person)
    assert torch.equal(heard, clips.heard)


def test_half_of_the_sounds_are_of_any_loudness() -> None:
    _, heard = asked_for(WORLD, 20_000, torch.Generator().manual_seed(1))
    # |N(0, 0.3)| > 0.6 has 0.0455, a sound of any loudness 0.4.
    assert abs(float((heard.abs() > 0.6).float().mean()) - 0.5 * (0.0455 + 0.4)) < 0.01
