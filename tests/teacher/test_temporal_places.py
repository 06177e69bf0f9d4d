"""Frames beside motion frames stand where they would in one longer clip: behind them, and numbered on."""

from __future__ import annotations

import pytest
import torch

from fada.teacher.dual_unet.layers import TemporalBlock, TemporalTransformer


@pytest.mark.parametrize("before", [1, 2, 4])
def test_frames_behind_motion_frames_are_the_later_ones_of_a_longer_clip(before: int) -> None:
    torch.manual_seed(0)
    block = TemporalBlock(8, 2, max_frames=8).double()
    motion, frames = torch.randn(3, before, 8).double(), torch.randn(3, 4, 8).double()
    whole = block(torch.cat((motion, frames), dim=1), None)
    torch.testing.assert_close(block(frames, motion), whole[:, before:])
    # Without them they are numbered from nought, and the order of frames counts.
    assert not torch.allclose(block(frames, motion), block(frames, None))
    assert not torch.allclose(block(frames.flip(1), None).flip(1), block(frames, None))
    assert not torch.allclose(block(frames, motion.roll(1, 1)), block(frames, motion)) or before == 1


def test_maps_of_motion_frames_come_in_as_those_of_frames_do() -> None:
    torch.manual_seed(0)
    module = TemporalTransformer(8, 2, 4, max_frames=8).double()
    torch.nn.init.normal_(module.proj_out.weight, std=0.5)
    motion, frames = torch.randn(2, 2, 8, 3, 3).double(), torch.randn(2, 4, 8, 3, 3).double()
    whole = module(torch.cat((motion, frames), dim=1).flatten(0, 1), 6, None).unflatten(0, (2, 6))
    found = module(frames.flatten(0, 1), 4, module.context(motion)).unflatten(0, (2, 4))
    torch.testing.assert_close(found, whole[:, 2:])
