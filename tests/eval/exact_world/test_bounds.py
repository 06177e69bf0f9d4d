"""Bounds without any network: perfect students by hand, and the strongest undistilled sampler of several networks."""

from __future__ import annotations

import torch

from fada.diffusion.guidance import combine
from fada.diffusion.solvers import Predict, solve
from fada.diffusion.windows import Windows
from fada.eval.exact_world.bounds import SPACINGS, WINDOW_COUNTS, best_undistilled, bounds_at, by_perfect_windows
from fada.eval.exact_world.measures import Questions, measure, scales_like
from fada.eval.exact_world.samplers import Undistilled, of_teacher
from fada.eval.exact_world.students import Asked
from fada.eval.exact_world.world import DIRECTIONS, PLACES, ExactTeacher, World, mouth

WORLD = World()
TEACHER = ExactTeacher(WORLD)


def test_a_perfect_balanced_student_combines_the_branches_true_ends_of_every_window() -> None:
    tests, scales = Questions.draw(WORLD, (3,), 5), (2.0, 4.0)
    rows, z = scales_like(scales, tests.noise), tests.noise
    person, heard = tests.asked.person, tests.asked.heard
    for start, end in ((1.0, 0.5), (0.5, 0.0)):
        bounds = [torch.full((len(z),), each).double() for each in (start, end)]
        alone = (TEACHER.at_branch(person, heard, torch.full_like(person, branch)) for branch in range(3))
        z = combine([solve(each, WORLD.path, z, *bounds, 7) for each in alone], rows)
    found = by_perfect_windows(WORLD, Windows(2), TEACHER, 7)(tests.asked, tests.noise, rows)
    torch.testing.assert_close(found, z, rtol=0, atol=1e-4)


def test_bounds_have_every_count_and_spacing_with_their_costs() -> None:
    tests = Questions.draw(WORLD, (3,), 3)
    found = bounds_at(WORLD, {"teacher": of_teacher(TEACHER)}, tests, tests, (2.0, 6.5))
    perfect = {(each.windows, each.spacing): each.cost for each in found if each.name == "perfect balanced"}
    assert perfect == {(1, "time"): 3} | {
        (count, spacing): 3 * count for count in WINDOW_COUNTS if count > 1 for spacing in SPACINGS
    }
    assert {each.name: each.cost for each in found if each.windows is None} == {
        "teacher": 75,
        **{
            f"undistilled {kind}, best in {measure}": int(kind.split()[1])
            for kind in ("guided 18", "guided 6", "conditional 6")
            for measure in ("error", "error_open")
        },
    }


def test_the_undistilled_search_looks_at_every_network() -> None:
    spare = Questions.draw(WORLD, (8,), 20)

    def perfect(call: object) -> object:
        """A network that knows the right picture."""

        def make(asked: Asked, scales: torch.Tensor) -> Predict:
            right = torch.cat([PLACES[asked.person], torch.ones(len(asked.person), 1)], dim=1)

            def predict(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
                signal, noise = (level.to(z)[:, None] for level in WORLD.path.signal_noise(t))
                return (z - signal * right) / noise

            return predict

        return make

    networks = {"teacher": of_teacher(TEACHER), "knows": perfect}
    best = best_undistilled(WORLD, networks, 2, "guided", (2.5, 6.5), ("error",), spare)["error"]  # type: ignore[arg-type]
    assert best.network == "knows"


def test_each_measure_has_the_undistilled_sampler_that_is_best_by_it() -> None:
    spare = Questions.draw(WORLD, (8,), 20)

    def off(quiet: float, loud: float) -> object:
        """Networks that know the right picture but for so much, at sounds as in A and at loud ones."""

        def make(asked: Asked, scales: torch.Tensor) -> Predict:
            person, half = asked.person, len(asked.person) // 2
            plane = PLACES[person] + mouth(asked.heard)[:, None] * DIRECTIONS[person]
            apart = torch.tensor([quiet] * half + [loud] * half)[:, None]
            right = torch.cat([plane, torch.ones(len(person), 1)], dim=1) + apart

            def predict(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
                signal, noise = (level.to(z)[:, None] for level in WORLD.path.signal_noise(t))
                return (z - signal * right) / noise

            return predict

        return lambda call: make

    networks = {"at quiet sounds": off(0.0, 0.6), "everywhere": off(0.1, 0.1)}
    best = best_undistilled(WORLD, networks, 2, "conditional", (2.5, 6.5), ("error", "error_open"), spare)  # type: ignore[arg-type]
    assert {measure: chosen.network for measure, chosen in best.items()} == {
        "error": "at quiet sounds", "error_open": "everywhere",
    }  # fmt: skip


def test_true_pictures_are_wrong_once_in_a_hundred_and_others_always() -> None:
    tests = Questions.draw(WORLD, (3,), 20_000)

    def true(asked: Asked, z: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        plane = PLACES[asked.person] + mouth(asked.heard)[:, None] * DIRECTIONS[asked.person]
        return torch.cat([plane, torch.ones(len(z), 1)], dim=1) + WORLD.spread * z

    found = measure(WORLD, tests, true, (2.5, 6.5), torch.zeros_like(tests.noise))
    assert abs(found["wrong_open"][0] - 0.01) < 0.002
    far = measure(WORLD, tests, lambda asked, z, scales: true(asked, z, scales) + 5.0, (2.5, 6.5), tests.noise)
    assert far["wrong"] == [1.0]


def test_undistilled_costs_count_branches() -> None:
    assert [Undistilled(6).cost, Undistilled(2).cost, Undistilled(6, "conditional").cost] == [18, 6, 6]
