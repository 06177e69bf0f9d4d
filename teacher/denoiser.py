"""What the models of all families have in common: networks by name, conditions prepared once, branches in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from fada.diffusion.paths import NoisePath
from fada.diffusion.shapes import Branches, Frames, Latents, PerSample, Scales


class Sites(NamedTuple):
    """What guidance layers must know of the network that they are hooked into.

    widths: of the hidden states at each site, in order of execution; dim: of an audio token, and so of an embedding of
    scales; heads: of the attentions; time_channels: of the time embedding.
    """

    widths: tuple[int, ...]
    dim: int
    heads: int
    time_channels: int


class ScalesInside(Protocol):
    """Guidance layers (student/guidance.py), as a model sees them."""

    def with_scales(self, conditions: Any, scales: Tensor) -> Any:
        """The conditions of rows with their scales (rows, scales)."""
        ...


class AvatarDenoiser(nn.Module):
    """A family's networks as one denoiser: a teacher, or, with guidance layers, a student that is told the scales.

    A family's own class says which networks there are, what they need of a clip, and how a pass runs. The one named
    `denoiser_name` is that whose passes are counted; those named in `encoders` only prepare conditions, so that a
    student can share them with its teacher.

    Args:
        networks: by the names that pipelines, folders and checkpoints give them.
        path: the noise path that they were trained on, and what they predict.
        guidance_layers: of a student that has the guidance scales inside.
    """

    branches: ClassVar[Sequence[str]]
    """Names of the branches, unconditional first (method.md, section 2)."""
    encoders: ClassVar[tuple[str, ...]] = ()
    feature_encoders: ClassVar[tuple[str, ...]] = ()
    """Of these, those that nothing but `features` asks."""
    denoiser_name: ClassVar[str] = "denoising_unet"
    audio_projection: Any

    def __init__(self, networks: Mapping[str, nn.Module], path: NoisePath, guidance_layers: Any = None) -> None:
        super().__init__()
        for name, network in networks.items():
            self.add_module(name, network)
        self.names = tuple(networks)
        self.path = path
        self.guidance_layers: Any = guidance_layers
        self.former_names: dict[str, str] = {}
        """By the name of a parameter in checkpoints of earlier versions, the name that it has now."""

    @property
    def denoiser(self) -> Any:
        """The network whose passes are counted."""
        return getattr(self, self.denoiser_name)

    @property
    def dtype(self) -> torch.dtype:
        return next(self.denoiser.parameters()).dtype

    @property
    def scale_count(self) -> int:
        """Guidance scales of a clip: one between a branch and the next."""
        return len(self.branches) - 1

    @property
    def is_guided(self) -> bool:
        """Whether guidance scales enter the network."""
        return self.guidance_layers is not None

    def components(self) -> dict[str, nn.Module]:
        """The networks by the names that `__init__` and pipelines give them."""
        networks = {name: getattr(self, name) for name in self.names}
        return networks if self.guidance_layers is None else {**networks, "guidance_layers": self.guidance_layers}

    def settings(self) -> dict[str, Any]:
        """What a family's `__init__` takes beside networks and path."""
        return {}

    def sites(self) -> Sites:
        """Where guidance layers are hooked in."""
        raise NotImplementedError

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return int(self.denoiser.config.in_channels)

    @property
    def cell(self) -> int:
        """Latents' sides are multiples of this."""
        return int(2 ** (len(self.denoiser.config.channels) - 1))

    @property
    def max_frames(self) -> int | None:
        """Frames of a clip, motion frames counted, that the denoising net can number; None where there is no end."""
        return int(self.denoiser.config.max_frames)

    def meetings(self, context: int) -> Iterator[tuple[str, Any, Any]]:
        """What two networks of a folder say of the same: its name, what one says, what the others say.

        Args:
            context: video frames of sound to each side that a frame hears.
        """
        yield from ()

    def chunk_frames(self, total: int | None, frames: int) -> int:
        """Frames that are denoised at once, of a video of so many (None: not known yet) and clips of `frames`."""
        return frames

    def passes(self, frames: int) -> int:
        """How often an evaluation of a chunk of so many frames runs the denoising net: once, unless it is cut."""
        return 1

    def heard(self) -> tuple[int, int, int]:
        """(window, layers, dim) of audio states that a frame's projection takes."""
        config = self.audio_projection.config
        return config.window, config.layers, config.states_dim

    def part(self, name: str) -> list[nn.Parameter]:
        """Parameters of a part that stages of a training may train.

        Raises:
            ValueError: the family has none of that name.
        """
        raise ValueError(f"{type(self).__name__}: no part named {name!r}; it is not trained here")

    def inputs_of(self, clips: Any) -> Any:
        """What the family's networks take, from the inputs that are the same for all (`teacher/inputs.py`)."""
        raise NotImplementedError

    def clips_in(self, inputs: Any) -> int:
        """How many clips the family's inputs are of."""
        return len(inputs.reference)

    def features(self, inputs: Any) -> Any:
        """What the encoders make of a clip, one pass per clip; a frozen one's can be shared."""
        raise NotImplementedError

    def prepare(self, inputs: Any, features: Any = None) -> Any:
        """What is constant over denoising steps; `features` of shared, frozen encoders save their pass."""
        raise NotImplementedError

    def expand(self, conditions: Any, clips: Branches, branches: Branches) -> Any:
        """Conditions of rows, once per solve: of clip `clips[i]`, dropped to branch `branches[i]`; both (rows,).

        Wherever the conditions lie; both decide what is computed, and on the CPU nothing waits for a device.
        """
        return conditions.expand(clips, branches)

    def with_scales(self, conditions: Any, scales: Scales | None) -> Any:
        """Conditions of rows with their guidance scales (rows, scales), for a student that has them inside."""
        layers: ScalesInside | None = self.guidance_layers
        return conditions if layers is None or scales is None else layers.with_scales(conditions, scales)

    def evaluate(self, latents: Latents, t: PerSample, conditions: Any) -> Latents:
        """Prediction of rows (rows, F, ...) at times (rows,) in [0, 1], one pass."""
        raise NotImplementedError

    def forward(
        self,
        inputs: Any,
        latents: Latents,
        t: PerSample,
        branch: Branches | None = None,
        scales: Scales | None = None,
        features: Any = None,
        **options: Any,
    ) -> Frames:
        """Prediction of a training batch, from the family's inputs: one call, so that wrappers see all of it.

        `latents` (n B, F, ...) may hold the B clips of `inputs` n times over, each time at another point: their
        conditions are prepared once. `features` of shared, frozen encoders save their pass. `branch` (n B,) drops
        conditions, `scales` (n B, scales) are those of a student; options are those of `evaluate`, whose answer has the
        latents' shape but where an option asks for more frames.
        """
        rows, clips = len(latents), self.clips_in(inputs)
        branches = torch.full((rows,), self.scale_count) if branch is None else branch
        conditions = self.expand(self.prepare(inputs, features), torch.arange(clips).repeat(rows // clips), branches)
        return self.evaluate(latents, t, self.with_scales(conditions, scales), **options)
