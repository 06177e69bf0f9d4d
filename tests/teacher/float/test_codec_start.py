"""Where a motion autoencoder starts."""

from __future__ import annotations

import numpy as np
import torch

from fada.teacher.float import codec_start
from fada.teacher.float.codec_start import start_as_portrait, start_from_motion
from fada.teacher.float.motion_autoencoder import MotionAutoencoder


def clips(count: int = 6, frames: int = 8) -> list[np.ndarray]:
    """Clips of a patch that moves from left to right on a background of the clip's own."""
    draw = np.random.default_rng(1)
    made = []
    for _ in range(count):
        squares = draw.integers(0, 256, (1, 4, 4, 3), dtype=np.uint8)
        background = squares.repeat(8, axis=1).repeat(8, axis=2).repeat(frames, axis=0)
        for frame in range(frames):
            background[frame, 12:20, 3 * frame : 3 * frame + 6] = 255
        made.append(background)
    return made


def started(seen: list[np.ndarray]) -> MotionAutoencoder:
    torch.manual_seed(4)
    codec = MotionAutoencoder(size=32, style_dim=24, motion_dim=3, channels=(16, 8, 8, 8), edges="replicated")
    codec.eval().requires_grad_(False)
    start_as_portrait(codec)
    start_from_motion(codec, seen)
    return codec


def motion_share(codec: MotionAutoencoder, seen: list[np.ndarray]) -> torch.Tensor:
    """Of what lies along each direction, the share that differs within clips."""
    factors = torch.stack([codec.factors(each) for each in seen])
    within = (factors - factors.mean(1, keepdim=True)).square().mean((0, 1))
    return within / factors.square().mean((0, 1))


def test_directions_tell_frames_of_a_clip_apart_on_clips_that_were_not_seen() -> None:
    seen = clips(24)
    torch.manual_seed(4)
    before = MotionAutoencoder(size=32, style_dim=24, motion_dim=3, channels=(16, 8, 8, 8)).requires_grad_(False)
    shares = [float(motion_share(codec, seen[16:]).mean()) for codec in (before, started(seen[:16]))]
    assert shares[0] < 0.15
    assert shares[1] > 0.35


def test_a_portrait_moved_by_itself_has_nothing_along_the_directions() -> None:
    codec = started(clips())
    w, _ = codec.enc.net_app(torch.rand(3, 3, 32, 32))
    moved = w + codec.enc.fc(w) @ codec.dec.direction().T
    torch.testing.assert_close(codec.coordinates(moved), torch.zeros(3, 3), atol=1e-4, rtol=0)


def test_what_lies_along_a_direction_is_of_the_same_size_for_all_of_them() -> None:
    seen = clips()
    factors = torch.cat([started(seen).factors(each) for each in seen])
    sizes = factors.square().mean(0).sqrt()
    assert float(sizes.max()) < codec_start.REACH * 1.01
    assert float(sizes.max()) > codec_start.REACH * 0.5


def test_the_rest_of_w_is_what_it_was() -> None:
    torch.manual_seed(4)
    before = MotionAutoencoder(size=32, style_dim=24, motion_dim=3, channels=(16, 8, 8, 8), edges="replicated")
    before.requires_grad_(False)
    start_as_portrait(before)
    after = started(clips())
    pixels = torch.rand(2, 3, 32, 32)
    rest = [
        w - codec.coordinates(w) @ codec.dec.direction().T
        for codec in (before, after)
        for w in (codec.enc.net_app(pixels)[0],)
    ]
    torch.testing.assert_close(rest[0], rest[1], atol=1e-5, rtol=0)


def test_fewer_samples_than_directions_are_enough() -> None:
    codec = started([clips(1, frames=2)[0]])
    assert torch.isfinite(codec.factors(clips(1)[0])).all()


def test_at_first_only_the_finest_level_s_mask_is_nearly_one() -> None:
    flows = started(clips()).dec.to_flows
    masks = [float(each.bias[0, 2, 0, 0]) for each in flows]  # type: ignore[index, union-attr]
    assert masks == [0.0] * (len(flows) - 1) + [codec_start.START_MASK]
