"""The parts of preparing: synchronisation, crops, masks, measurements, all against known answers."""

from __future__ import annotations

import numpy as np
import pytest

from fada.data.prepare import measure
from fada.data.prepare.crop import choose_box, cut, to_crop
from fada.data.prepare.masks import FACE_OUTLINE, LIP_OUTLINE, draw_masks, read_landmarks
from fada.data.prepare.models import overlap
from fada.data.prepare.source import clip_key, is_test_identity
from fada.data.prepare.sync import measure_sync


def speech(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    mouth = np.convolve(generator.standard_normal(count + 4), np.ones(5) / 5, "valid").clip(0)
    audio = 0.3 * np.repeat(mouth, 640) * generator.standard_normal(count * 640)
    return mouth, audio.astype(np.float32)


@pytest.mark.parametrize("offset", [-9, -2, 0, 3, 12])
def test_known_offsets_are_found(offset) -> None:
    mouth, audio = speech(250, 0)
    late = np.roll(mouth, offset)
    measured = measure_sync(late, late, audio)
    # Windows are centred on the start of a frame, this sound is constant within one: half a frame of ambiguity.
    assert measured.offset in (offset, offset + 1) or measured.offset == offset == 12
    assert measured.confidence > 4
    assert measured.margin > 0.1


def test_unrelated_sound_has_low_confidence() -> None:
    values = [measure_sync(speech(250, s)[0], speech(250, s)[0], speech(250, s + 50)[1]).confidence for s in range(12)]
    assert np.median(values) < 2.5
    assert max(values) < 4


def test_a_still_mouth_has_no_offset() -> None:
    measured = measure_sync(np.zeros(100), np.zeros(100), speech(100, 0)[1])
    assert (measured.offset, measured.correlation, measured.confidence) == (0, 0.0, 0.0)


def test_too_few_frames_have_no_offset() -> None:
    assert measure_sync(np.ones(10), np.ones(10), np.ones(6400, np.float32)).confidence == 0.0


def landmarks(centre: tuple[float, float], height: float, count: int = 1) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 478, endpoint=False)
    ring = np.stack([0.4 * np.sin(angles), -0.5 * np.cos(angles)], axis=1)
    points = np.zeros((478, 2))
    points[:] = ring
    for outline, size in ((FACE_OUTLINE, 1.0), (LIP_OUTLINE, 0.2)):
        turn = np.linspace(0, 2 * np.pi, len(outline), endpoint=False)
        points[list(outline)] = size * np.stack([0.4 * np.sin(turn), -0.5 * np.cos(turn)], axis=1)
    return np.repeat((points * height + centre)[None], count, axis=0).astype(np.float32)


def test_crop_is_square_steady_and_inside() -> None:
    box = choose_box(landmarks((300, 250), 100, 5), (480, 640), margin=1.9)
    assert box.is_fixed
    assert box.padded_share == 0
    assert abs(box.side - 190) < 2
    assert np.ptp(box.centres, axis=0).max() == 0


def test_crop_moves_inside_the_picture_before_it_pads() -> None:
    box = choose_box(landmarks((300, 80), 100), (480, 640), margin=1.9)
    assert box.padded_share == 0
    assert box.corners()[0, 1] == 0


def test_crop_shrinks_to_a_small_picture() -> None:
    assert choose_box(landmarks((75, 75), 100), (150, 150)).side == 150


def test_crop_pads_where_the_head_leaves_the_picture() -> None:
    assert choose_box(landmarks((0, 240), 200), (480, 640)).padded_share > 0.1


def test_crop_glides_after_a_walking_head() -> None:
    walk = np.concatenate([landmarks((100 + 4 * step, 240), 100) for step in range(80)])
    box = choose_box(walk, (480, 640))
    assert not box.is_fixed
    assert np.abs(np.diff(box.centres[:, 0], n=2)).max() < 0.5


def test_cut_takes_the_right_pixels() -> None:
    pixels = np.arange(20 * 30 * 3, dtype=np.uint32).reshape(20, 30, 3).astype(np.uint8)
    np.testing.assert_array_equal(cut(pixels, np.array([4.0, 6.0]), 8.0, 8), pixels[6:14, 4:12])


