"""Where a sample's emotion comes from: stored by `fada data shard`, else the truth of a drawn clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from torch import Tensor

from fada.data.clips.emotion import soft_label
from fada.data.shards.format import Sample
from fada.data.world.emotion_truth import emotion_of_truth


def sample_emotion(sample: Sample) -> Tensor | None:
    """The soft label (7,) of a sample; None where nothing of it tells of an emotion.

    Raises:
        ValueError: what tells of it is damaged.
    """
    try:
        return emotion_of_truth(sample.meta) if sample.emotion is None else soft_label(sample.emotion)
    except ValueError as error:
        raise ValueError(f"{sample.key}: {error}") from error


def with_emotion(samples: Iterable[Sample]) -> Iterator[Sample]:
    """The samples, with their emotion as shards store it where something tells of it.

    Raises:
        ValueError: as `sample_emotion`.
    """
    for sample in samples:
        found = None if sample.emotion is not None else sample_emotion(sample)
        yield sample if found is None else replace(sample, emotion=found)
