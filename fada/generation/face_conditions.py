"""What models that need to know of the portrait's face are given, read from the picture by models of faces.

The options that the messages name are those of the verbs that generate.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

    from fada.data.clips.face import FaceClues
    from fada.data.clips.keypoints import Keypoints

Retargeting = Literal["naive", "unchanged"]


class MissingModel(ValueError):
    """A model of faces is needed and was not given; the message names the option."""


@dataclass(frozen=True)
class FaceModels:
    """Files of models that read faces: MediaPipe's landmarker, InsightFace's embedder; None where there is none."""

    landmarker: Path | None = None
    embedder: Path | None = None

    def cropped(self, picture: np.ndarray) -> np.ndarray:
        """A picture (H, W, 3) cropped around its face; as it is without a landmarker."""
        if self.landmarker is None:
            return picture
        from fada.data.prepare import prepare_portrait

        return prepare_portrait(picture, self.landmarker)

    def face(self, portrait: np.ndarray) -> FaceClues:
        """Embedding and boxes of a portrait's face, for families that are conditioned on them (Hallo).

        Raises:
            MissingModel: a model that reads them was not given.
        """
        if self.landmarker is None or self.embedder is None:
            options = (("--face-landmarker", self.landmarker), ("--face-embedder", self.embedder))
            missing = " and ".join(option for option, path in options if not path)
            raise MissingModel(f"{missing}: this model is told of the face; give the path of the model that reads it")
        from fada.data.prepare.face_embedding import FaceEmbedder
        from fada.data.prepare.models import FaceFinder
        from fada.data.prepare.portrait_clues import portrait_clues

        with FaceFinder(self.landmarker) as finder:
            return portrait_clues(portrait, finder, FaceEmbedder(self.embedder))

    def keypoints(
        self, portrait: np.ndarray, frames: int, driving: Path | None = None, retargeting: Retargeting = "naive"
    ) -> Keypoints:
        """Keypoints of so many frames, for families that are conditioned on them (V-Express).

        Args:
            driving: a clip whose head moves as the portrait's shall; None keeps the portrait still.
            retargeting: how the clip's keypoints are brought to the portrait.

        Raises:
            MissingModel: neither a landmarker nor a clip was given.
        """
        if self.landmarker is None and driving is None:
            raise MissingModel(
                "--keypoints or --face-landmarker: this model is shown where eyes and nose are; give a clip that "
                "drives the head, or the landmarker that finds them in the portrait"
            )
        from fada.data.clips.clip_keypoints import keypoints_of_clip
        from fada.data.prepare.models import FaceFinder
        from fada.data.prepare.portrait_clues import portrait_keypoints
        from fada.teacher.v_express.retargeting import retargeted

        driven = None if driving is None else keypoints_of_clip(driving)
        if self.landmarker is not None:
            with FaceFinder(self.landmarker) as finder:
                own = portrait_keypoints(portrait, finder)
        else:
            # The portrait is then taken for the clip's first frame.
            assert driven is not None
            own = driven.of_frames(0)
        return retargeted(own, driven, "still" if driven is None else retargeting, frames)
