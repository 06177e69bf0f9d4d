"""What real footage is measured with: instruments that are there, and for the others the reason why they are not.

An instrument is a function with names and a protocol. Which weights each needs, and how it is made of them, is told in
``fada.eval.instruments.opening``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fada.eval.bench.footage import FaceReading, Footage
from fada.eval.bench.results import fingerprint
from fada.eval.metrics.frechet import frechet_distance, kernel_distance
from fada.eval.metrics.not_measurable import NotMeasurable

Distance = Callable[[np.ndarray, np.ndarray], float]
DISTANCES: dict[str, Distance] = {
    "fid": frechet_distance,
    "kid": kernel_distance,
    "fvd_r": frechet_distance,
    "fvd_i3d": frechet_distance,
    "efid": frechet_distance,
    "efid_blendshape": frechet_distance,
    "fd_mobileface": frechet_distance,
}
"""Metrics over all clips of a system, by name."""


@dataclass(frozen=True)
class VideoInstrument:
    """Measures one video.

    Args:
        names: the metrics that it gives, as in the catalogue.
        protocol: implementation, input, hash of the weights: what makes two figures comparable.
        measure: a value per name; a name may be left out where it has no value. None where weights are missing.
        reason: why ``measure`` is None.
        hears: whether the sound matters, so that another clip's sound is a control.
    """

    names: tuple[str, ...]
    protocol: Mapping[str, Any]
    measure: Callable[[Footage], Mapping[str, float]] | None = None
    reason: str = ""
    hears: bool = False

    def values(self, footage: Footage) -> tuple[dict[str, float | None], dict[str, str]]:
        """A value or null for every name, and the reasons of the nulls."""
        try:
            if self.measure is None:
                raise NotMeasurable(self.reason)
            found = self.measure(footage)
        except NotMeasurable as problem:
            return dict.fromkeys(self.names), dict.fromkeys(self.names, str(problem))
        values = {name: None if name not in found else float(found[name]) for name in self.names}
        return values, {name: "a mouth that never moves has none" for name in self.names if name not in found}


@dataclass(frozen=True)
class FeatureInstrument:
    """Features of a video, of which distances between sets are taken.

    Args:
        name: of the features.
        metrics: keys of ``DISTANCES``.
        unit: what one row of the features stands for: ``frames`` or ``segments``.
        protocol: as for videos.
        features: (N, d) of one video; None where weights are missing.
        reason: why it is None.
    """

    name: str
    metrics: tuple[str, ...]
    unit: str
    protocol: Mapping[str, Any]
    features: Callable[[Footage], np.ndarray] | None = None
    reason: str = ""

    def of(self, footage: Footage) -> np.ndarray:
        """The features of one video.

        Raises:
            NotMeasurable: weights are missing, or the video has none.
        """
        if self.features is None:
            raise NotMeasurable(self.reason)
        return self.features(footage)


@dataclass(frozen=True)
class RealInstruments:
    """Everything that measures real footage."""

    videos: tuple[VideoInstrument, ...]
    features: tuple[FeatureInstrument, ...]
    read_face: Callable[[np.ndarray], FaceReading] | None = None
    no_face_reason: str = "no face landmarker was given"
    close: Callable[[], None] = lambda: None
    """Frees what they hold; they measure nothing any more then."""

    @property
    def lip_opening(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """Of a video (F, H, W, 3), (F,) with NaN where no face was found; None without a face landmarker."""
        read = self.read_face
        return None if read is None else lambda frames: read(frames).lip_opening

    def protocols(self, **shared: Any) -> dict[str, dict[str, Any]]:
        """By metric: its protocol, with what all share (frames, rate, number of clips), and a fingerprint over both.

        Metrics that are switched off have none.
        """
        there: dict[str, Mapping[str, Any]] = {}
        for video in self.videos:
            there |= dict.fromkeys(video.names, video.protocol) if video.measure is not None else {}
        for one in self.features:
            there |= dict.fromkeys(one.metrics, one.protocol) if one.features is not None else {}
        return {name: {**own, "fingerprint": fingerprint([name, own, shared])} for name, own in there.items()}


@dataclass(frozen=True)
class Seen:
    """What the instruments say of one video: values, features, and a reason for each that is missing."""

    values: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    features: dict[str, np.ndarray] = field(default_factory=dict)
    feature_reasons: dict[str, str] = field(default_factory=dict)


def look(footage: Footage, instruments: RealInstruments, only_sound: bool = False) -> Seen:
    """All instruments on one video; with ``only_sound`` those alone that hear."""
    seen = Seen()
    for video in instruments.videos:
        if video.hears or not only_sound:
            values, reasons = video.values(footage)
            seen.values.update(values)
            seen.reasons.update(reasons)
    for instrument in () if only_sound else instruments.features:
        try:
            seen.features[instrument.name] = instrument.of(footage)
        except NotMeasurable as problem:
            seen.feature_reasons[instrument.name] = str(problem)
    return seen
