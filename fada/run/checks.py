"""What can be known of a recipe's data before anything is trained on it: every part finds clips that it can use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fada.data.sampling.clip_source import LatentClip, source_of
from fada.data.shards.location import Location
from fada.data.shards.shard_set import ShardSet
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe


def check_trained_clips(recipe: Recipe, clips: Sequence[LatentClip]) -> None:
    """Know that each stage and phase has a clip of its quality that is long enough.

    Raises:
        RecipeError: naming the key path of the first that has none.
    """
    facts = source_of(clips).facts
    check_qualities(recipe, facts.counts())
    for where, quality, frames in recipe.wanted_clips():
        lengths = facts.frames[facts.of_quality(quality)]
        if lengths.max() < frames:
            raise RecipeError(
                f"{where}: wants {frames} frames, but the longest of its {len(lengths)} training clips has "
                f"{lengths.max()}; make longer clips, or lower clip.frames"
            )


def check_qualities(recipe: Recipe, qualities: Iterable[str] | Mapping[str, int]) -> None:
    """Know that each stage and phase has a clip of its quality.

    Args:
        qualities: of all training clips, or how many there are of each.

    Raises:
        RecipeError: naming the key path of the first that has none.
    """
    counts = Counter(qualities)
    held = ", ".join(f"{count} of {quality}" for quality, count in sorted(counts.items())) or "none"
    source, weights = recipe.data.train_name, recipe.data.quality_weights
    for where, quality, _ in recipe.wanted_clips():
        wanted = [*counts] if weights is None else [*weights]
        if not (sum(counts[each] for each in wanted) if quality == "all" else counts[quality]):
            raise RecipeError(
                f"{where}.quality: {quality}, but of {source}'s training clips none has it (there are {held}); change "
                "it, or filter the clips with other thresholds"
            )


def check_shards(recipe: Recipe) -> None:
    """`check_qualities` of shards on this machine, from the table of their samples; nothing is decoded.

    Raises:
        RecipeError: as `check_qualities`.
        ShardError: they cannot be read.
    """
    sets = [each.path for each in recipe.data.train_sets]
    if not sets or any(Location(each).folder is None or not Path(each).exists() for each in sets):
        return
    counts: Counter[str] = Counter()
    for each in sets:
        counts.update(ShardSet(each).table.quality_counts())
    check_qualities(recipe, counts)
