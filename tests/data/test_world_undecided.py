"""Version 2 of the world: what the sound leaves open is open, and sets leave out what they should."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fada.data.clips.clip import Clip, read_record
from fada.data.world import make_clip, make_world, measure_aperture, measure_head
from fada.data.world.draw import plan_clip
from fada.data.world.undecided import BEYOND, LEFT_OUT_HAIR, NARROW
from fada.recipe.sections.data import World, part_at


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [make_clip(9, index, size=64, frames=30, version=2, split="test") for index in range(6)]


def test_version_1_is_what_it_was() -> None:
    # Bytes of clips drawn before there was a second version.
    clip = make_clip(3, 5, size=64, frames=20, quality="B")
    assert hashlib.sha256(clip.frames.tobytes()).hexdigest()[:16] == "a185c1df43cf07ba"
    assert hashlib.sha256(clip.audio.tobytes()).hexdigest()[:16] == "9985f4cc7cf43df9"


def test_the_same_sound_is_shown_in_several_ways() -> None:
    """Equal speech, other motion: head, gaze and brows differ by as much as those of two clips do."""
    from fada.data.world.undecided import FULL, move_freely

    _, speech, _, _ = plan_clip(0, 0, 50, "train", version=2)
    first, second = (move_freely(speech, 70, 0.8, FULL, np.random.default_rng(seed)) for seed in (1, 2))
    np.testing.assert_array_equal(first.voiced, second.voiced)
    for name in ("head", "gaze", "brow", "expression"):
        assert np.abs(getattr(first, name) - getattr(second, name)).max() > 0.01, name


def test_head_gaze_and_expression_do_not_follow_the_sound() -> None:
    curves: dict[str, list[np.ndarray]] = {"loudness": [], "x": [], "gaze": [], "expression": [], "aperture": []}
    for index in range(40):
        _, _, motion, _ = plan_clip(0, index, 50, "train", version=2)
        curves["loudness"].append(motion.voiced)
        curves["x"].append(motion.head[:, 0])
        curves["gaze"].append(motion.gaze[:, 1])
        curves["expression"].append(motion.expression)
        curves["aperture"].append(motion.aperture)
    whole = {name: np.concatenate(values) for name, values in curves.items()}
    for name in ("x", "gaze", "expression"):
        assert abs(np.corrcoef(whole["loudness"], whole[name])[0, 1]) < 0.1, name
    # Mouths do, though half of them only partly.
    assert 0.6 < np.corrcoef(whole["loudness"], whole["aperture"])[0, 1] < 0.95


def test_half_of_the_mouths_say_something_else_too() -> None:
    motions = [plan_clip(0, index, 50, "train", version=2)[2] for index in range(200)]
    loose = [np.abs(motion.aperture - motion.voiced).max() > 1e-9 for motion in motions]
    assert 0.4 < np.mean(loose) < 0.6


def test_a_loose_mouth_lies_between_two_speeches_of_its_loudness() -> None:
    for index in range(40):
        _, _, motion, effort = plan_clip(0, index, 50, "train", version=2)
        assert motion.aperture.min() >= 0.0
        assert motion.aperture.max() <= effort


def test_a_louder_voice_opens_the_mouth_wider_and_sounds_louder() -> None:
    quiet, loud = (make_clip(0, 3, size=32, frames=25, version=2, reach=reach) for reach in ("narrow", "beyond"))
    opening = [max(clip.meta["truth"]["heard_aperture"]) for clip in (quiet, loud)]
    level = [float(np.sqrt(np.mean(np.square(clip.audio)))) for clip in (quiet, loud)]
    # The same syllables: opening and loudness grow by the same factor.
    assert opening[1] / opening[0] == pytest.approx(level[1] / level[0], rel=0.01)
    assert opening[1] / opening[0] >= BEYOND.effort[0] / NARROW.effort[1]


def test_a_restricted_set_shows_no_looks_that_it_leaves_out() -> None:
    for index in range(20):
        kept, left = (plan_clip(0, index, 10, "train", version=2, reach=reach)[0] for reach in ("narrow", "beyond"))
        assert kept.hair_style not in LEFT_OUT_HAIR
        assert not kept.has_glasses
        assert left.hair_style in LEFT_OUT_HAIR


def test_corners_lift_the_ends_of_the_mouth_and_not_its_middle() -> None:
    from fada.data.world.canvas import Canvas
    from fada.data.world.mouth import CORNER_LIFT, look_of, paint_mouth

    look = look_of(plan_clip(0, 0, 10, "train")[0])

    def lips(corners: list[float]) -> np.ndarray:
        canvas = Canvas(np.zeros((3, 1, 128, 128), np.float32))
        half = np.array([0.5])
        paint_mouth(canvas, np.array([[0.5, 0.5]]), look, half, np.array([0.6]), np.array([corners]))
        return canvas.pixels[:, 0].sum(0)

    flat, smile = lips([0.0, 0.0]), lips([1.0, 1.0])
    np.testing.assert_allclose(flat[:, 63:65], smile[:, 63:65], atol=0.05)
    rows = np.arange(128)
    column = 64 + round(0.9 * look.scale * 0.1 * 128)
    middle = [(picture[:, column] * rows).sum() / picture[:, column].sum() for picture in (flat, smile)]
    assert 0.4 * CORNER_LIFT * 128 < middle[0] - middle[1] < 1.1 * CORNER_LIFT * 128
    # The left corner is the one on the picture's left.
    crooked = lips([1.0, 0.0])
    mirrored = 128 - column
    assert (crooked[:, mirrored] * rows).sum() / crooked[:, mirrored].sum() < middle[0] - 1.0
    np.testing.assert_allclose(crooked[:, column], flat[:, column], atol=1e-5)


def test_heads_are_found_to_a_fifth_of_a_pixel(clips: list[Clip]) -> None:
    for clip in clips:
        true = np.array(clip.meta["truth"]["head"])
        assert np.abs(measure_head(clip.frames, clip.meta["truth"]).offset - true).mean() < 0.2
    moved = np.roll(clips[0].frames, (1, -1), (1, 2))
    found = measure_head(moved, clips[0].meta["truth"]).offset - np.array(clips[0].meta["truth"]["head"])
    np.testing.assert_allclose(found.mean(0), [-1.0, 1.0], atol=0.35)


def test_likeness_tells_blur_and_other_people(clips: list[Clip]) -> None:
    truth = clips[0].meta["truth"]
    own = measure_head(clips[0].frames, truth).error.mean()
    soft = measure_head(
        gaussian_filter(clips[0].frames.astype(float), (0, 1, 1, 0)).astype(np.uint8), truth
    ).error.mean()
    other = measure_head(clips[1].frames, truth).error.mean()
    assert own < 3.5 < soft < other
    assert other > 20.0


def test_a_mouth_is_measured_where_the_head_is(clips: list[Clip]) -> None:
    """Also in a video whose head moves otherwise than the true one, as a generated one does."""
    errors = []
    for clip in clips:
        true = np.array(clip.meta["truth"]["aperture_px"])
        errors.append(np.abs(measure_aperture(clip.frames, clip.meta["truth"]) - true).mean())
        moved = np.roll(clip.frames, (2, 3), (1, 2))
        errors.append(np.abs(measure_aperture(moved, clip.meta["truth"]) - true).mean())
    assert np.mean(errors) < 0.25


def test_parts_come_at_steady_intervals() -> None:
    parts = [part_at(index, 0.25, 0.25) for index in range(8)]
    assert parts == ["clean", "flawed", "clean", "beyond"] * 2
    assert [part_at(index, 0.4, 0.0) for index in range(5)] == ["clean", "clean", "flawed", "clean", "flawed"]
    world = World(version=2, clips=8, flawed_share=0.25, beyond_share=0.25)
    assert (world.count("A"), world.count("B")) == (4, 4)


def test_a_world_that_leaves_something_out(tmp_path: Path) -> None:
    make_world(tmp_path, 8, size=32, frames=4, flawed_share=0.25, beyond_share=0.25, test_clips=2, version=2)
    told = {path.stem: read_record(path)["meta"] for path in sorted(tmp_path.glob("t*.json"))}
    train = [told[f"train-s0-{index:06d}"] for index in range(8)]
    assert [meta["quality"] for meta in train] == ["A", "B"] * 4
    assert [bool(meta["flaws"]) for meta in train] == [False, True, False, False] * 2
    assert [meta["world"]["reach"] for meta in train] == ["narrow", "narrow", "narrow", "beyond"] * 2
    assert [told[f"test-s0-{index:06d}"]["world"]["reach"] for index in range(2)] == ["narrow", "beyond"]
    assert json.loads((tmp_path / "world.json").read_text())["version"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"version": 3}, "version must be one of 1, 2, got 3"),
        ({"reach": "beyond"}, "reach: version 1 of the world knows only 'full', got 'beyond'"),
        ({"version": 2, "reach": "wide"}, "reach must be one of full, narrow, beyond, got 'wide'"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_clip(0, 0, size=32, frames=2, **arguments)  # type: ignore[arg-type]


def test_a_world_without_room_for_what_is_left_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"beyond_share must be between 0 and 1 - flawed_share, .* got 0.7"):
        make_world(tmp_path / "a", 2, beyond_share=0.7, version=2)
    with pytest.raises(ValueError, match=r"beyond_share must be .* got 0.2 with flawed_share 0.4 in version 1"):
        make_world(tmp_path / "b", 2, beyond_share=0.2)
    with pytest.raises(ValueError, match=r"beyond_share: needs version: 2, got 0\.2 with version 1"):
        World(beyond_share=0.2)
    with pytest.raises(ValueError, match=r"at most 1 together; got 0\.9 and 0\.2"):
        World(version=2, flawed_share=0.9, beyond_share=0.2)
