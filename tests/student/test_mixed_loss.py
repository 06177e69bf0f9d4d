"""The mixed loss against recorded numbers and by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fada.student.mixed_loss import (
    MixedLossConfig,
    NonFiniteLoss,
    adaptive_weight,
    distillation_loss,
    mixed_loss,
)

VECTORS = Path(__file__).parents[1] / "diffusion" / "vectors" / "method.json"


def losses(distill: list[float], ground_truth: list[float], config: MixedLossConfig, eta: Any = None) -> Any:
    """The mixed loss of samples whose squared errors are given."""
    first, second = (torch.tensor(values, dtype=torch.float64).sqrt() for values in (distill, ground_truth))
    first, second = (values[:, None, None].expand(-1, 2, 3) for values in (first, second))
    zeros, keys = torch.zeros_like(first), [f"clip{index}" for index in range(len(distill))]
    return mixed_loss(first, zeros, second, zeros, config, eta, keys)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_adaptive_weights_equal_recorded_numbers() -> None:
    for row in json.loads(VECTORS.read_text())["weight"]:
        weight = adaptive_weight(column(row["R"]), MixedLossConfig(slope=row["s"]))
        assert weight.item() == pytest.approx(row["W"], abs=1e-12)


def test_unlimited_weight_rises_beyond_peak_and_dead() -> None:
    weight = adaptive_weight(column(16.0, 30.0, 1e6), MixedLossConfig("adaptive_unlimited"))
    torch.testing.assert_close(weight, 0.2 * column(16.0, 30.0, 1e6) ** 0.25)


@pytest.mark.parametrize("base", [0.0, 0.2, 1.0])
def test_fixed_weight_is_the_base_at_every_ratio(base: float) -> None:
    weight = adaptive_weight(column(0.0, 16.0, 1e6, float("inf")), MixedLossConfig("fixed", base=base))
    assert weight.tolist() == [base] * 4


@pytest.mark.parametrize("weighting", ["adaptive", "adaptive_unlimited"])
def test_nothing_left_to_distill_gives_weight_zero(weighting: Any) -> None:
    loss = losses([0.0, 0.0], [1.0, 0.0], MixedLossConfig(weighting))
    assert loss.weight.tolist() == [0.0, 0.0]
    assert loss.ratio.tolist() == [float("inf"), 0.0]
    assert loss.total.item() == 0.0


def test_total_is_the_mean_of_distill_plus_weighted_ground_truth() -> None:
    loss = losses([2.0, 0.01], [32.0, 2.0], MixedLossConfig())
    torch.testing.assert_close(loss.ratio, column(16.0, 200.0))
    torch.testing.assert_close(loss.weight, column(0.4, 0.0))
    torch.testing.assert_close(loss.total, column((2.0 + 0.4 * 32.0 + 0.01) / 2).squeeze())


def test_endpoint_space_multiplies_both_losses_with_eta_squared() -> None:
    config = MixedLossConfig(loss_space="endpoint")
    loss = losses([2.0, 4.0], [32.0, 4.0], config, eta=column(-0.5, -2.0))
    torch.testing.assert_close(loss.distill, column(0.5, 16.0))
    torch.testing.assert_close(loss.ground_truth, column(8.0, 16.0))
    torch.testing.assert_close(loss.ratio, column(16.0, 1.0))


def test_no_gradient_passes_through_the_weight() -> None:
    prediction = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64, requires_grad=True)
    other = torch.tensor([[3.0, 1.0], [2.0, 2.0]], dtype=torch.float64, requires_grad=True)
    zeros = torch.zeros(2, 2, dtype=torch.float64)
    loss = mixed_loss(prediction, zeros, other, zeros, MixedLossConfig(), None, ["a", "b"])
    assert not loss.weight.requires_grad
    loss.total.backward()
    # d/dx of mean_b(mean(x^2)) with the weights held fixed
    torch.testing.assert_close(prediction.grad, prediction.detach() / 2)
    torch.testing.assert_close(other.grad, loss.weight[:, None] * other.detach() / 2)


def test_no_gradient_flows_into_targets() -> None:
    prediction, target = torch.ones(1, 2, requires_grad=True), torch.zeros(1, 2, requires_grad=True)
    mixed_loss(prediction, target, prediction, target, MixedLossConfig(), None, ["a"]).total.backward()
    assert target.grad is None


def test_losses_of_half_precision_predictions_are_float32() -> None:
    half, zeros = torch.full((1, 2), 300.0, dtype=torch.float16), torch.zeros(1, 2)
    loss = mixed_loss(half, zeros, half, zeros, MixedLossConfig(), None, ["a"])
    assert loss.total.dtype == torch.float32
    assert loss.distill.item() == 90000.0  # beyond float16


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_losses_name_the_samples(bad: float) -> None:
    with pytest.raises(NonFiniteLoss, match=r"not finite for clip1 \(distill (nan|inf), .*clip2 \(distill 1,"):
        losses([1.0, bad, 1.0], [1.0, 1.0, bad], MixedLossConfig())


def test_non_finite_error_leaves_good_samples_out() -> None:
    with pytest.raises(NonFiniteLoss) as caught:
        losses([1.0, float("nan")], [1.0, 1.0], MixedLossConfig("fixed", base=0.0))
    assert "clip0" not in str(caught.value)


def test_endpoint_space_without_eta_is_refused() -> None:
    with pytest.raises(ValueError, match="loss_space endpoint needs eta"):
        losses([1.0], [1.0], MixedLossConfig(loss_space="endpoint"))


def test_a_wrong_number_of_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="2 samples need as many keys, got 1"):
        mixed_loss(*[torch.ones(2, 1)] * 4, MixedLossConfig(), None, ["only"])


def test_differing_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"prediction \(2, 3\) and target \(2, 1\) differ in shape"):
        mixed_loss(
            torch.ones(2, 3), torch.ones(2, 1), torch.ones(2, 3), torch.ones(2, 3), MixedLossConfig(), None, "ab"
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weighting": "linear"}, "weighting: got 'linear'; choose from adaptive, adaptive_unlimited, fixed"),
        ({"loss_space": "noise"}, "loss_space: got 'noise'; choose from prediction, endpoint"),
        ({"slope": -0.1}, "slope must not be negative, got -0.1"),
        ({"dead": 30.0}, "dead must be above peak = 30.0, got 30.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MixedLossConfig(**settings)


@pytest.mark.parametrize("space", ["prediction", "endpoint"])
def test_without_ground_truth_the_loss_is_that_of_the_teacher_alone(space: Any) -> None:
    config, eta = MixedLossConfig("fixed", base=0.0, loss_space=space), column(0.5, 2.0)
    whole = losses([1.0, 4.0], [2.0, 3.0], config, eta)
    prediction = torch.tensor([1.0, 4.0], dtype=torch.float64).sqrt().unsqueeze(1)
    alone = distillation_loss(prediction, torch.zeros_like(prediction), config, eta, ["a", "b"])
    assert torch.equal(alone.total, whole.total)
    assert torch.equal(alone.distill, whole.distill)
    assert torch.equal(alone.weight, column(0.0, 0.0))
    assert bool(alone.ground_truth.isnan().all())
    assert bool(alone.ratio.isnan().all())


def test_without_ground_truth_a_loss_that_is_not_finite_is_refused_too() -> None:
    config = MixedLossConfig("fixed", base=0.0)
    with pytest.raises(NonFiniteLoss, match=r"not finite for b \(distill nan"):
        distillation_loss(torch.tensor([[1.0], [float("nan")]]), torch.zeros(2, 1), config, None, ["a", "b"])
    with pytest.raises(ValueError, match="2 samples need as many keys, got 1"):
        distillation_loss(torch.ones(2, 1), torch.ones(2, 1), config, None, ["only"])


@pytest.mark.parametrize("weighting", ["fixed", "adaptive", "adaptive_unlimited"])
def test_ground_truth_is_of_no_use_where_every_weight_is_zero(weighting: Any) -> None:
    ratio = torch.logspace(-3, 3, 20, dtype=torch.float64)
    for base in (0.0, 0.2):
        config = MixedLossConfig(weighting, base=base)
        assert config.uses_ground_truth == bool((adaptive_weight(ratio, config) != 0).any())
