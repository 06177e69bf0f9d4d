"""Emotion metrics: right by hand, on truth near the intensity, and only in reports whose systems are asked for one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fada.data.clips.clip import Clip
from fada.data.clips.emotion import EMOTIONS, emotion_of
from fada.data.world import draw, make_clip
from fada.data.world.feeling import DIRECTIONS, RESTING, Feeling
from fada.eval.bench.bench import _instrument_names
from fada.eval.bench.measure import Instruments, measure_clip
from fada.eval.bench.systems import BenchClip
from fada.eval.metrics.catalogue import CATALOGUE
from fada.eval.metrics.expression import emotion_error, emotion_strength
from fada.eval.metrics.not_measurable import NotMeasurable
from fada.studies.systems import instruments

HAPPY = DIRECTIONS[EMOTIONS.index("happy")]
NAMES = ("emotion_error_synth", "emotion_strength_synth")


def label(**named: float) -> np.ndarray:
    return emotion_of(named).double().numpy()


def test_a_face_that_does_what_was_asked_has_no_error_and_its_intensity() -> None:
    features = np.stack([RESTING + 0.6 * HAPPY] * 3)
    assert emotion_error(features, label(happy=0.6)) == pytest.approx(0.0, abs=1e-6)
    assert emotion_strength(features, label(happy=0.6)) == pytest.approx(0.6)
    # The strength is the face's: what was asked decides the way alone.
    assert emotion_strength(features, label(happy=1.0)) == pytest.approx(0.6)
    assert emotion_error(features, label(happy=1.0)) == pytest.approx(0.4 * np.linalg.norm(HAPPY))
    assert emotion_strength(2 * RESTING - features, label(happy=1.0)) == pytest.approx(-0.6)


def test_errors_are_means_over_frames_and_strengths_of_the_mean() -> None:
    features = np.stack([RESTING, RESTING + HAPPY])
    assert emotion_error(features, label(happy=1.0)) == pytest.approx(0.5 * np.linalg.norm(HAPPY))
    assert emotion_strength(features, label(happy=1.0)) == pytest.approx(0.5)


def test_what_lies_beside_the_asked_way_is_error_and_no_strength() -> None:
    across = np.array([0.0, 1.0, 0.0, 0.0])
    assert HAPPY @ across == 0.0
    features = (RESTING + HAPPY + across)[None]
    assert emotion_strength(features, label(happy=1.0)) == pytest.approx(1.0)
    assert emotion_error(features, label(happy=1.0)) == pytest.approx(1.0)


def test_a_neutral_face_has_an_error_and_no_strength() -> None:
    assert emotion_error(RESTING[None], label()) == pytest.approx(0.0)
    with pytest.raises(NotMeasurable, match="a neutral face was asked for"):
        emotion_strength(RESTING[None], label())


def felt(name: str, intensity: float) -> Clip:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw, "draw_feeling", lambda rng: Feeling(name, intensity))
        return make_clip(11, 2, size=64, frames=25, version=2, emotion=True)


def bench(clip: Clip, emotion: torch.Tensor | None) -> BenchClip:
    return BenchClip(clip.key, "me", clip.frames[0], clip.audio, clip.frames, meta=clip.meta, emotion=emotion)


def test_on_truth_the_strength_is_the_intensity_and_other_emotions_are_errors() -> None:
    sad, fear = felt("sad", 0.7), felt("fear", 0.7)
    clip = bench(sad, emotion_of({"sad": 0.7}))
    tools = instruments([clip])
    own = measure_clip(clip, sad.frames, None, tools).values
    assert own["emotion_strength_synth"] == pytest.approx(0.7, abs=0.1)
    assert own["emotion_error_synth"] is not None
    assert own["emotion_error_synth"] < 0.3
    other = measure_clip(clip, fear.frames, None, tools).values
    assert other["emotion_error_synth"] > 3 * own["emotion_error_synth"]  # type: ignore[operator]
    assert other["emotion_strength_synth"] < 0.4  # type: ignore[operator]
    longer = measure_clip(clip, np.concatenate([sad.frames, sad.frames[:5]]), None, tools).values
    assert longer["emotion_strength_synth"] == pytest.approx(own["emotion_strength_synth"], abs=1e-9)


def test_reports_of_systems_that_are_asked_for_none_are_what_they_were() -> None:
    clip = bench(felt("sad", 0.7), None)
    tools = instruments([clip])
    assert tools.measure_expression is None
    assert list(_instrument_names(tools)) == ["measure_aperture", "landmark_aperture", "measure_likeness"]
    assert not set(NAMES) & measure_clip(clip, clip.truth_frames, None, tools).values.keys()  # type: ignore[arg-type]
    asked = replace(clip, emotion=emotion_of({"sad": 0.7}))
    assert _instrument_names(instruments([asked]))["measure_expression"] == "_expression"
    without = measure_clip(asked, clip.truth_frames, None, Instruments())  # type: ignore[arg-type]
    assert {without.reasons[name] for name in NAMES} == {"no instrument for a face's expression was given"}
    filmed = replace(asked, meta={})
    assert not set(NAMES) & measure_clip(filmed, filmed.truth_frames, None, tools).values.keys()  # type: ignore[arg-type]


def test_the_catalogue_reads_them() -> None:
    assert [CATALOGUE[name].better for name in NAMES] == ["lower", "higher"]
