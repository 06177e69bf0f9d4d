"""From footage to figures: what each instrument feeds its metric with, and that worse is worse."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fada.eval.bench.controls import blurred
from fada.eval.bench.footage import FaceReading, Footage
from fada.eval.instruments import metrics_of_video as of_video
from fada.eval.metrics.lip_sound import lip_sound
from fada.eval.metrics.lip_sync import lip_sync
from fada.eval.metrics.mfcc import mfcc
from fada.eval.metrics.networks.lpips import AlexNetFeatures, Heads, Lpips
from fada.eval.metrics.niqe import Pristine, _halved, _of_blocks
from fada.eval.metrics.not_measurable import NotMeasurable
from fada.eval.metrics.small_faces import grey_face
from fada.eval.metrics.video_features import (
    expression_coefficients,
    i3d_features,
    inception_features,
    resnet3d_features,
    segments,
)

RANDOM = np.random.default_rng(5)
FPS, RATE = 25.0, 16000


def texture(side: int, count: int = 1) -> np.ndarray:
    """Pictures (count, side, side, 3) uint8 with a spectrum as photographs have it."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    noise = np.fft.fft2(RANDOM.normal(size=(count, side, side)))
    grey = np.fft.ifft2(noise / np.maximum(frequency, 1 / side)).real
    grey = 128 + 40 * grey / grey.std(axis=(1, 2), keepdims=True)
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=3)


def footage(frames: np.ndarray, **changes: Any) -> Footage:
    values: dict[str, Any] = {"audio": np.ones(640 * len(frames)), "fps": FPS, "sample_rate": RATE}
    return Footage(frames=frames, reference=frames[0], **(values | changes))


