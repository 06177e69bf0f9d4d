"""The stacked evaluation is the module's, net by net."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call

from fada.diffusion.paths import NoisePath
from fada.eval.exact_world.students import Asked, Students, features_of
from fada.student.guidance import GuidanceMode

PATH = NoisePath()


@pytest.mark.parametrize("mode", ["none", "time_embed", "layer", "tokens"])
def test_stacked_nets_answer_as_their_modules_do(mode: GuidanceMode) -> None:
    generator = torch.Generator().manual_seed(1)
    students, nets, count = Students(PATH, mode, [4, 8, 9]), 3, 7
    for weight in students.weights.values():
        weight.data += 0.2 * torch.randn(weight.shape, generator=generator)
    z, t = torch.randn(nets * count, 3, generator=generator), torch.rand(nets * count, generator=generator).double()
    person, branch = (torch.randint(high, (nets * count,), generator=generator) for high in (4, 3))
    asked = Asked(person, torch.randn(nets * count, generator=generator), branch)
    scales = 1.0 + 5.0 * torch.rand(nets * count, 2, generator=generator)
    found = students(z, t, asked, scales).view(nets, count, 3)
    features = features_of(PATH, t, asked).view(nets, count, -1)
    for net in range(nets):
        own = {name: value[net] for name, value in students.weights.items()}
        rows = slice(net * count, (net + 1) * count)
        inputs = (z[rows], features[net], None if mode == "none" else scales[rows])
        torch.testing.assert_close(found[net], functional_call(students.module, own, inputs), rtol=0, atol=1e-4)
