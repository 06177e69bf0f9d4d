"""FLOAT's codec: a frame is the portrait, warped by a latent that moves along a few orthonormal directions.

`w = w_portrait + sum_m lambda_m v_m`: the encoder gives a portrait's w and feature maps, and of every frame its lambda;
the decoder warps the maps as w says. What flows is the sum alone, a vector in the directions' span.
Source: Ki et al. 2025 (FLOAT, arXiv:2412.01064), section 3.1; Wang et al. 2022 (LIA, arXiv:2203.09043). Names and
shapes of parameters are those of FLOAT's released file under `motion_autoencoder.`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from torch import Tensor, nn

from fada.diffusion.transfer import like
from fada.teacher.float import codec_settings
from fada.teacher.float.face_painter import FacePainter, regions, warped
from fada.teacher.float.motion_encoder import MotionEncoder
from fada.teacher.float.style_layers import (
    ConvLayer,
    Edges,
    EqualConv2d,
    EqualLinear,
    ResBlock,
    StyledConv,
    ToFlow,
    ToRGB,
    channels_last,
    whole,
)
from fada.teacher.vae import to_network

RELEASED_CHANNELS = (512, 512, 512, 512, 256, 128, 64, 32, 16)
"""Of pictures and maps 4, 8, ..., 1024 pixels wide."""
COMMON = 0.99
"""Share of the pairs of a clip's frames that are within a codec's reach."""
HALF_POWER = 0.5**0.5
"""Of each of two maps whose sum is to be as strong as one."""
PASS_PIXELS = 2**18
"""Of frames that are encoded or decoded in one pass: what they need at the widest level stays near the caches."""
DEVICE_PASS_PIXELS = 2**22
"""The same on a GPU: one frame of 512 pixels at a time took an H200 13 ms in bfloat16 and 16 in float32, most of it the
starting of kernels (docs/results/gpu)."""


@dataclass(frozen=True)
class Appearance:
    """A portrait, or a batch of them: w (B, style_dim), and maps (B, C + 3, h, w) from 8 pixels up.

    The last three channels of a map are its part of the picture, before it is warped.
    Of a codec that finds eyes and lips there are, beside, patches (B, 2, 3, h', w') and regions (B, 2, 4) of both,
    which are drawn anew (face_painter.py).
    """

    w: Tensor
    maps: Sequence[Tensor]
    patches: Tensor | None = None
    regions: Tensor | None = None

    def of(self, w: Tensor, rows: Tensor) -> Appearance:
        """Those rows of the batch, with w (N, style_dim) of their frames."""
        face = (None if each is None else each[rows] for each in (self.patches, self.regions))
        return Appearance(w, [each[rows] for each in self.maps], *face)


def _none_at_first(convolution: EqualConv2d) -> EqualConv2d:
    nn.init.zeros_(convolution.weight)
    return convolution


def levels_of(size: int) -> int:
    """Resolutions from 4 to `size`."""
    return size.bit_length() - 2


class AppearanceEncoder(nn.Module):
    """Pictures to w, and to the maps on the way."""

    def __init__(self, channels: Sequence[int], style_dim: int) -> None:
        super().__init__()
        down = channels[::-1]
        blocks = [ResBlock(wide, out) for wide, out in pairwise(down)]
        self.convs = nn.ModuleList([ConvLayer(3, down[0], 1), *blocks, EqualConv2d(down[-1], style_dim, 4)])

    def forward(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 3, size, size) in [-1, 1] to w (B, style_dim) and maps of 8 pixels, 16, ..., size."""
        maps, pixels = [], channels_last(pixels)
        for layer in self.convs:
            pixels = layer(pixels)
            maps.append(pixels)
        return maps[-1].flatten(1), maps[-3::-1]


class Encoder(nn.Module):
    """The portrait's side and the motion's side, which as released share all but the last layers."""

    def __init__(self, channels: Sequence[int], style_dim: int, motion_dim: int, *, reads_motion: bool) -> None:
        super().__init__()
        self.net_app = AppearanceEncoder(channels, style_dim)
        # Where an encoder of its own reads motion there is nothing to read from w.
        layers = [EqualLinear(style_dim, style_dim) for _ in range(4)] + [EqualLinear(style_dim, motion_dim)]
        self.fc = nn.Sequential(*layers) if reads_motion else None


