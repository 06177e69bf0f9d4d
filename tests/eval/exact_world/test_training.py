"""Training in the exact world: shared draws, seeds that do not depend on their neighbours, and losses that fall."""

from __future__ import annotations

import math

import pytest
import torch

from fada.diffusion.sampling import sample_student
from fada.diffusion.solvers import solve
from fada.diffusion.windows import Windows
from fada.eval.exact_world.bounds import best_undistilled, by_perfect_windows
from fada.eval.exact_world.copying import train_copy
from fada.eval.exact_world.courses import Course, Plan, Student, windows_of
from fada.eval.exact_world.measures import Questions, measure, scales_like
from fada.eval.exact_world.samplers import Undistilled, by_windows, of_students, of_teacher
from fada.eval.exact_world.students import Asked, Students
from fada.eval.exact_world.training import train
from fada.eval.exact_world.world import DIRECTIONS, PLACES, ExactTeacher, World, mouth
from fada.student.mixed_loss import MixedLossConfig

WORLD = World()
PLAN = Plan((0, 1), steps=4, batch=8, copy_steps=3, copy_batch=16)


def new_copy() -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in Students(WORLD.path, "none", [0]).weights.items()}


def test_a_seed_learns_the_same_whatever_seeds_stand_beside_it() -> None:
    rows = [Student("row", Course("B"), MixedLossConfig())]
    together = train(WORLD, Course("B"), rows, new_copy(), PLAN)["row"].students.weights
    alone = train(WORLD, Course("B"), rows, new_copy(), Plan((1,), steps=4, batch=8))["row"].students.weights
    for name, value in together.items():
        torch.testing.assert_close(value[1:], alone[name], rtol=0, atol=1e-5)
        assert not torch.equal(value[0], value[1]) or name.endswith("none")


def test_rows_of_a_course_do_not_disturb_each_other() -> None:
    rows = [Student("plain", Course("A")), Student("matched", Course("A"), is_matched=True)]
    both = train(WORLD, Course("A"), rows, new_copy(), PLAN)
    alone = train(WORLD, Course("A"), rows[1:], new_copy(), PLAN)
    for name, value in both["matched"].students.weights.items():
        assert torch.equal(value, alone["matched"].students.weights[name])
    assert not torch.equal(both["plain"].students.weights["leave.weight"], value)


def test_starting_at_window_starts_a_matched_student_is_the_plain_one() -> None:
    course = Course("A", windows=6, times="starts")
    rows = [Student("plain", course), Student("matched", course, is_matched=True)]
    found = train(WORLD, course, rows, new_copy(), PLAN)
    first, second = (found[name].students.weights["leave.weight"] for name in ("plain", "matched"))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-6)


def test_distilling_brings_students_nearer_to_their_teacher() -> None:
    course, plan = Course("A", windows=6, times="starts"), Plan((0, 1), steps=120, batch=32, lr=1e-2)
    students = train(WORLD, course, [Student("row", course)], new_copy(), plan)["row"].students
    untrained = Students(WORLD.path, "none", [0, 0]).start_from(new_copy())
    tests = Questions.draw(WORLD, (5, 6), 50)
    reference = Undistilled(25, "conditional").sample(WORLD, of_teacher(ExactTeacher(WORLD)))(
        tests.asked, tests.noise, scales_like((1.0, 1.0), tests.noise)
    )
    found = []
    for each in (students, untrained):
        sample = by_windows(WORLD, windows_of(WORLD, course, False), of_students(each)("conditional"))
        found.append(sum(measure(WORLD, tests, sample, (1.0, 1.0), reference)["distance"]))
    assert found[0] < 0.5 * found[1]


def test_trajectory_students_learn_from_their_own_average() -> None:
    course = Course("A", method="tcd", windows=10, times="starts", solver_steps=1)
    trained = train(WORLD, course, [Student("row", course)], new_copy(), PLAN)["row"]
    assert not torch.equal(trained.students.weights["leave.weight"][:1], new_copy()["leave.weight"])
    assert all(bool(torch.isfinite(value).all()) for value in trained.students.weights.values())
    assert math.isnan(trained.ratio_median)  # There is no ground truth in it.