@pytest.fixture(scope="module")
def pristine() -> Pristine:
    """Parameters fitted to sharp textures, as NIQE's are to photographs."""
    grid = np.arange(-3, 4)
    window = np.exp(-(grid[:, None] ** 2 + grid[None] ** 2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    luma = texture(960)[0, ..., 0].astype(float)
    features = np.concatenate([_of_blocks(luma, 96, window), _of_blocks(_halved(luma), 48, window)], axis=1)
    return Pristine(features.mean(0), np.cov(features, rowvar=False), window)


def test_niqe_grows_with_blur_and_with_noise(pristine: Pristine) -> None:
    sharp = texture(288, 3)
    noise = RANDOM.normal(size=sharp.shape)
    videos = {
        "blur": [sharp, blurred(sharp, 0.003), blurred(sharp, 0.008)],
        "noise": [(sharp + strength * noise).clip(0, 255).astype(np.uint8) for strength in (0, 8, 30)],
    }
    for versions in videos.values():
        scores = [of_video.niqe_of(pristine)(footage(frames))["niqe"] for frames in versions]
        assert scores == sorted(scores)


def test_small_pictures_are_enlarged_for_niqe(pristine: Pristine) -> None:
    assert of_video.niqe_of(pristine)(footage(texture(64, 2)))["niqe"] > 0


def test_eight_frames_stand_for_a_video() -> None:
    assert of_video.some_frames(np.arange(75)).tolist() == [0, 11, 21, 32, 42, 53, 63, 74]
    assert of_video.some_frames(np.arange(3)).tolist() == [0, 1, 2]


def test_lpips_is_zero_for_the_truth_and_grows_with_blur() -> None:
    torch.manual_seed(0)
    heads = Heads()
    for parameter in heads.parameters():
        parameter.data.abs_()
    measure = of_video.lpips_of(Lpips(AlexNetFeatures(), heads).eval())
    truth = texture(64, 2)
    scores = [
        measure(footage(frames, truth_frames=truth))["lpips_truth"]
        for frames in (truth, blurred(truth, 0.01), blurred(truth, 0.05))
    ]
    assert scores[0] == pytest.approx(0.0, abs=1e-6)
    assert scores == sorted(scores)


def test_lpips_without_a_true_video_is_not_measurable() -> None:
    with pytest.raises(NotMeasurable, match="the clip has no true video"):
        of_video.lpips_of(Lpips(AlexNetFeatures(), Heads()))(footage(texture(64)))


def speech(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A mouth's opening (count,) and sound whose vowels are as loud as it is open."""
    random = np.random.default_rng(seed)
    opening = np.convolve(random.normal(size=count + 8), np.hanning(5), mode="same")[4:-4]
    opening = (opening - opening.min()) / np.ptp(opening)
    time = np.arange(640 * count) / RATE
    level = np.interp(time * FPS, np.arange(count), opening)
    carrier = np.sin(2 * np.pi * 700 * time) + np.sin(2 * np.pi * 1900 * time)
    return opening, (0.02 + level) * carrier * 0.2


@pytest.mark.parametrize("shift", [-5, 0, 4])
def test_lips_shifted_against_the_sound_have_that_offset(shift: int) -> None:
    opening, audio = speech(80)
    lips = np.roll(opening, shift)
    found = lip_sound(lips, lips, audio, FPS, RATE)
    assert found["lip_sound_offset"] == shift
    assert found["lip_sound_confidence"] > 2.5


def test_another_clips_sound_is_less_sure() -> None:
    opening, audio = speech(80)
    other = speech(80, seed=1)[1]
    own, shuffled = (lip_sound(opening, opening, sound, FPS, RATE) for sound in (audio, other))
    assert own["lip_sound_confidence"] > shuffled["lip_sound_confidence"]
    assert own["lip_sound_correlation"] > 0.5 > shuffled["lip_sound_correlation"]


def test_a_still_mouth_has_no_offset_and_no_confidence() -> None:
    found = lip_sound(np.full(40, 0.1), np.full(40, 0.1), speech(40)[1], FPS, RATE)
    assert found == {"lip_sound_confidence": 0.0, "lip_sound_correlation": 0.0}


def test_silence_and_short_clips_have_no_lip_sound() -> None:
    with pytest.raises(NotMeasurable, match="lips and sound need 30 frames, got 10"):
        lip_sound(np.zeros(10), np.zeros(10), np.ones(6400), FPS, RATE)
    with pytest.raises(NotMeasurable, match="the sound is silent"):
        lip_sound(np.zeros(40), np.zeros(40), np.zeros(25600), FPS, RATE)


def speaking(opening: np.ndarray) -> FaceReading:
    """A face as the mesh alone has it: chin and lower lip go down with the opening, and there are no blendshapes."""
    points = np.zeros((len(opening), 478, 3))
    points[..., 0] = 32
    points[:, 10, 1], points[:, 168, 1], points[:, 152, 1] = 10, 20, 45 + 5 * opening
    for upper, lower in ((13, 14), (82, 87), (312, 317)):
        points[:, upper, 1], points[:, lower, 1] = 35, 35 + 2 * opening
    return FaceReading(points, np.full((len(opening), 52), np.nan), (64, 64))


def test_the_mesh_alone_hears_whether_lips_and_sound_go_together() -> None:
    opening, audio = speech(80)
    frames = np.zeros((80, 8, 8, 3), np.uint8)

    def heard(lips: np.ndarray, sound: np.ndarray) -> Any:
        return of_video.facemesh_lip_sound_of(lambda video: speaking(lips))(footage(frames, audio=sound))

    own, late = heard(opening, audio), heard(np.roll(opening, 4), audio)
    assert set(own) == {f"lip_sound_{name}_facemesh" for name in ("offset", "confidence", "correlation")}
    assert (own["lip_sound_offset_facemesh"], late["lip_sound_offset_facemesh"]) == (0, 4)
    assert own["lip_sound_confidence_facemesh"] > 2.5
    other = heard(opening, speech(80, seed=1)[1])
    for name in ("lip_sound_confidence_facemesh", "lip_sound_correlation_facemesh"):
        assert own[name] > other[name]
    still = {"lip_sound_confidence_facemesh": 0.0, "lip_sound_correlation_facemesh": 0.0}
    assert heard(np.full(80, 0.3), audio) == still


def test_the_jaw_s_drop_is_the_lower_face_over_the_forehead_in_depth_too() -> None:
    face = speaking(np.array([0.0, 1.0]))
    assert face.jaw_drop.tolist() == [2.5, 3.0]
    face.points[:, 152, 2] = 60
    # 25 down and 60 towards the viewer: 65; 30 and 60: 67.08.
    assert face.jaw_drop == pytest.approx([6.5, 6.708], abs=1e-3)


def test_lips_by_the_mesh_alone_are_compared_with_the_true_video_s() -> None:
    opening, _ = speech(40)
    truth, video = np.zeros((45, 8, 8, 3), np.uint8), np.ones((40, 8, 8, 3), np.uint8)
    longer = np.append(opening, np.zeros(5))

    def found(lips: np.ndarray) -> float:
        measure = of_video.facemesh_lip_correlation_of(lambda frames: speaking(lips if frames.any() else longer))
        return measure(footage(video, truth_frames=truth))["lip_correlation_facemesh"]

    assert found(opening) == pytest.approx(1.0)
    # The chin goes down with the lips, and openings are shares of the face.
    assert found(1 - opening) == pytest.approx(-1.0, abs=0.01)
    assert found(np.full(40, 0.2)) == 0.0


class LoudAndBlue(nn.Module):
    """In SyncNet's place: lips are how blue the first of five frames is, sound how loud the first 40 ms are."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))

    def lips(self, frames: Tensor) -> Tensor:
        assert frames.shape[1:3] == (3, 5)
        return (frames[:, 0, 0].mean((1, 2)) > 128).float()[:, None].expand(-1, 8)

    def sound(self, heard: Tensor) -> Tensor:
        assert heard.shape[1:] == (1, 13, 20)
        return (heard[:, 0, 0, :4].mean(1) > 15).float()[:, None].expand(-1, 8)


@pytest.mark.parametrize("shift", [-3, 0, 2])
def test_syncnet_reads_blue_first_and_finds_the_shift_of_lips_against_sound(shift: int) -> None:
    is_loud = np.random.default_rng(2).random(90) > 0.5
    audio = np.repeat(np.where(is_loud, 0.5, 0.001), 640) * np.sin(np.arange(90 * 640) * 0.3)
    assert mfcc(audio).shape == (359, 13)
    mouths = np.zeros((90, 4, 4, 3), np.uint8)
    mouths[..., 2] = np.where(np.roll(is_loud, shift), 255, 0)[:, None, None]
    found = lip_sync(LoudAndBlue(), mouths, audio, FPS, RATE)  # type: ignore[arg-type]
    assert found.offset == shift
    assert found.confidence > 0.5


def a_face(count: int, side: int = 64) -> FaceReading:
    points = np.zeros((count, 478, 3))
    points[:] = np.random.default_rng(0).uniform(20, 44, size=(478, 3))
    for place, mark in zip(((22, 26), (42, 26), (32, 34), (25, 44), (40, 44)), of_video.FIVE_POINTS, strict=True):
        points[:, mark, :2] = place
    points[:, 10, :2], points[:, 152, :2] = (32, 14), (32, 54)
    return FaceReading(points, np.tile(np.linspace(0, 1, 52), (count, 1)), (side, side))


def test_sync_of_a_video_is_three_figures_of_its_lower_face() -> None:
    frames = texture(64, 40)
    seen = footage(frames, audio=speech(40)[1], read_face=lambda video: a_face(len(video)))
    found = of_video.sync_of_video(LoudAndBlue())(seen)  # type: ignore[arg-type]
    assert set(found) == {"sync_c", "sync_d", "sync_offset"}


def test_identity_is_one_for_the_portrait_and_falls_with_what_the_embedder_sees() -> None:
    def embed(picture: np.ndarray, landmarks: np.ndarray) -> Tensor:
        assert 0 <= landmarks.min() <= landmarks.max() <= 1
        return torch.tensor([1.0, picture.mean() / 100])

    measure = of_video.identity_of(SimpleNamespace(embed=embed))  # type: ignore[arg-type]
    portrait = np.full((64, 64, 3), 50, np.uint8)

    def similarity(level: int) -> float:
        frames = np.full((10, 64, 64, 3), level, np.uint8)
        seen = Footage(
            frames=frames, audio=np.ones(6400), fps=FPS, sample_rate=RATE, reference=portrait,
            read_face=lambda video: a_face(len(video)),
        )  # fmt: skip
        return measure(seen)["identity_similarity"]

    assert similarity(50) == pytest.approx(1.0)
    assert similarity(50) > similarity(90) > similarity(200)


class Levels(nn.Module):
    """In a face network's place: the mean of each of its input's four quarters, shifted."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(1.0))

    def forward(self, faces: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(faces.mean(1, keepdim=True), 2).flatten(1) + self.shift


def seen_at(frames: np.ndarray, portrait: np.ndarray, truth: np.ndarray | None = None) -> Footage:
    return Footage(
        frames=frames, audio=np.ones(640 * len(frames)), fps=FPS, sample_rate=RATE, reference=portrait,
        truth_frames=truth, read_face=lambda video: a_face(len(video)),
    )  # fmt: skip


def test_mobileface_is_one_for_the_portrait_whatever_its_level_and_less_for_another_face() -> None:
    one, other = texture(64, 2)
    measure = of_video.mobileface_of(Levels())  # type: ignore[arg-type]

    def similarity(picture: np.ndarray) -> float:
        return measure(seen_at(np.stack([picture] * 10), one))["identity_mobileface"]

    assert similarity(one) == pytest.approx(1.0)
    assert similarity(other) < 0.9999


def test_mobileface_to_the_truth_compares_frames_of_the_same_time() -> None:
    video = texture(64, 12)
    measure = of_video.mobileface_truth_of(Levels())  # type: ignore[arg-type]

    def similarity(truth: np.ndarray) -> float:
        return measure(seen_at(video, video[0], truth))["identity_mobileface_truth"]

    assert similarity(video) == pytest.approx(1.0)
    # Eight of twelve frames are looked at; of a longer truth only what the video has too.
    assert similarity(np.concatenate([video, video])) == pytest.approx(1.0)
    assert similarity(video[::-1].copy()) < 0.9999


def test_embeddings_of_every_frame_have_length_one() -> None:
    found = of_video.mobileface_features(Levels(), seen_at(texture(64, 11), texture(64)[0]))  # type: ignore[arg-type]
    assert found.shape == (11, 4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-6)


class Certain(nn.Module):
    """In the expression network's place: surely the first class for dark faces, surely the second for bright ones."""

    def __init__(self) -> None:
        super().__init__()
        self.bright = nn.Parameter(torch.tensor([0.0, 1.0]))

    def forward(self, faces: Tensor) -> Tensor:
        assert faces.shape[1:] == (1, 64, 64)
        is_bright = (faces.mean(dim=(1, 2, 3)) > 100).float()[:, None]
        return is_bright * self.bright + (1 - is_bright) * (1 - self.bright)


def test_the_expression_distance_is_the_share_of_frames_with_surely_another_expression() -> None:
    truth = np.zeros((8, 64, 64, 3), np.uint8)
    video = truth.copy()
    video[:2] = 255
    measure = of_video.emotion_distance_of(Certain())  # type: ignore[arg-type]
    assert measure(seen_at(video, truth[0], truth)) == {"emotion_distance_truth": pytest.approx(2 / 8)}
    assert measure(seen_at(truth, truth[0], truth)) == {"emotion_distance_truth": 0.0}
    with pytest.raises(NotMeasurable, match="no true video"):
        measure(seen_at(video, truth[0]))


def test_a_grey_face_is_the_square_around_its_landmarks_and_black_beyond_the_picture() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[20:80, 20:80] = 200
    # 1.1 times 60 pixels around (50, 50): 17 to 83, three pixels of it dark.
    corners = np.array([(20.0, 20.0), (80.0, 80.0)])
    face = grey_face(picture, corners)
    assert face.shape == (64, 64)
    assert face[32, 32] == 200
    assert face[0, 32] == face[32, 0] == face[63, 32] == face[32, 63] == 0
    assert face[5, 32] == face[32, 58] == 200
    # Higher than wide: the square has the height, its middle is the landmarks' middle.
    narrow = grey_face(picture, np.array([(45.0, 20.0), (55.0, 80.0)]))
    np.testing.assert_array_equal(narrow, face)
    beyond = grey_face(np.full((40, 40, 3), 200, np.uint8), np.array([(20.0, 20.0), (60.0, 60.0)]))
    assert (beyond[10, 10], beyond[60, 60]) == (200, 0)


def test_blendshapes_and_the_reason_without_a_face() -> None:
    seen = footage(texture(64, 5), read_face=lambda video: a_face(len(video)))
    assert of_video.blendshapes_of(seen).shape == (5, 52)
    nobody = FaceReading(np.full((5, 478, 3), np.nan), np.full((5, 52), np.nan), (64, 64))
    with pytest.raises(NotMeasurable, match="no face found in 5 of 5 frames"):
        of_video.blendshapes_of(footage(texture(64, 5), read_face=lambda video: nobody))


class Means(nn.Module):
    """In a network's place: the mean and the spread of its input, and a parameter that says where it lies."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(1, 2, width))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return flat.mean(1, keepdim=True) * self.weight + flat.std(1, keepdim=True)


@pytest.mark.parametrize(
    ("features", "width", "rows"),
    [(inception_features, 8, 20), (expression_coefficients, 257, 20), (resnet3d_features, 8, 2), (i3d_features, 8, 2)],
)
def test_features_do_not_depend_on_the_batch(features: Any, width: int, rows: int) -> None:
    frames, network = texture(32, 20), Means(width)
    one, many = features(network, frames, batch=1), features(network, frames, batch=7)
    assert one.shape == (rows, 64 if features is expression_coefficients else width)
    np.testing.assert_allclose(one, many, rtol=1e-5)


def test_expression_is_read_from_faces_aligned_by_five_points() -> None:
    seen = footage(texture(64, 3), read_face=lambda video: a_face(len(video)))
    assert of_video.expression_of(Means(257), seen).shape == (3, 64)  # type: ignore[arg-type]


def test_the_last_frame_fills_the_last_segment() -> None:
    video = torch.arange(20.0)[:, None, None, None].expand(20, 2, 2, 3)
    cut = segments(video)
    assert cut.shape == (2, 16, 2, 2, 3)
    assert cut[1, :, 0, 0, 0].tolist() == [16, 17, 18, *[19] * 13]


def test_i3d_refuses_eight_frames() -> None:
    with pytest.raises(NotMeasurable, match="I3D needs 9 frames, got 8"):
        i3d_features(Means(4), texture(32, 8))  # type: ignore[arg-type]
