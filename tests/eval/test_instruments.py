from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from fada.eval.bench.footage import Footage
from fada.eval.instruments.instruments import FeatureInstrument, RealInstruments, VideoInstrument, look
from fada.eval.metrics.not_measurable import NotMeasurable
from fada.eval.statistics.set_metrics import real_set_metrics

RANDOM = np.random.default_rng(0)


@pytest.fixture
def footage() -> Footage:
    frames = np.full((4, 8, 8, 3), 90, np.uint8)
    return Footage(frames=frames, audio=np.ones(2560), fps=25.0, sample_rate=16000, reference=frames[0])


def refuse(footage: Footage) -> Mapping[str, float]:
    raise NotMeasurable("no face")


@pytest.fixture
def real() -> RealInstruments:
    return RealInstruments(
        videos=(
            VideoInstrument(("niqe",), {"weights": {"a": "1"}}, lambda footage: {"niqe": 4.0}),
            VideoInstrument(("sync_c", "sync_d"), {"weights": {}}, refuse, hears=True),
            VideoInstrument(("iqa",), {}, reason="no one-align/"),
        ),
        features=(
            FeatureInstrument("inception", ("fid", "kid"), "frames", {"weights": {}}, reason="no weights"),
            FeatureInstrument(
                "blendshapes", ("efid_blendshape",), "frames", {"weights": {"b": "2"}}, lambda footage: np.ones((4, 2))
            ),
        ),
    )


def test_every_value_or_its_reason(footage: Footage, real: RealInstruments) -> None:
    seen = look(footage, real)
    assert seen.values == {"niqe": 4.0, "sync_c": None, "sync_d": None, "iqa": None}
    assert seen.reasons == {"sync_c": "no face", "sync_d": "no face", "iqa": "no one-align/"}
    assert list(seen.features) == ["blendshapes"]
    assert seen.feature_reasons == {"inception": "no weights"}


def test_another_sound_is_heard_only_by_what_hears(footage: Footage, real: RealInstruments) -> None:
    seen = look(footage, real, only_sound=True)
    assert list(seen.values) == ["sync_c", "sync_d"]
    assert not seen.features
    assert not seen.feature_reasons


def test_a_name_left_out_is_null_with_a_reason(footage: Footage) -> None:
    still = VideoInstrument(("lip_sound_confidence", "lip_sound_offset"), {}, lambda _: {"lip_sound_confidence": 0.0})
    values, reasons = still.values(footage)
    assert values == {"lip_sound_confidence": 0.0, "lip_sound_offset": None}
    assert reasons == {"lip_sound_offset": "a mouth that never moves has none"}


def test_what_is_switched_off_has_no_protocol_and_other_weights_another_fingerprint(real: RealInstruments) -> None:
    protocols = real.protocols(fps=[25.0], clips=3)
    assert list(protocols) == ["niqe", "sync_c", "sync_d", "efid_blendshape"]
    other = VideoInstrument(("niqe",), {"weights": {"a": "9"}}, lambda footage: {"niqe": 4.0})
    changed = RealInstruments((other,), ()).protocols(fps=[25.0], clips=3)
    assert protocols["niqe"]["weights"] == {"a": "1"}
    assert changed["niqe"]["fingerprint"] != protocols["niqe"]["fingerprint"]
    assert real.protocols(fps=[25.0], clips=4)["niqe"]["fingerprint"] != protocols["niqe"]["fingerprint"]


def test_distances_of_features_have_value_floor_and_numbers(real: RealInstruments) -> None:
    truths = [({"blendshapes": RANDOM.normal(size=(30, 3))}, {"inception": "no weights"}) for _ in range(2)]
    videos = [({"blendshapes": found["blendshapes"] + 1.0}, missing) for found, missing in truths]
    rows = {row["metric"]: row for row in real_set_metrics("fast-6", videos, truths, real)}
    assert rows["efid_blendshape"]["value"] == pytest.approx(3.0)
    assert rows["efid_blendshape"]["floor"] > 0
    assert (rows["efid_blendshape"]["samples"], rows["efid_blendshape"]["videos"]) == (60, 2)
    assert rows["fid"]["value"] is None
    assert rows["kid"]["reason"] == "no weights"


def test_identical_sets_are_at_distance_zero_in_any_order(real: RealInstruments) -> None:
    truths = [({"blendshapes": RANDOM.normal(size=(30, 3))}, {"inception": ""}) for _ in range(3)]
    (row,) = (row for row in real_set_metrics("x", truths[::-1], truths, real) if row["metric"] == "efid_blendshape")
    assert row["value"] == pytest.approx(0.0, abs=1e-9)


def test_a_video_without_features_makes_its_systems_distance_null(real: RealInstruments) -> None:
    truths = [({"blendshapes": RANDOM.normal(size=(30, 3))}, {"inception": ""}) for _ in range(2)]
    videos = [truths[0], ({}, {"inception": "", "blendshapes": "no face found in 9 of 20 frames"})]
    (row,) = (row for row in real_set_metrics("x", videos, truths, real) if row["metric"] == "efid_blendshape")
    assert (row["value"], row["reason"]) == (None, "no face found in 9 of 20 frames")