def test_a_fixed_weight_is_seen_as_it_is_and_thresholds_are_counted() -> None:
    course = Course("B")
    rows = [
        Student("fixed", course, MixedLossConfig(weighting="fixed", base=0.7)),
        Student("dead", course, MixedLossConfig(peak=1e-9, dead=2e-9)),
    ]
    found = train(WORLD, course, rows, new_copy(), PLAN)
    assert (found["fixed"].weight_mean, found["fixed"].dead_share) == pytest.approx((0.7, 0.0))
    assert (found["dead"].weight_mean, found["dead"].dead_share) == pytest.approx((0.0, 1.0))


def test_the_copy_learns_the_teachers_answers() -> None:
    early, late = (train_copy(WORLD, steps, 64, 5e-3) for steps in (1, 150))
    z, t = torch.randn(400, 3, generator=torch.Generator().manual_seed(0)), torch.full((400,), 0.5).double()
    asked = Asked(torch.arange(400) % 4, torch.linspace(-0.5, 0.5, 400), torch.arange(400) % 3)
    target = ExactTeacher(WORLD).at_branch(asked.person, asked.heard, asked.branch)(z, t)
    errors = [
        float((Students(WORLD.path, "none", [0]).start_from(each)(z, t, asked) - target).detach().square().mean())
        for each in (early, late)
    ]
    assert errors[1] < 0.2 * errors[0]


def test_measures_of_right_pictures_are_zero_and_of_wrong_ones_are_counted_to_the_limit() -> None:
    tests = Questions.draw(WORLD, (3,), 20)

    def right(asked: Asked, z: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        plane = PLACES[asked.person] + mouth(asked.heard)[:, None] * DIRECTIONS[asked.person]
        return torch.cat([plane, torch.ones(len(z), 1)], dim=1)

    reference = right(tests.asked, tests.noise, tests.noise)
    found = measure(WORLD, tests, right, (2.5, 6.5), reference)
    assert all(value == pytest.approx([0.0], abs=1e-6) for value in found.values())
    far = measure(WORLD, tests, lambda asked, z, scales: right(asked, z, scales) + 50.0, (2.5, 6.5), reference)
    assert (far["error"], far["error_loud"], far["error_open"]) == ([1.0], [1.0], [1.0])


def test_a_test_set_of_a_seed_is_the_same_beside_others() -> None:
    both, alone = Questions.draw(WORLD, (4, 9), 10), Questions.draw(WORLD, (9,), 10)
    assert torch.equal(both.noise[20:], alone.noise)
    assert torch.equal(both.asked.heard[20:], alone.asked.heard)


def test_the_undistilled_search_takes_the_smallest_error() -> None:
    spare, teacher = Questions.draw(WORLD, (8,), 100), of_teacher(ExactTeacher(WORLD))
    best = best_undistilled(WORLD, {"teacher": teacher}, 6, "guided", (2.5, 6.5), ("error",), spare)["error"].way
    none = torch.zeros_like(spare.noise)
    plain = Undistilled(6)
    errors = [measure(WORLD, spare, way.sample(WORLD, teacher), (2.5, 6.5), none)["error"][0] for way in (best, plain)]
    assert errors[0] <= errors[1]
    assert (best.cost, Undistilled(6, "conditional").cost, Undistilled(2).cost) == (18, 6, 6)


def test_the_untrained_teacher_in_windows_is_ddim_where_windows_are_steps() -> None:
    tests = Questions.draw(WORLD, (2,), 30)
    scales, ones = scales_like((2.0, 4.0), tests.noise), torch.ones(60, dtype=torch.float64)
    predict = of_teacher(ExactTeacher(WORLD))("guided")(tests.asked, scales)
    stepped = sample_student(predict, WORLD.path, Windows(4), tests.noise, 4)
    solved = solve(predict, WORLD.path, tests.noise, ones, 0 * ones, 4)
    torch.testing.assert_close(stepped, solved, rtol=0, atol=1e-3)
    assert math.isfinite(float(stepped.abs().max()))


def test_a_perfect_student_without_guidance_goes_where_the_teacher_does() -> None:
    tests, teacher = Questions.draw(WORLD, (2,), 30), ExactTeacher(WORLD)
    ones, scales = torch.ones(60, dtype=torch.float64), scales_like((1.0, 1.0), tests.noise)
    found = by_perfect_windows(WORLD, Windows(4), teacher, 16)(tests.asked, tests.noise, scales)
    predict = of_teacher(teacher)("conditional")(tests.asked, scales)
    torch.testing.assert_close(found, solve(predict, WORLD.path, tests.noise, ones, 0 * ones, 64), rtol=0, atol=1e-3)