class Directions(nn.Module):
    """The directions: a free matrix, whose orthonormal ones are found by QR."""

    def __init__(self, style_dim: int, motion_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(style_dim, motion_dim))
        self._found: tuple[tuple[object, ...], Tensor] | None = None

    def forward(self) -> Tensor:
        """V (style_dim, motion_dim), columns orthonormal; found once for as long as nothing learns."""
        if torch.is_grad_enabled() and self.weight.requires_grad:
            return self._orthonormal()
        now = (self.weight._version, self.weight.data_ptr(), self.weight.device, self.weight.dtype)
        if self._found is None or self._found[0] != now:
            self._found = (now, self._orthonormal().detach())
        return self._found[1]

    def _orthonormal(self) -> Tensor:
        # The public code adds this too: without it signs of directions could differ.
        return torch.linalg.qr(whole(self.weight) + 1e-8).Q.to(self.weight.dtype)


class Constant(nn.Module):
    """Where the decoder starts."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))


class Decoder(nn.Module):
    """A portrait's maps, warped from coarse to fine as w says, to pictures."""

    def __init__(
        self,
        channels: Sequence[int],
        style_dim: int,
        motion_dim: int,
        edges: Edges,
        *,
        in_pixels: bool = False,
        fills: bool = False,
        finds_face: bool = False,
    ) -> None:
        super().__init__()
        self.direction = Directions(style_dim, motion_dim)
        self.input = Constant(channels[0])
        self.conv1 = StyledConv(channels[0], channels[0], style_dim)
        # In the file, and in no picture.
        self.to_rgb1 = ToRGB(channels[0], edges, doubles=False).requires_grad_(False)
        self.convs, self.to_rgbs, self.to_flows = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level, (wide, out) in enumerate(pairwise(channels)):
            self.convs.extend([StyledConv(wide, out, style_dim, doubles=True), StyledConv(out, out, style_dim)])
            self.to_rgbs.append(ToRGB(out, edges))
            self.to_flows.append(ToFlow(out, style_dim, edges, 2.0 / 2 ** (level + 3) if in_pixels else 1.0))
        self.fills = nn.ModuleList([_none_at_first(EqualConv2d(out, 3, 1)) for out in channels[1:]]) if fills else None
        self.painter = FacePainter(motion_dim) if finds_face else None

    def appearance(
        self, w: Tensor, maps: Sequence[Tensor], pixels: Tensor | None = None, boxes: Tensor | None = None
    ) -> Appearance:
        """What decoding needs of portraits. A map's part of the picture is made before the warp: both are linear.

        Args:
            pixels, boxes: the portraits (B, 3, H, W) and where their eyes and lips are (B, 2, 4), for a decoder that
                draws them anew.
        """
        seen = []
        for place, (each, (_, _, to_rgb, _)) in enumerate(zip(maps, self._levels(), strict=True)):
            part = to_rgb.projected(each)
            # Of the finest map nothing but its part of the picture is ever warped.
            seen.append(part if place == len(maps) - 1 else torch.cat([each, part], dim=1))
        if self.painter is None:
            return Appearance(w, seen)
        assert pixels is not None
        assert boxes is not None
        drawn = regions(boxes)
        return Appearance(w, seen, self.painter.seen(pixels, drawn), drawn)

    def forward(self, w: Tensor, portrait: Appearance) -> Tensor:
        """Pictures (B, 3, size, size), about [-1, 1], of w (B, style_dim) and of one portrait, or of B."""
        x = self.conv1(channels_last(self.input.input.expand(len(w), -1, -1, -1)), w)
        raw = picture = None
        maps = [*portrait.maps[:-1], self._painted(w, portrait)]
        for level, (seen, (conv1, conv2, to_rgb, to_flow)) in enumerate(zip(maps, self._levels(), strict=True)):
            x = conv2(conv1(x, w), w)
            raw = to_flow(x, w, raw)
            seen, mask = to_flow.warped(seen, raw)
            is_last = level == len(maps) - 1
            part = seen[:, :3] if is_last else seen[:, -3:]
            picture = to_rgb(part * mask, picture)
            if self.fills is not None:
                picture = picture + self.fills[level](x)
            if not is_last:
                x = self._joined(x, seen[:, :-3], mask)
            elif self.painter is not None:
                picture = picture + seen[:, 3:]
        assert picture is not None
        return picture

    def _painted(self, w: Tensor, portrait: Appearance) -> Tensor:
        """The finest map (1 or B, 3, h, w); with eyes and lips drawn anew (B, 6, h, w), three of them to be added."""
        finest = portrait.maps[-1]
        if self.painter is None:
            return finest
        assert portrait.patches is not None
        assert portrait.regions is not None
        # Along the directions w is the difference of two lambda.
        moved = w @ self.direction()
        flow, colours = self.painter(portrait.patches, portrait.regions, moved, finest.shape[-1])
        return torch.cat([warped(finest, flow), colours.to(finest.dtype)], dim=1)

    def _joined(self, x: Tensor, seen: Tensor, mask: Tensor) -> Tensor:
        """What the decoder made (B, C, h, w), and what is seen of the portrait.

        As released, mask times portrait and the decoder's elsewhere. Masks tend to one, and little of the decoder's own
        passes them: what fills is to be drawn of both, so it has their sum.
        """
        if self.fills is None:
            return torch.lerp(whole(x), seen, mask).to(x.dtype)
        return ((whole(x) + seen) * HALF_POWER).to(x.dtype)

    def _levels(self) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Two convolutions, part of the picture, and flow, from 8 pixels up."""
        return zip(self.convs[::2], self.convs[1::2], self.to_rgbs, self.to_flows, strict=True)


class MotionAutoencoder(ModelMixin, ConfigMixin):
    """The codec (`fada.teacher.codec.Codec`), whose latents lie in the span of its directions: (F, D), of which D is
    style_dim, or with `coordinates` motion_dim, and V the unit matrix.

    Latents are `V (lambda - shift) * scaling_factor`. One scale for all directions, so that they stay orthonormal, and
    such that a coordinate has unit variance within a clip, on average (`fit_scale`): noise of unit variance in all of
    style_dim dimensions has it along every direction too, so motion and noise are then equally strong where there is
    motion. Whose face it is may move coordinates further; it is the portrait's too (`relative` of the vector field).
    In the other dimensions latents are zero, which a network learns at once; unit variance in each of them would make
    the signal sqrt(style_dim / motion_dim) times the noise, and most times of a flow would decide nothing.
    Without shift zeros, the window before the first, would be no face in particular; with it they are the mean one.

    Args:
        size: of pictures, a power of two.
        style_dim: of w. motion_dim: number of directions.
        channels: of maps 4, 8, ..., size pixels wide; empty: the released ones.
        edges: how pictures end (style_layers.py): a released codec's way, or one that moves nothing.
        in_pixels: flows are counted in pixels of their level, so that a step of training moves no level by more than a
            fraction of its pixels; in released ones, in halves of the picture at every level.
        fills: the decoder adds to the picture what it draws itself (an opening mouth, at first nothing); released ones
            show only what is seen in the portrait.
        finds_face: eyes and lips are found in pictures (motion_encoder.py): lambda is read by an encoder that sees them
            closely, of w nothing lies along the directions but minus the portrait's lambda, so that w's sum holds the
            difference of two poses, and the decoder draws both anew. Released codecs read lambda from w.
        coordinates: latents are the numbers along the directions, (F, motion_dim); released ones are vectors.
        scaling_factor, shift: of latents, above; shift is a number per direction, empty: zeros.
        reach: how far a made frame's lambda may be from the portrait's, a number per direction; empty: anywhere.
            Large guidance scales ask for more than a face ever did, and eyes that were drawn so far out broke.

    Raises:
        ValueError: settings that contradict each other.
    """

    folder_settings = codec_settings.MotionAutoencoder

    @register_to_config
    def __init__(
        self,
        size: int = 512,
        style_dim: int = 512,
        motion_dim: int = 20,
        channels: Sequence[int] = (),
        edges: Edges = "released",
        in_pixels: bool = False,
        fills: bool = False,
        finds_face: bool = False,
        coordinates: bool = False,
        scaling_factor: float = 1.0,
        shift: Sequence[float] = (),
        reach: Sequence[float] = (),
    ) -> None:
        super().__init__()
        if size not in codec_settings.SIZES:
            raise ValueError(f"size must be a power of two from 16 to 1024, got {size}")
        levels = levels_of(size)
        widths = tuple(channels) or RELEASED_CHANNELS[:levels]
        if len(widths) != levels:
            raise ValueError(f"channels: pictures of {size} have {levels} levels (4, 8, ...), got {len(widths)} widths")
        if not 1 <= motion_dim <= style_dim:
            raise ValueError(f"motion_dim must be from 1 to style_dim ({style_dim}), got {motion_dim}")
        if shift and len(shift) != motion_dim:
            raise ValueError(f"shift must have a number for each of {motion_dim} directions, got {len(shift)}")
        if reach and (len(reach) != motion_dim or not finds_face):
            raise ValueError(f"reach is for {motion_dim} directions, with finds_face, got {len(reach)}")
        self.enc = Encoder(widths, style_dim, motion_dim, reads_motion=not finds_face)
        self.motion = MotionEncoder(motion_dim) if finds_face else None
        self.dec = Decoder(
            widths, style_dim, motion_dim, edges, in_pixels=in_pixels, fills=fills, finds_face=finds_face
        )

    def latent_shape(self, size: int) -> tuple[int, ...]:
        """Of a frame.

        Raises:
            ValueError: pictures of another size than the codec's.
        """
        if size != self.config.size:
            raise ValueError(f"clip.size is {size}, but the codec is one for pictures of {self.config.size} pixels")
        return (self.config.motion_dim if self.config.coordinates else self.config.style_dim,)

    @torch.no_grad()
    def encode(self, frames: np.ndarray) -> Tensor:
        """Latents (F, D) in float32 of frames (F, H, W, 3) uint8."""
        return self.latents_of(self.factors(frames))

    @torch.no_grad()
    def appearance(self, portrait: np.ndarray) -> Appearance:
        """What decoding needs of a portrait (H, W, 3) uint8, once for a whole video."""
        (pixels,) = self.passes(portrait[None])
        w, maps = self.enc.net_app(pixels)
        motion, boxes = self.read(pixels, w)
        return self.dec.appearance(self._at_rest(w, motion), maps, pixels, boxes)

    @torch.no_grad()
    def decode(self, latents: Tensor, appearance: Appearance) -> np.ndarray:
        """Frames (F, H, W, 3) uint8 of latents (F, D), some at a time so that memory stays bounded."""
        w = appearance.w + self.motion_of(latents.to(appearance.w.device).float()).to(appearance.w.dtype)
        pictures = [
            ((self.dec(part, appearance).float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()
            for part in w.split(self.frames_per_pass)
        ]
        return torch.cat(pictures).permute(0, 2, 3, 1).contiguous().numpy()

    @torch.no_grad()
    def within_reach(self, latents: Tensor, appearance: Appearance) -> Tensor:
        """Latents (F, D) whose lambda is no further from the portrait's than `reach` along each direction."""
        if not self.config.reach:
            return latents
        directions = self.dec.direction().float()
        # Along the directions w is the difference of two lambda.
        asked = (appearance.w.float() + self.motion_of(latents.to(directions))) @ directions
        reach = like(self.config.reach, asked)
        change = (torch.clamp(asked, -reach, reach) - asked) * self.config.scaling_factor
        return latents + self._of_coordinates(change).to(latents)

    @property
    def directions(self) -> int:
        """How many directions there are."""
        return int(self.config.motion_dim)

    def along(self, latents: Tensor, direction: int, amount: float) -> Tensor:
        """Latents (F, D), moved along one direction, in their own units: 1 is a deviation of an average one.

        Raises:
            ValueError: no such direction; they count from 0.
        """
        if not 0 <= direction < self.directions:
            raise ValueError(f"motion: no direction {direction}; choose from 0 to {self.directions - 1}")
        step = torch.zeros(1, self.directions).to(latents)
        step[:, direction] = amount
        return latents + self._of_coordinates(step)

    def coordinates(self, latents: Tensor) -> Tensor:
        """Latents (F, D) along each direction, (F, motion_dim), in their own units."""
        return latents if self.config.coordinates else latents @ self.dec.direction().to(latents)

    def latents_of(self, factors: Tensor) -> Tensor:
        """Latents (F, D) of the encoder's lambda (F, motion_dim)."""
        return self._of_coordinates((factors - self._shift(factors)) * self.config.scaling_factor)

    def motion_of(self, latents: Tensor) -> Tensor:
        """What latents (F, D) add to a portrait's w."""
        directions = self.dec.direction().to(latents)
        if self.config.coordinates:
            latents = latents @ directions.T
        return latents / self.config.scaling_factor + self._shift(latents) @ directions.T

    def fit_scale(self, clips: Sequence[Tensor]) -> None:
        """Set shift and scale so that latents of clips have mean 0, and within a clip coordinates variance 1.

        Args:
            clips: lambda (F, motion_dim) of two frames or more of each.
        """
        mean = torch.cat([*clips]).mean(0)
        deviation = float(torch.stack([each.var(0) for each in clips]).mean().sqrt())
        self.register_to_config(
            shift=[round(float(each), 6) for each in mean], scaling_factor=1.0 / max(deviation, EPSILON)
        )

    def fit_reach(self, clips: Sequence[Tensor]) -> None:
        """Set `reach` to how far two frames of a clip are from each other in all but a hundredth of the pairs.

        Args:
            clips: lambda (F, motion_dim) of two frames or more of each.
        """
        every = [(each[:, None] - each)[tuple(torch.triu_indices(len(each), len(each), 1))] for each in clips]
        found = torch.cat(every).abs().quantile(COMMON, dim=0).clamp_min(EPSILON)
        self.register_to_config(reach=[round(float(each), 6) for each in found])

    @torch.no_grad()
    def factors(self, frames: np.ndarray) -> Tensor:
        """The encoder's lambda (F, motion_dim) of frames (F, H, W, 3) uint8, in float32."""
        return torch.cat([self.read(pixels)[0].float() for pixels in self.passes(frames)])

    def retold(self, frames: np.ndarray) -> np.ndarray:
        """Frames (F, H, W, 3) uint8, each made of the first one's appearance and its own motion."""
        return self.decode(self.encode(frames), self.appearance(frames[0]))

    def driven(
        self, pixels: Tensor, sources: Tensor, drivers: Tensor, read: tuple[Tensor, Tensor | None] | None = None
    ) -> Tensor:
        """Pictures (N, 3, H, W) of portraits `pixels[sources]`, moved as `pixels[drivers]`; with gradients.

        Args:
            pixels: (B, 3, H, W) in [-1, 1], each encoded once. sources, drivers: (N,), numbers of rows.
            read: what `read` gives of them, where it is known already.
        """
        w, maps = self.enc.net_app(pixels)
        motion, boxes = self.read(pixels, w) if read is None else read
        portraits = self.dec.appearance(self._at_rest(w, motion), maps, pixels, boxes)
        moved = portraits.w[sources] + motion[drivers] @ self.dec.direction().T
        return self.dec(moved, portraits.of(moved, sources))

    def read(self, pixels: Tensor, w: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Lambda (B, motion_dim) of pictures (B, 3, H, W), and boxes (B, 2, 4) of eyes and lips if they are found.

        Args:
            w: theirs, where it is known already and lambda is read from it.
        """
        if self.motion is not None:
            motion, boxes = self.motion(pixels)
            return motion, boxes.detach()
        assert self.enc.fc is not None
        return self.enc.fc(self.enc.net_app(pixels)[0] if w is None else w), None

    def _at_rest(self, w: Tensor, motion: Tensor) -> Tensor:
        """w (B, style_dim) of portraits, to which a frame's lambda is added; `motion` (B, motion_dim) is their own."""
        if self.motion is None:
            return w
        directions = self.dec.direction()
        return w - (w @ directions + motion) @ directions.T

    @property
    def frames_per_pass(self) -> int:
        """How many frames go through the networks at once."""
        pixels = PASS_PIXELS if self.device.type == "cpu" else DEVICE_PASS_PIXELS
        return max(1, pixels // self.config.size**2)

    def _of_coordinates(self, coordinates: Tensor) -> Tensor:
        """Latents (F, D) of numbers along the directions, (F, motion_dim)."""
        return coordinates if self.config.coordinates else coordinates @ self.dec.direction().to(coordinates).T

    def _shift(self, latents: Tensor) -> Tensor:
        return like(self.config.shift or [0.0] * self.config.motion_dim, latents)

    def passes(self, frames: np.ndarray) -> Iterator[Tensor]:
        """Pixels (f, 3, H, W) of a few frames each.

        Raises:
            ValueError: frames of another size than the codec's.
        """
        size = self.config.size
        if frames.shape[1:] != (size, size, 3):
            raise ValueError(f"frames must have shape (F, {size}, {size}, 3) as the codec's, got {frames.shape}")
        for start in range(0, len(frames), self.frames_per_pass):
            yield to_network(frames[start : start + self.frames_per_pass]).to(self.device, self.dtype)


EPSILON = 1e-6
"""Of a deviation: a codec that has learned nothing moves nothing."""
