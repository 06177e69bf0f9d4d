"""What can be known of a recipe's data before anything is trained on it: every part finds clips that it can use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from fada.data.dataset import LatentClip
from fada.data.location import Location
from fada.data.shards import read_shards
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe


def check_trained_clips(recipe: Recipe, clips: Sequence[LatentClip]) -> None:
    """Know that each stage and phase has a clip of its quality that is long enough.

    Raises:
        RecipeError: naming the key path of the first that has none.
    """
    check_qualities(recipe, (clip.quality for clip in clips))
    for where, quality, frames in recipe.wanted_clips():
        lengths = [len(clip.latents) for clip in clips if quality in ("all", clip.quality)]
        if max(lengths) < frames:
            raise RecipeError(
                f"{where}: wants {frames} frames, but the longest of its {len(lengths)} training clips has "
                f"{max(lengths)}; make longer clips, or lower clip.frames"
            )


def check_qualities(recipe: Recipe, qualities: Iterable[str]) -> None:
    """Know that each stage and phase has a clip of its quality.

    Args:
        qualities: of all training clips.

    Raises:
        RecipeError: naming the key path of the first that has none.
    """
    counts = Counter(qualities)
    held = ", ".join(f"{count} of {quality}" for quality, count in sorted(counts.items())) or "none"
    source = recipe.data.train_shards or "data.world"
    for where, quality, _ in recipe.wanted_clips():
        if not (counts.total() if quality == "all" else counts[quality]):
            raise RecipeError(
                f"{where}.quality: {quality}, but of {source}'s training clips none has it (there are {held}); change "
                "it, or filter the clips with other thresholds"
            )


def check_shards(recipe: Recipe) -> None:
    """`check_qualities` of shards on this machine, from what they say of their clips; nothing is decoded.

    Raises:
        RecipeError: as `check_qualities`.
        ShardError: they cannot be read.
    """
    shards = recipe.data.train_shards
    if shards is None or Location(shards).folder is None or not Path(shards).exists():
        return
    check_qualities(recipe, [str(sample.meta.get("quality", "A")) for sample in read_shards(shards, parts=())])
