"""Boxes of face and lips from landmarks, and clues of several clips together."""

import numpy as np
import pytest
import torch

from fada.data.clips.face import FaceClues, face_boxes, join_clues, stack_clues
from fada.data.prepare.masks import FACE_OUTLINE, LIP_OUTLINE


def landmarks(
    *faces: tuple[float, float, float, float], lips: tuple[float, ...] = (0.45, 0.6, 0.55, 0.65)
) -> np.ndarray:
    """A frame per face box, all other points far outside; every outline alternates between two corners of its box."""
    points = np.full((len(faces), 478, 2), 7.0)
    for frame, face in enumerate(faces):
        for outline, box in ((FACE_OUTLINE, face), (LIP_OUTLINE, lips)):
            points[frame, outline[::2]], points[frame, outline[1::2]] = box[:2], box[2:]
    return points


def assert_box(box: torch.Tensor, *expected: float) -> None:
    torch.testing.assert_close(box, torch.tensor(expected))


def test_boxes_hold_their_points_in_all_frames() -> None:
    face, lips = face_boxes(landmarks((0.3, 0.2, 0.6, 0.7), (0.35, 0.15, 0.65, 0.6)), 1.0, 1.0)
    assert_box(face, 0.3, 0.15, 0.65, 0.7)
    assert_box(lips, 0.45, 0.6, 0.55, 0.65)


def test_ratios_enlarge_about_the_centre() -> None:
    face, lips = face_boxes(landmarks((0.3, 0.2, 0.7, 0.7)), 1.2, 2.0)
    assert_box(face, 0.26, 0.15, 0.74, 0.75)
    assert_box(lips, 0.4, 0.575, 0.6, 0.675)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((0.0, 0.3, 0.2, 0.7), (0.0, 0.1, 0.4, 0.9)),  # to the left by 0.1
        ((0.8, 0.3, 0.9, 0.5), (0.75, 0.2, 0.95, 0.6)),  # not at all
        ((0.8, 0.7, 1.0, 0.9), (0.6, 0.6, 1.0, 1.0)),  # to the right by 0.1
        ((0.1, -0.1, 0.9, 0.7), (0.0, 0.0, 1.0, 1.0)),  # larger than the picture
    ],
)
def test_a_box_that_leaves_the_picture_is_pushed_back_and_cut_if_too_large(
    found: tuple[float, float, float, float], expected: tuple[float, ...]
) -> None:
    assert_box(face_boxes(landmarks(found), 2.0, 1.0)[0], *expected)


@pytest.mark.parametrize("shape", [(478, 2), (3, 468, 2), (3, 478, 3), (0, 478, 2)])
def test_landmarks_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"landmarks must have shape \(F, 478, 2\) with a frame at least, got \("):
        face_boxes(np.zeros(shape), 1.0, 1.0)


def test_clues_of_clips_make_a_batch_and_batches_join() -> None:
    one, two, three = (FaceClues(*(torch.full((size,), float(n)) for size in (512, 4, 4))) for n in (1, 2, 3))
    batch = join_clues([stack_clues([one, two]), stack_clues([three])])
    assert (batch.embedding.shape, batch.face_box.shape, batch.lip_box.shape) == ((3, 512), (3, 4), (3, 4))
    for tensor in (batch.embedding, batch.face_box, batch.lip_box):
        assert tensor[:, 0].tolist() == [1, 2, 3]


def test_clues_move_whole() -> None:
    clues = FaceClues(torch.zeros(512), torch.zeros(4), torch.zeros(4)).to("meta")
    assert {tensor.device.type for tensor in (clues.embedding, clues.face_box, clues.lip_box)} == {"meta"}
