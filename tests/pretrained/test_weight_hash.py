"""Hashes of weights stay what they were when they were first stored: runs, shards, reports and exports hold them."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import Tensor, nn

from fada.pretrained.weight_hash import Counted, weights_hash
from fada.run.data import fingerprint

WEIGHTS = {
    "b.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3) / 8,
    "a.bias": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "n": torch.tensor(7),
    "m.t": torch.arange(6.0).reshape(2, 3).t(),
}


@pytest.mark.parametrize(
    ("counted", "recorded"),
    [
        # By what runs and shards (fada/run/data.py) and exports (fada/export/part_weights.py) were hashed with before.
        ("values", "c4489e5aaf927dd0"),
        ("tensors", "4d8f7986400b0ef4"),
    ],
)
def test_hashes_are_those_that_were_stored_before(counted: Counted, recorded: str) -> None:
    assert weights_hash(WEIGHTS, counted) == recorded
    assert weights_hash(dict(reversed(WEIGHTS.items())), counted) == recorded


def test_bits_are_hashed_behind_what_stands_before_them() -> None:
    named = b"a" + bytes([0, 0, 128, 63]) + b"b" + bytes([2])
    weights = {"b": torch.tensor(2, dtype=torch.uint8), "a": torch.ones(1)}
    expected = hashlib.sha256(b"settings" + named).hexdigest()[:16]
    assert weights_hash(weights, "bits", before=b"settings") == expected != weights_hash(weights, "bits")


def test_a_network_is_the_same_in_half_precision_where_values_count() -> None:
    half: dict[str, Tensor] = {name: value.bfloat16() for name, value in WEIGHTS.items()}
    assert weights_hash(half) == weights_hash(WEIGHTS)
    assert weights_hash(half, "tensors") != weights_hash(WEIGHTS, "tensors")


def test_a_runs_networks_are_hashed_so() -> None:
    network = nn.Linear(3, 2)
    assert fingerprint(network) == weights_hash(network.state_dict(), "values")
