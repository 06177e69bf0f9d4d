"""Shares of sets and qualities in what is drawn, whatever number of clips they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fada.data.sampling.clip_source import ClipSource


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
        facts, of_set = clips.facts, clips.set_numbers.astype(np.int64)
        if self.qualities is None:
            present = np.flatnonzero(np.bincount(of_set))
            weights = self.sets or tuple(np.bincount(of_set).tolist())
            return of_set, {int(number): float(weights[number]) for number in present}
        count = len(facts.qualities)
        numbers = of_set * count + facts.quality
        by_quality = np.array([self.qualities.get(name, 0.0) for name in facts.qualities])
        sizes = np.bincount(numbers, minlength=count * (int(of_set.max()) + 1)).reshape(-1, count)
        within = (sizes > 0) * by_quality
        drawn = (sizes * (by_quality > 0)).sum(axis=1)
        by_set = drawn if self.sets is None else np.array(self.sets[: len(sizes)]) * (drawn > 0)
        if not drawn.any():
            raise ValueError(
                f"no clip is of a quality that has a weight ({', '.join(self.qualities)}); there are "
                f"{', '.join(f'{number} of {name}' for name, number in facts.counts().items())}"
            )
        shares = within * (by_set / np.maximum(within.sum(axis=1), 1e-300))[:, None]
        return numbers, {int(number): float(shares.reshape(-1)[number]) for number in np.flatnonzero(shares)}
