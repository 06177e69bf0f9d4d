"""The stacked evaluation is the module's, net by net."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call

from fada.diffusion.paths import NoisePath
from fada.eval.exact_world.students import CLOCK, SINUSOID, Asked, Students, clock_of, features_of
from fada.student.guidance import GuidanceMode


@pytest.mark.parametrize("is_copy", [False, True])
@pytest.mark.parametrize("path", [NoisePath(), NoisePath(prediction_type="v_prediction")])
@pytest.mark.parametrize("mode", ["none", "time_embed", "layer", "tokens"])
def test_stacked_nets_answer_as_their_modules_do(mode: GuidanceMode, path: NoisePath, is_copy: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    students, nets, count = Students(path, mode, [4, 8, 9], is_copy), 3, 7
    for weight in students.weights.values():
        weight.data += 0.2 * torch.randn(weight.shape, generator=generator)
    z, t = torch.randn(nets * count, 3, generator=generator), torch.rand(nets * count, generator=generator).double()
    person, branch = (torch.randint(high, (nets * count,), generator=generator) for high in (4, 3))
    asked = Asked(person, torch.randn(nets * count, generator=generator), branch)
    scales = 1.0 + 5.0 * torch.rand(nets * count, 2, generator=generator)
    found = students(z, t, asked, scales).view(nets, count, 3)
    features = features_of(path, t, asked).view(nets, count, -1)
    for net in range(nets):
        own = {name: value[net] for name, value in students.weights.items()}
        rows = slice(net * count, (net + 1) * count)
        inputs = (z[rows], features[net], None if mode == "none" else scales[rows])
        torch.testing.assert_close(found[net], functional_call(students.module, own, inputs), rtol=0, atol=1e-4)


@pytest.mark.parametrize("mode", ["none", "time_embed", "layer", "tokens"])
def test_an_untrained_student_is_the_copy_that_it_starts_from(mode: GuidanceMode) -> None:
    generator, path = torch.Generator().manual_seed(2), NoisePath()
    copy = Students(path, "none", [3], is_copy=True)
    student = Students(path, mode, [8]).start_from(copy.weights)
    z, t = torch.randn(9, 3, generator=generator), torch.rand(9, generator=generator).double()
    asked = Asked(torch.arange(9) % 4, torch.randn(9, generator=generator), torch.arange(9) % 3)
    scales = torch.tensor([[2.0, 6.5]]).expand(9, 2)
    torch.testing.assert_close(student(z, t, asked, scales), copy(z, t, asked), rtol=0, atol=1e-6)


def test_the_clock_tells_a_windows_start_from_the_end_before() -> None:
    path, ticks = NoisePath(), slice(SINUSOID, CLOCK)
    # Half the way: with 24 ticks the start of the window below has 11 of them ahead, a timestep more has 12.
    found = clock_of(path, torch.tensor([0.5, 0.501, 1 / 3, 1 / 3 + 0.001, 1.0], dtype=torch.float64))[:, ticks]
    assert found.sum(1).tolist() == [11, 12, 7, 8, 23]


def test_a_velocity_student_says_the_same_picture() -> None:
    plain, velocity = NoisePath(), NoisePath(prediction_type="v_prediction")
    first = Students(plain, "none", [3])
    second = Students(velocity, "none", [3])
    z, t = torch.randn(6, 3, generator=torch.Generator().manual_seed(1)), torch.linspace(0.1, 1.0, 6).double()
    asked = Asked(torch.arange(6) % 4, torch.zeros(6), torch.arange(6) % 3)
    clean = [path.to_clean_and_noise(each(z, t, asked), z, t)[0] for path, each in ((plain, first), (velocity, second))]
    torch.testing.assert_close(*clean, rtol=0, atol=1e-4)
