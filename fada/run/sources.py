"""Where a run's clips come from: the drawn world in its folder, or shards; as samples, and as a hash of all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from rich.console import Console

from fada.data.clips.clip import Clip, ClipError, list_clips, read_clip, read_record
from fada.data.clips.sample_emotion import with_emotion
from fada.data.clips.sample_keypoints import keypoint_parts_of, with_keypoints
from fada.data.shards.reading import Sample, read_index, read_shards
from fada.data.shards.stored_clips import face_parts_of
from fada.data.world import make_world
from fada.data.world.emotion_truth import emotion_of_truth
from fada.data.world.keypoints import keypoints_of_truth
from fada.data.world.make import SETTINGS_FILE
from fada.eval.bench.results import fingerprint as hash_of
from fada.files.folders import inside
from fada.media.processors import usable_processors
from fada.recipe.schema import Recipe
from fada.run.folder import put_aside

FRAMES_PER_WORKER = 1000
"""A process draws no fewer: as many are drawn here while another one starts."""


class Source(Protocol):
    """Clips of one split."""

    def __iter__(self) -> Iterator[Sample]:
        """Frames and sound of every clip, read anew at every pass."""
        ...

    def hash(self) -> str:
        """Changes when the clips do."""
        ...


def sources_of(
    recipe: Recipe,
    folder: Path,
    console: Console,
    makes: bool = True,
    *,
    keypoints: bool = False,
    emotion: bool = False,
) -> dict[str, Source]:
    """Training and held-out clips (`train`, `test`) of a run.

    Args:
        makes: draw what is missing of a drawn world; else another process has done so.
        keypoints: the samples get them: of the truth, as stored, or of landmarks.
        emotion: the samples get it, where the truth or what is stored tells of it.
    """
    if recipe.data.world is not None:
        world = DrawnWorld(
            recipe, inside(folder, "data", "clips"), console, makes, keypoints=keypoints, emotion=emotion
        )
        if makes:
            world.draw()
        return {split: _DrawnClips(world, split) for split in ("train", "test")}
    assert recipe.data.test_shards is not None
    sets = [each.path for each in recipe.data.train_sets]
    folders = {"train": sets, "test": [recipe.data.test_shards]}
    return {split: Shards(*each, keypoints=keypoints, emotion=emotion) for split, each in folders.items()}


class DrawnWorld:
    """The drawn clips in a run's folder; those that cannot be read are drawn again."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        console: Console,
        makes: bool,
        *,
        keypoints: bool = False,
        emotion: bool = False,
    ) -> None:
        assert recipe.data.world is not None
        self.section, self.size, self.folder, self.console = recipe.data.world, recipe.clip.size, folder, console
        self.makes, self.keypoints, self.emotion = makes, keypoints, emotion

    def draw(self) -> None:
        """Draw what is missing."""
        _mend_settings(self.folder / SETTINGS_FILE, self.console)
        world = self.section
        total = world.clips + world.test_clips
        with self.console.status(f"drawing {total} clips") as status:
            make_world(
                self.folder,
                world.clips,
                world.seed,
                self.size,
                world.frames,
                world.flawed_share,
                workers=max(1, min(4, usable_processors(), total * world.frames // FRAMES_PER_WORKER)),
                test_clips=world.test_clips,
                version=world.version,
                beyond_share=world.beyond_share,
                emotion=world.emotion,
                from_rest=world.from_rest,
                progress=lambda done, of: status.update(f"drawing clips: {done} of {of}"),
            )

    def clips(self, split: str) -> Iterator[Clip]:
        """Every clip of a split."""
        for key in list_clips(self.folder):
            try:
                if _split_of(self.folder, key) == split:
                    yield self._read(key)
            except (ClipError, OSError) as error:
                if not self.makes:
                    raise
                self._draw_again(key, str(error))
                if _split_of(self.folder, key) == split:
                    yield self._read(key)

    def _read(self, key: str) -> Clip:
        """A clip, and where keypoints or an emotion are asked for one whose truth tells of them.

        Raises:
            ClipError: it cannot be read, or used.
        """
        clip = read_clip(self.folder, key)
        if self.keypoints:
            try:
                found = keypoints_of_truth(clip.meta)
            except ValueError as error:
                raise ClipError(f"{self.folder / key}.json: {error}") from error
            if found is None or len(found.points) != len(clip.frames):
                raise ClipError(f"{self.folder / key}.json: holds no truth of its {len(clip.frames)} frames")
        if self.emotion:
            try:
                emotion_of_truth(clip.meta)
            except ValueError as error:
                raise ClipError(f"{self.folder / key}.json: {error}") from error
        return clip

    def _draw_again(self, key: str, fault: str) -> None:
        for file in sorted(self.folder.glob(f"{key}.*")):
            if ".aside-" not in file.name:
                put_aside(file, f"cannot be used ({fault})", self.console)
        self.draw()

    def hash(self) -> str:
        """Over all that the training clips follow from."""
        told = self.section.model_dump(exclude={"test_clips", "version", "beyond_share", "emotion", "from_rest"})
        # What version 1 lacks is left out where it is not used: its clips, and runs on them, are what they were.
        beyond = [self.section.beyond_share] if self.section.beyond_share else []
        felt = [name for name in ("emotion", "from_rest") if getattr(self.section, name)]
        return hash_of([told, self.size, self.section.version, *beyond, *felt])


class _DrawnClips:
    def __init__(self, world: DrawnWorld, split: str) -> None:
        self.world, self.split = world, split

    def __iter__(self) -> Iterator[Sample]:
        clips = self.world.clips(self.split)
        samples: Iterator[Sample] = (Sample(clip.key, clip.meta, clip.frames, clip.audio) for clip in clips)
        samples = with_keypoints(samples) if self.world.keypoints else samples
        return with_emotion(samples) if self.world.emotion else samples

    def hash(self) -> str:
        return self.world.hash()


class Shards:
    """Frames and sound of sets of shards, one after the other, with faces, and keypoints and emotion if asked."""

    def __init__(self, *folders: str, keypoints: bool = False, emotion: bool = False) -> None:
        self.folders, self.keypoints, self.emotion = folders, keypoints, emotion

    def __iter__(self) -> Iterator[Sample]:
        for folder in self.folders:
            parts = {"frames", "audio", *face_parts(folder)}
            parts |= {*keypoint_parts_of(read_index(folder))} if self.keypoints else set()
            parts |= {"emotion"} if self.emotion else set()
            samples = read_shards(folder, parts=parts)
            samples = with_keypoints(samples) if self.keypoints else samples
            yield from with_emotion(samples) if self.emotion else samples

    def hash(self) -> str:
        """Over the hashes of all shards, in their order."""
        return hash_of([asdict(shard) for folder in self.folders for shard in read_index(folder).shards])


def face_parts(shards: str | Path) -> tuple[str, ...]:
    """Parts that tell of faces."""
    return face_parts_of(read_index(shards))


def _split_of(folder: Path, key: str) -> str:
    """The split of a clip, from its record alone: nothing is decoded."""
    return str(read_record(folder / f"{key}.json")["meta"].get("split", "train"))


def _mend_settings(file: Path, console: Console) -> None:
    """In a run's folder they follow from its recipe: what cannot be read is written again."""
    try:
        is_whole = not file.exists() or isinstance(json.loads(file.read_bytes()), dict)
    except (ValueError, RecursionError):
        is_whole = False
    if not is_whole:
        put_aside(file, "cannot be read as JSON", console)
