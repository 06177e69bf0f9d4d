"""Stacked students: seeds beside each other are what they are alone, and untrained guidance layers change nothing."""

from __future__ import annotations

import pytest
import torch

from fada.diffusion.paths import NoisePath
from fada.eval.exact_world.students import Asked, Students
from fada.student.guidance import GuidanceMode

PATH = NoisePath()


def asked(count: int) -> Asked:
    generator = torch.Generator().manual_seed(3)
    draw = torch.randint
    heard = torch.randn(count, generator=generator)
    return Asked(draw(4, (count,), generator=generator), heard, draw(3, (count,), generator=generator))


def points(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    times = torch.rand(count, dtype=torch.float64, generator=generator)
    return torch.randn(count, 3, generator=generator), times


@pytest.mark.parametrize("mode", ["none", "time_embed", "layer", "tokens"])
def test_a_seed_is_the_same_beside_others(mode: GuidanceMode) -> None:
    (z, t), scales = points(5), torch.tensor([[2.0, 6.5]]).expand(5, 2)
    alone = Students(PATH, mode, [7])
    beside = Students(PATH, mode, [3, 7])
    both = beside(z.repeat(2, 1), t.repeat(2), asked(5).repeat(2), scales.repeat(2, 1)).view(2, 5, 3)
    torch.testing.assert_close(both[1], alone(z, t, asked(5), scales), rtol=0, atol=1e-5)
    assert not torch.allclose(both[0], both[1])


@pytest.mark.parametrize("mode", ["time_embed", "layer", "tokens"])
def test_untrained_guidance_layers_leave_the_copy_as_it_is(mode: GuidanceMode) -> None:
    (z, t), scales = points(6), torch.tensor([[2.0, 6.5]]).expand(6, 2)
    copy = Students(PATH, "none", [0])
    told = Students(PATH, mode, [5]).start_from(copy.weights)
    torch.testing.assert_close(told(z, t, asked(6), scales), copy(z, t, asked(6)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["time_embed", "layer", "tokens"])
def test_scales_change_a_student_whose_layers_have_learned(mode: GuidanceMode) -> None:
    z, t = points(6)
    students = Students(PATH, mode, [5])
    for name, weight in students.weights.items():
        if not weight.any():
            torch.nn.init.normal_(weight.data, std=0.3, generator=torch.Generator().manual_seed(len(name)))
    first, second = (students(z, t, asked(6), torch.tensor([pair]).expand(6, 2)) for pair in ((1.0, 1.0), (2.0, 6.5)))
    assert not torch.allclose(first, second)


def test_a_branch_sees_only_what_it_knows() -> None:
    z, t = points(4)
    students, first = Students(PATH, "none", [0]), asked(4)
    other = Asked((first.person + 1) % 4, first.heard + 1.0, first.branch)
    assert torch.equal(students(z, t, first.at(0)), students(z, t, other.at(0)))
    louder = Asked(first.person, first.heard + 1.0, first.branch)
    assert torch.equal(students(z, t, first.at(1)), students(z, t, louder.at(1)))
    assert not torch.allclose(students(z, t, first.at(2)), students(z, t, louder.at(2)))
