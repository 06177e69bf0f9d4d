"""Shares of sets and qualities in what is drawn, whatever number of clips they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fada.data.clip_source import ClipSource


@dataclass(frozen=True)
class Mixture:
    """How often sets and qualities are drawn, against each other.

    sets: a weight for each set of clips, in their order; None: each by the number of its clips. qualities: a weight
    for each quality within every set; None: by numbers too. A quality that is not named is not drawn.
    """

    sets: tuple[float, ...] | None = None
    qualities: Mapping[str, float] | None = None

    def groups(self, clips: ClipSource) -> tuple[np.ndarray, dict[int, float]]:
        """For each clip the number of its group, and the weights of those groups that have clips.

        Raises:
            ValueError: no clip is of a quality that has a weight.
        """
        facts, count = clips.facts, len(clips.facts.qualities)
        numbers = clips.set_numbers.astype(np.int64) * count + facts.quality
        sizes = np.bincount(numbers, minlength=count * (int(clips.set_numbers.max()) + 1)).reshape(-1, count)
        named = self.qualities
        by_quality = np.ones(count) if named is None else np.array([named.get(name, 0.0) for name in facts.qualities])
        within = (sizes if named is None else (sizes > 0)) * by_quality
        totals = within.sum(axis=1, keepdims=True)
        shares = np.divide(within, totals, out=np.zeros_like(within, dtype=np.float64), where=totals > 0)
        drawn = (sizes * (by_quality > 0)).sum(axis=1)
        by_set = drawn if self.sets is None else np.array(self.sets[: len(sizes)]) * (drawn > 0)
        weights = (shares * by_set[:, None]).reshape(-1)
        if not weights.any():
            raise ValueError(
                f"no clip is of a quality that has a weight ({', '.join(named or ())}); there are "
                f"{', '.join(f'{number} of {name}' for name, number in facts.counts().items())}"
            )
        return numbers, {int(number): float(weights[number]) for number in np.flatnonzero(weights)}
