"""What a run learns from: clips, their shape, the audio encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from fada.pretrained.ranges import CONTEXT
from fada.recipe.sections.section import (
    Count,
    Few,
    FilePath,
    Frames,
    FramesOrNone,
    Listed,
    Pixels,
    PositiveWeight,
    Section,
    Seed,
    Share,
    check_path,
)


def _place(text: str) -> str:
    check_path(Path(text))
    return text


Shards = Annotated[str, AfterValidator(_place)]
"""A folder, or the URL of one in an object store."""


class World(Section):
    """The drawn talking-face world, made on the spot."""

    clips: Count = 320
    """Training clips."""
    test_clips: Count = 16
    """Held-out clips: other identities and other speech."""
    frames: Frames = 50
    """Frames per drawn clip, at 25 per second."""
    seed: Seed = 0
    """Seed of identities, speech and flaws."""
    flawed_share: Share = 0.4
    """Share of training clips of moderate quality (set B); the rest is clean (set A)."""
    version: Literal[1, 2] = 1
    """2: head, gaze, blinks, brows and expression are undecided by the sound, and mouths follow it loosely at times, as
    in real footage; 1: nearly everything follows from the sound."""
    beyond_share: Share = 0.0
    """Share of training clips that show what set A then leaves out (loud speech with wide mouths, far postures, some
    looks); of quality B, without flaws. Every second held-out clip then shows it too. Needs version: 2."""
    emotion: bool = False
    """Every clip's person feels one of seven emotions, more or less: brows, lids and mouth corners show it, and pitch,
    tempo and loudness of the voice. For families that are given an emotion."""
    from_rest: bool = False
    """Faces are at rest in the first frames of a clip, and what is felt comes up in half a second: a first frame as
    portrait then tells nothing of it. Needs emotion."""

    @model_validator(mode="after")
    def settings_fit(self) -> World:
        if self.from_rest and not self.emotion:
            raise ValueError("from_rest: only what is felt comes up; set emotion: true, too")
        if self.beyond_share and self.version == 1:
            raise ValueError(f"beyond_share: needs version: 2, got {self.beyond_share:g} with version 1")
        if self.flawed_share + self.beyond_share > 1.0:
            raise ValueError(
                f"flawed_share and beyond_share: are shares of the same clips, at most 1 together; "
                f"got {self.flawed_share:g} and {self.beyond_share:g}"
            )
        return self

    def count(self, quality: str) -> int:
        """Training clips of quality A or B."""
        moderate = sum(is_at(index, self.flawed_share + self.beyond_share) for index in range(self.clips))
        return moderate if quality == "B" else self.clips - moderate


def is_at(index: int, share: float) -> bool:
    """Whether the index is one of a share of all, chosen at steady intervals, so that every beginning has the share."""
    return int((index + 1) * share + 1e-9) > int(index * share + 1e-9)


def part_at(index: int, flawed_share: float, beyond_share: float) -> Literal["clean", "flawed", "beyond"]:
    """What a drawn training clip is, at steady intervals: clean is set A, the others set B."""
    both = flawed_share + beyond_share
    if not is_at(index, both):
        return "clean"
    earlier = int(index * both + 1e-9)
    return "beyond" if is_at(earlier, beyond_share / both) else "flawed"


class ShardsWithWeight(Section):
    """One of several sets of training clips."""

    path: Shards
    """A folder, or a URL."""
    weight: PositiveWeight | None = None
    """Its share of all samples, against the other sets' weights; all sets have one, or none has."""


class Cache(Section):
    """Where clips of object stores are kept on this machine, for all its processes."""

    path: FilePath
    """A folder of its own on a local disk."""
    gib: Annotated[float, Field(gt=0.0, le=1e6)] = 100.0
    """GiB that it takes at most; what was not used for longest goes first. It should hold the set: each epoch needs all
    of it once, and of a smaller cache most has gone when it is needed again."""


