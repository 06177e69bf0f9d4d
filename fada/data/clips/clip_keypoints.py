"""Keypoints of a clip in a folder, as drawn or prepared: of its truth, or of the landmarks beside it."""

from __future__ import annotations

from pathlib import Path

from fada.data.clips.clip import ClipError, read_record
from fada.data.clips.keypoints import Keypoints, keypoints_of_landmarks
from fada.data.prepare.masks import read_landmarks
from fada.data.world.keypoints import keypoints_of_truth


def keypoints_of_clip(clip: Path) -> Keypoints:
    """Keypoints (F, ...) of a clip that is named by one of its files (`KEY.mp4`, `KEY.json`).

    Raises:
        ClipError: there is no such clip, or nothing beside it says where the face is.
    """
    key = clip.name.partition(".")[0]
    record = read_record(clip.parent / f"{key}.json")
    try:
        drawn = keypoints_of_truth(record["meta"])
        return drawn if drawn is not None else keypoints_of_landmarks(read_landmarks(clip.parent, key)["landmarks"])
    except (ValueError, KeyError) as error:
        raise ClipError(
            f"{clip}: nothing says where its face is ({error}); give a clip of fada data prepare"
        ) from error
