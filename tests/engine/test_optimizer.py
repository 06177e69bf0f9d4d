import pytest
import torch
from torch import nn

from fada.engine.optimizer import AveragingAdamW


def trained(decay: float, steps: int) -> tuple[nn.Linear, AveragingAdamW]:
    torch.manual_seed(0)
    module = nn.Linear(2, 1)
    optimizer = AveragingAdamW(module.parameters(), lr=0.1, weight_decay=0.01, decay=decay)
    for _ in range(steps):
        optimizer.zero_grad()
        module(torch.ones(1, 2)).square().sum().backward()
        optimizer.step()
    return module, optimizer


def test_weights_are_those_of_adamw() -> None:
    ours, _ = trained(0.9, 5)
    torch.manual_seed(0)
    plain = nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=0.1, weight_decay=0.01, fused=True)
    for _ in range(5):
        optimizer.zero_grad()
        plain(torch.ones(1, 2)).square().sum().backward()
        optimizer.step()
    assert torch.equal(ours.weight, plain.weight)


def test_the_average_follows_and_forgets_its_start() -> None:
    module, optimizer = trained(0.5, 1)
    state = optimizer.state[module.weight]
    assert torch.equal(state["average"], module.weight)
    optimizer.set_lr(0.0)
    module.weight.data += 1.0
    module.weight.grad.zero_()
    before = state["average"].clone()
    optimizer.step()
    # The second step's decay is (1 + 2) / (10 + 2), still below the one asked for.
    assert torch.allclose(state["average"], before + (1 - 0.25) * (module.weight - before))
    for _ in range(60):
        optimizer.step()
    assert torch.allclose(state["average"], module.weight, atol=1e-6)


def test_without_decay_no_average_is_kept() -> None:
    module, optimizer = trained(0.0, 2)
    assert set(optimizer.state[module.weight]) == {"step", "exp_avg", "exp_avg_sq"}
    assert optimizer.state_names == ("exp_avg", "exp_avg_sq")


def test_state_can_be_made_before_the_first_step() -> None:
    module, optimizer = trained(0.9, 0)
    optimizer.start()
    optimizer.set_count(7)
    assert set(optimizer.state[module.weight]) == {"step", "exp_avg", "exp_avg_sq", "average"}
    assert float(optimizer.state[module.weight]["step"]) == pytest.approx(7)