class Data(Section):
    """Where clips come from: the drawn world, or shards made by `fada data shard`."""

    world: World | None = None
    """Draw the data (the embedded default)."""
    train_shards: Shards | Listed[ShardsWithWeight] | None = None
    """Shards with training clips: a folder, or the URL of one in an object store (s3://bucket/folder). Latents and
    audio states in them are used as they are if this recipe's VAE and audio encoder made them, refused otherwise. Or a
    list of such sets, all with features: {path, weight}; without weights every clip of all sets comes once in every
    epoch."""
    quality_weights: Annotated[dict[str, PositiveWeight], Field(min_length=1, max_length=100)] | None = None
    """How often qualities are drawn within every set, against each other, whatever number of clips they have; those
    that are not named are not drawn. Default: by their numbers of clips."""
    order: Literal["global", "shards"] | None = None
    """`global`: every epoch is one shuffle of all clips. `shards`: every sample of a step has shards of its own, for
    good, and goes through them one after the other, the clips of some neighbours shuffled: a machine reads its own
    shards only, and its cache needs to hold no others. Default: `shards` where a set lies in an object store, else
    `global`."""
    cache: Cache | None = None
    """Keeps what is read of train_shards in an object store; without it every epoch reads them again."""
    test_shards: Shards | None = None
    """Shards with held-out clips: a folder or a URL. Frames and sound are needed."""

    @property
    def train_sets(self) -> tuple[ShardsWithWeight, ...]:
        """The sets of training shards, none for the drawn world."""
        if isinstance(self.train_shards, str):
            return (ShardsWithWeight(path=self.train_shards),)
        return self.train_shards or ()

    @property
    def is_by_shard(self) -> bool:
        """Whether training goes through the clips shard by shard."""
        stored = any("://" in each.path for each in self.train_sets)
        return self.order == "shards" or (self.order is None and stored)

    @property
    def train_name(self) -> str:
        """Where the training clips come from, for people."""
        return ", ".join(each.path for each in self.train_sets) or "data.world"

    @model_validator(mode="after")
    def only_shards_have_shards(self) -> Data:
        if self.order == "shards" and self.world is not None:
            raise ValueError("data.order: shards is for data.train_shards; leave it out for data.world")
        return self

    @field_validator("train_shards")
    @classmethod
    def weights_for_all_or_none(cls, given: Any) -> Any:
        if isinstance(given, tuple):
            without = [each.path for each in given if each.weight is None]
            if not given or 0 < len(without) < len(given):
                raise ValueError(
                    f"give every set a weight, or none; {', '.join(without[:3])} has none" if given else "name a set"
                )
            if len({each.path for each in given}) < len(given):
                raise ValueError("a set is named twice; give it one weight")
        return given

    @model_validator(mode="after")
    def one_source(self) -> Data:
        if (self.world is None) == (self.train_shards is None):
            raise ValueError("give exactly one of data.world and data.train_shards")
        if (self.train_shards is None) != (self.test_shards is None):
            raise ValueError("train_shards and test_shards belong together: give both or none")
        return self


class ClipShape(Section):
    """One training sample."""

    frames: Frames = 12
    """Frames per clip that are denoised together."""
    motion_frames: FramesOrNone = 2
    """Frames of the clip before that the networks see."""
    size: Pixels = 512
    """Side of the square crop, in pixels."""
    fps: Annotated[float, Field(ge=1.0, le=1000.0)] = 25.0
    """Frames per second; audio is cut to match."""

    @field_validator("size")
    @classmethod
    def divisible(cls, size: int) -> int:
        if size % 16:
            raise ValueError(f"size must be a positive multiple of 16, got {size}")
        return size


class Audio(Section):
    """The frozen audio encoder."""

    kind: Literal["log_mel", "wav2vec2", "whisper"] = "log_mel"
    """`log_mel` needs no weights (embedded default); `wav2vec2` uses all hidden states of a transformers model,
    `whisper` those of its encoder."""
    path: FilePath | None = None
    """Folder of the wav2vec2 or Whisper model; only for these kinds."""
    rate: Literal["states", "features", "pairs"] | None = None
    """What of the model is brought to the video's rate. `states`: what its transformer gives, all layers. `pairs`: of
    its last layer two states per frame. `features`: what goes into it, as Hallo does; only for `wav2vec2`. Default:
    what the folder says (an imported Hallo's does), or `states`.
    """
    states: Literal["stored", "from_sound"] = "stored"
    """Of training shards with latents: `stored` audio states, or `from_sound`: made of the clip's sound each time it is
    drawn, which takes a hundredth of their bytes and a worker's time (`engine.data_workers`)."""
    bins: Few = 32
    """Mel bins; only for `log_mel`."""
    context: Annotated[int, Field(ge=CONTEXT.low, le=CONTEXT.high)] = 2
    """Video frames of audio to each side that a frame sees."""

    @model_validator(mode="after")
    def models_have_a_path(self) -> Audio:
        if self.kind != "log_mel" and self.path is None:
            raise ValueError(f"audio.path: a {self.kind} folder is needed when audio.kind is {self.kind}")
        return self

    @model_validator(mode="after")
    def rate_is_one_of_its_kind(self) -> Audio:
        if self.kind == "log_mel" and self.rate is not None:
            raise ValueError("audio.rate: log_mel has none; leave it out, or set audio.kind=wav2vec2")
        if self.kind == "whisper" and self.rate == "features":
            raise ValueError(
                "audio.rate: whisper has no features, its layers know 50 states per second alone; choose states or "
                "pairs"
            )
        return self
