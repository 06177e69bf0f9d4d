from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fada.eval.bench.controls import FROZEN, SHUFFLED, TRUTH, measure_controls, other_sound
from fada.eval.bench.measure import Instruments, measure_clip, measured_aperture


def test_truth_scores_best(make_clip, instruments) -> None:
    clip = make_clip(0)
    values = measure_clip(clip, clip.truth_frames, clip.truth_latents, instruments).values
    assert values["mouth_correlation_synth"] > 0.99
    assert values["mouth_lag_synth"] == 0
    assert values["identity_error_synth"] == values["latent_mse_truth"] == 0.0
    assert values["aperture_velocity_ratio_synth"] == pytest.approx(1.0, abs=0.05)


def test_a_late_video_has_that_lag(make_clip, instruments) -> None:
    clip = make_clip(0)
    late = np.concatenate([np.repeat(clip.truth_frames[:1], 3, 0), clip.truth_frames[:-3]])
    assert measure_clip(clip, late, None, instruments).values["mouth_lag_synth"] == 3


def test_every_null_has_a_reason_and_every_reason_a_null(make_clip, instruments) -> None:
    measured = measure_clip(make_clip(0), make_clip(0).truth_frames, None, instruments)
    assert {name for name, value in measured.values.items() if value is None} == set(measured.reasons)
    assert measured.reasons["latent_mse_truth"] == "the system returned no latents"


def test_without_an_instrument_the_mouth_is_null(make_clip) -> None:
    measured = measure_clip(make_clip(0), make_clip(0).truth_frames, None, Instruments())
    assert measured.values["mouth_correlation_synth"] is None
    assert "no instrument" in measured.reasons["mouth_correlation_synth"]


def test_real_footage_has_no_synthetic_values(make_clip, instruments) -> None:
    clip = make_clip(0, drawn=False)
    values = measure_clip(clip, clip.truth_frames, clip.truth_latents, instruments).values
    assert not [name for name in values if name.endswith("_synth")]
    assert values["still_colour_error"] == 0.0


def test_real_lips_are_compared_by_the_landmarker(make_clip) -> None:
    clip = make_clip(0, drawn=False)
    landmarks = Instruments(landmark_aperture=lambda frames: (frames < 40).all(-1).sum((1, 2)).astype(float))
    values = measure_clip(clip, clip.truth_frames[2:], None, landmarks).values
    assert values["lip_lag"] == -2


def test_lips_without_a_landmarker_are_null(make_clip) -> None:
    measured = measure_clip(make_clip(0, drawn=False), make_clip(0).truth_frames, None, Instruments())
    assert measured.reasons["lip_correlation"] == "no face landmarker was given"


def test_true_frames_without_a_face_are_named(make_clip) -> None:
    landmarks = Instruments(landmark_aperture=lambda frames: np.full(len(frames), np.nan))
    measured = measure_clip(make_clip(0, drawn=False), make_clip(0).truth_frames, None, landmarks)
    assert "no face found in 24 of 24 true frames" in measured.reasons["lip_correlation"]


def test_the_sounds_own_curve_is_used_where_the_mouth_was_shifted(make_clip, instruments) -> None:
    clip = make_clip(0)
    truth = clip.meta["truth"]
    shifted = replace(clip, meta={"truth": truth | {"heard_aperture": np.roll(truth["aperture"], 4).tolist()}})
    assert measure_clip(shifted, clip.truth_frames, None, instruments).values["mouth_lag_synth"] == -4


def test_a_shorter_video_sees_only_its_part_of_the_truth() -> None:
    seen = {}

    def spy(frames: np.ndarray, truth: dict) -> np.ndarray:
        seen.update(truth)
        return np.zeros(len(frames))

    truth = {"aperture": [0.0] * 9, "box": [[1, 2]] * 9, "colours": {"skin": 1}}
    assert len(measured_aperture(np.zeros((4, 8, 8, 3), np.uint8), truth, spy)) == 4
    assert (len(seen["aperture"]), len(seen["box"]), seen["colours"]) == (4, 4, {"skin": 1})


def test_latents_that_are_not_finite_become_null(make_clip, instruments) -> None:
    clip = make_clip(0)
    measured = measure_clip(clip, clip.truth_frames, torch.full((24, 3, 8, 8), float("nan")), instruments)
    assert measured.values["latent_mse_truth"] is None
    assert "not finite" in measured.reasons["latent_mse_truth"]


def test_controls_know_truth_from_chance_and_stillness(make_clip, instruments) -> None:
    clips = [make_clip(0), make_clip(1)]
    controls = measure_controls(clips[0], clips, instruments, None)
    assert controls[TRUTH].values["mouth_correlation_synth"] > 0.99
    assert controls[SHUFFLED].values["mouth_correlation_synth"] < 0.5
    assert controls[FROZEN].values["mouth_correlation_synth"] == 0.0
    assert controls[FROZEN].values["aperture_velocity_ratio_synth"] == 0.0


def test_a_single_clip_has_no_shuffled_control(make_clip, instruments) -> None:
    assert SHUFFLED not in measure_controls(make_clip(0), [make_clip(0)], instruments, None)


def test_the_shuffled_sound_is_never_the_same_sound(make_clip) -> None:
    twin = replace(make_clip(0), key="twin")
    clips = [make_clip(0), twin, make_clip(1)]
    partner = other_sound(clips[0], clips)
    assert partner is not None
    assert partner.key == "clip-1"


def test_a_clip_without_truth_has_no_controls(make_clip, instruments) -> None:
    clip = replace(make_clip(0), truth_frames=None, meta={})
    assert measure_controls(clip, [clip], instruments, None) == {}