def test_cut_repeats_the_edge_beyond_the_picture() -> None:
    pixels = np.zeros((10, 10, 3), np.uint8)
    pixels[0] = 200
    square = cut(pixels, np.array([0.0, -5.0]), 10.0, 10)
    assert (square[:6] == 200).all()
    assert (square[6:] == 0).all()


def test_landmarks_follow_the_crop() -> None:
    points = landmarks((300, 250), 100, 2)
    box = choose_box(points, (480, 640))
    shares = to_crop(points, box)
    np.testing.assert_allclose(shares * box.side + box.corners()[:, None], points, atol=1e-3)


def test_face_mask_has_the_area_of_its_ellipse() -> None:
    mask = draw_masks(landmarks((0.5, 0.5), 0.6), 64, "face", enlarge=1.0)
    assert mask.shape == (1, 64, 64)
    assert abs(mask.mean() - np.pi * 0.24 * 0.3) < 0.01


def test_lip_mask_lies_in_the_face_mask() -> None:
    points = landmarks((0.5, 0.5), 0.6)
    face, lip = draw_masks(points, 32, "face"), draw_masks(points, 32, "lip")
    assert 0 < lip.sum() < face.sum()
    assert (lip <= face + 1e-6).all()


def test_full_and_background_masks() -> None:
    points = landmarks((0.5, 0.5), 0.6)
    assert (draw_masks(points, 8, "full") == 1).all()
    np.testing.assert_allclose(draw_masks(points, 8, "background") + draw_masks(points, 8, "face"), 1)


def test_blurred_masks_are_soft() -> None:
    mask = draw_masks(landmarks((0.5, 0.5), 0.6), 64, "face", blur=0.03)
    assert ((mask > 0.1) & (mask < 0.9)).mean() > 0.1


def test_landmarks_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(F, 478, 2\), got \(478, 2\)"):
        draw_masks(np.zeros((478, 2)), 8, "face")


def test_missing_landmarks_say_who_makes_them(tmp_path) -> None:
    with pytest.raises(ValueError, match="only clips made by `fada data prepare` have them"):
        read_landmarks(tmp_path, "none")


def test_damaged_landmarks_are_refused(tmp_path) -> None:
    (tmp_path / "a.landmarks.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match="damaged landmarks"):
        read_landmarks(tmp_path, "a")


def test_loudness_of_known_sounds() -> None:
    assert measure.loudness_decibels(np.zeros(16000, np.float32)) == float("-inf")
    full = np.sin(2 * np.pi * 100 * np.arange(16000) / 16000).astype(np.float32)
    assert abs(measure.loudness_decibels(full) + 3.01) < 0.01


def test_a_steady_tone_swings_less_than_syllables() -> None:
    tone = np.sin(2 * np.pi * 700 * np.arange(32000) / 16000).astype(np.float32)
    syllables = tone * (np.arange(32000) // 2000 % 2)
    assert measure.speech_swing_decibels(tone) < 1 < 10.5 < measure.speech_swing_decibels(syllables)


def test_overlap_of_known_boxes() -> None:
    box = np.array([0.0, 0.0, 2.0, 2.0])
    assert overlap(box, box) == 1
    assert overlap(box, box + 2) == 0
    assert abs(overlap(box, box + np.array([1, 0, 1, 0])) - 1 / 3) < 1e-9


def test_clip_keys_hold_no_dots_or_spaces() -> None:
    assert clip_key("my video.v2 (é)", "abcdef0123456789", 7) == "my_video_v2_-abcdef01-007"
    assert clip_key("--out", "abcdef0123456789", 7) == "_-out-abcdef01-007"


def test_held_out_identities_depend_on_their_name_only() -> None:
    chosen = [is_test_identity(f"person {index}", 0.25) for index in range(400)]
    assert 70 < sum(chosen) < 130
    assert not is_test_identity("anyone", 0.0)
    assert is_test_identity("anyone", 1.0)
