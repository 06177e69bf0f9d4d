"""The guidance ladder against recorded numbers and algebra."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fada.diffusion.guidance import branch_coefficients, combine, needed_branches, weighted_branches

scale = st.sampled_from([0.0, 0.5, 1.0, 2.0, 2.5, 6.5])
scale_rows = st.integers(1, 4).flatmap(
    lambda climbs: st.lists(st.lists(scale, min_size=climbs, max_size=climbs), min_size=1, max_size=3)
)


def test_combine_equals_recorded_numbers(vectors: dict[str, Any]) -> None:
    for row in vectors["combine"]:
        branches = [torch.full((1, 1), row[name], dtype=torch.float64) for name in ("b", "r", "a")]
        value = combine(branches, [row["cfg_r"], row["cfg_a"]])
        assert value.item() == pytest.approx(row["value"], abs=1e-12)


def test_combine_at_all_ones_returns_the_last_branch_exactly(generator: torch.Generator) -> None:
    branches = [torch.randn(4, 2, 3, generator=generator) * 10**power for power in (3, 0, -3)]
    assert torch.equal(combine(branches, torch.ones(4, 2)), branches[-1])


@settings(deadline=None, max_examples=40, derandomize=True)
@given(scale_rows)
def test_combine_equals_the_sum_over_climbs(rows: list[list[float]]) -> None:
    scales = torch.tensor(rows, dtype=torch.float64)
    branches = list(torch.randn(scales.shape[1] + 1, len(rows), 5, dtype=torch.float64).unbind())
    expected = branches[0].clone()
    for climb in range(scales.shape[1]):
        expected += scales[:, climb, None] * (branches[climb + 1] - branches[climb])
    torch.testing.assert_close(combine(branches, scales), expected)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(scale_rows)
def test_needed_branches_alone_give_the_combination(rows: list[list[float]]) -> None:
    scales = torch.tensor(rows, dtype=torch.float64)
    branches = list(torch.randn(scales.shape[1] + 1, len(rows), 5, dtype=torch.float64).unbind())
    needed = needed_branches(scales)
    part = weighted_branches([branches[index] for index in needed], branch_coefficients(scales)[:, list(needed)])
    torch.testing.assert_close(part, combine(branches, scales))


@settings(deadline=None, max_examples=40, derandomize=True)
@given(scale_rows)
def test_coefficients_of_a_sample_sum_to_one(rows: list[list[float]]) -> None:
    total = branch_coefficients(torch.tensor(rows, dtype=torch.float64)).sum(dim=1)
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[2.5, 6.5]], (0, 1, 2)),
        ([[6.5, 6.5]], (0, 2)),
        ([[1.0, 6.5]], (1, 2)),
        ([[1.0, 1.0]], (2,)),
        ([[0.0, 0.0]], (0,)),
        ([[2.0, 0.0]], (0, 1)),
        ([[1.0, 1.0], [3.0, 3.0]], (0, 2)),
        ([[1.0, 1.0], [2.0, 3.0]], (0, 1, 2)),
    ],
)
def test_needed_branches_collapse(rows: list[list[float]], expected: tuple[int, ...]) -> None:
    assert needed_branches(torch.tensor(rows)) == expected


def test_combine_of_half_precision_is_float32() -> None:
    branches = [torch.ones(2, 3, dtype=torch.bfloat16)] * 2
    assert combine(branches, [6.5]).dtype == torch.float32


def test_combine_scales_each_sample_by_its_own() -> None:
    branches = [torch.zeros(2, 1, 1), torch.ones(2, 1, 1)]
    assert combine(branches, torch.tensor([[2.0], [3.0]])).flatten().tolist() == [2.0, 3.0]


def test_combine_refuses_a_wrong_number_of_scales() -> None:
    with pytest.raises(ValueError, match="3 branches need 2 scales per sample, got 1"):
        combine([torch.zeros(1, 1)] * 3, [2.0])


def test_weighted_branches_refuses_a_wrong_number_of_coefficients() -> None:
    with pytest.raises(ValueError, match=r"2 branches need coefficients \(batch, 2\), got \(1, 3\)"):
        weighted_branches([torch.zeros(1, 1)] * 2, torch.ones(1, 3))


def test_branch_coefficients_refuses_scales_without_batch() -> None:
    with pytest.raises(ValueError, match=r"scales must be \(batch, branches - 1\), got shape \(2,\)"):
        branch_coefficients(torch.ones(2))
