"""Which faces a model knows: the span of its training's latents, and what lies outside."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fada.pretrained.errors import ModelFolderError
from fada.pretrained.networks import load_network
from fada.teacher.face_space import FEWEST, SLACK, FaceSpace

SHAPE = (2, 4, 4)


@pytest.fixture
def plane() -> torch.Tensor:
    """Two directions of 32 numbers, at right angles and of length 1."""
    generator = torch.Generator().manual_seed(0)
    return torch.linalg.qr(torch.randn(32, 2, generator=generator, dtype=torch.float64))[0].T


def pictures(plane: torch.Tensor, count: int, outside: float, seed: int = 1) -> torch.Tensor:
    """Pictures around (3, 3, …) that lie in the plane but for noise of this deviation."""
    generator = torch.Generator().manual_seed(seed)
    inside = 4 * torch.randn(count, 2, generator=generator, dtype=torch.float64) @ plane
    noise = outside * torch.randn(count, 32, generator=generator, dtype=torch.float64)
    return (3 + inside + noise).reshape(count, *SHAPE).float()


def test_the_remainder_is_the_mean_square_of_what_stands_at_right_angles_to_the_space(plane: torch.Tensor) -> None:
    space = FaceSpace(SHAPE, directions=2, limit=0.5)
    space.mean.fill_(3.0)
    space.components.copy_(plane)
    away = torch.randn(32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    away -= away @ plane.T @ plane
    known = pictures(plane, 5, outside=0.0)
    torch.testing.assert_close(space.remainder(known), torch.zeros(5), atol=1e-10, rtol=0)
    expected = away.square().mean().float().expand(5)
    torch.testing.assert_close(space.remainder(known + away.reshape(SHAPE).float()), expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(
        space.strangeness(known + away.reshape(SHAPE).float()), expected / 0.5, rtol=1e-4, atol=0
    )


def test_the_limit_lies_above_pictures_of_the_same_kind_that_were_not_in_the_training(plane: torch.Tensor) -> None:
    space = FaceSpace.of(pictures(plane, 200, outside=0.1))
    assert space is not None
    assert float(space.strangeness(pictures(plane, 500, outside=0.1, seed=7)).max()) < 1
    assert float(space.strangeness(pictures(plane, 500, outside=0.5, seed=7)).min()) > 1


def test_the_limit_is_taken_from_pictures_seen_from_a_space_of_others(plane: torch.Tensor) -> None:
    """Components fit their own pictures better than any others: a limit of theirs would be too near."""
    latents = pictures(plane, FEWEST, outside=0.1)
    space = FaceSpace.of(latents)
    assert space is not None
    assert space.config.limit > SLACK * float(space.remainder(latents).max())


def test_too_few_pictures_span_no_space(plane: torch.Tensor) -> None:
    assert FaceSpace.of(pictures(plane, FEWEST - 1, outside=0.1)) is None
    assert FaceSpace.of(pictures(plane, FEWEST, outside=0.1)) is not None


def test_half_precision_changes_little(plane: torch.Tensor) -> None:
    space = FaceSpace.of(pictures(plane, 200, outside=0.1))
    assert space is not None
    seen = pictures(plane, 50, outside=0.2, seed=3)
    whole = space.strangeness(seen)
    half = space.to(torch.bfloat16).strangeness(seen)
    torch.testing.assert_close(half, whole, rtol=0.1, atol=0.02)


def test_it_is_saved_and_opened_through_the_gate(plane: torch.Tensor, tmp_path: Path) -> None:
    space = FaceSpace.of(pictures(plane, 60, outside=0.1))
    assert space is not None
    space.save_pretrained(str(tmp_path / "space"))
    again = load_network(tmp_path / "space", FaceSpace)
    seen = pictures(plane, 9, outside=0.3, seed=5)
    torch.testing.assert_close(again.strangeness(seen), space.strangeness(seen), rtol=0, atol=0)


@pytest.mark.parametrize(("entry", "value"), [("limit", 0.0), ("limit", "1"), ("shape", [8, 8]), ("directions", 10**6)])
def test_settings_that_nobody_can_mean_are_refused(tmp_path: Path, entry: str, value: object) -> None:
    import json

    FaceSpace(SHAPE, directions=2).save_pretrained(str(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, entry: value}))
    with pytest.raises(ModelFolderError, match=entry):
        load_network(tmp_path, FaceSpace)
