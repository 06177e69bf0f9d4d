"""Records face_masks.json: boxes and masks that Hallo's public code makes of made-up landmarks.

    python tests/data/record_face_masks.py CHECKOUT_OF_HALLO tests/data/face_masks.json

in an environment with numpy, opencv and Pillow. Of each mask 8 x 8 evenly spread pixels are kept, as hexadecimal bytes.
"""

import ast
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fada.data.prepare.masks import FACE_OUTLINE, LIP_OUTLINE

FUNCTIONS = (
    "expand_region", "get_face_mask", "get_lip_mask", "get_union_mask", "get_union_face_mask", "get_union_lip_mask",
    "blur_mask", "get_blur_mask", "get_background_mask", "get_sep_face_mask",
)  # fmt: skip
CASES = {
    "generated at 512": {"pixels": 512, "frames": 1, "place": (0.48, 0.52)},
    "generated at 128, at the edge": {"pixels": 128, "frames": 1, "place": (0.22, 0.75)},
    "trained at 512": {"pixels": 512, "frames": 3, "place": (0.5, 0.45)},
}
"""One frame is treated as in inference (face x 1.2, lips x 2), several as in data preparation (union, x 1)."""


def made_up_landmarks(frames: int, place: tuple[float, float]) -> np.ndarray:
    """Shares (frames, 478, 2): outlines of face and lips on ellipses around a place that wanders to the right."""
    points = np.zeros((frames, 478, 2))
    for outline, radii, down in ((FACE_OUTLINE, (0.2, 0.24), 0.0), (LIP_OUTLINE, (0.075, 0.03), 0.11)):
        angles = np.linspace(0, 2 * np.pi, len(outline), endpoint=False)
        ellipse = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii
        for frame in range(frames):
            points[frame, list(outline)] = ellipse + place + np.array((0.03 * frame, down))
    return points


def public_functions(checkout: Path) -> dict[str, Any]:
    """The functions alone: their module imports far more than they need."""
    import cv2

    tree = ast.parse((checkout / "hallo/utils/util.py").read_text())
    names = {"np": np, "cv2": cv2, "silhouette_ids": list(FACE_OUTLINE), "lip_ids": list(LIP_OUTLINE)}
    wanted = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in FUNCTIONS]
    exec(compile(ast.Module(wanted, []), "util.py", "exec"), names)
    for name in ("silhouette_ids", "lip_ids"):
        (theirs,) = (
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
        )
        assert set(theirs) == set(names[name]), name
    return names


def record(hallo: dict[str, Any], pixels: int, frames: int, place: tuple[float, float]) -> dict[str, Any]:
    """Boxes in pixels (left, top, right, bottom) and masks of one case."""
    import cv2
    from PIL import Image

    landmarks = made_up_landmarks(frames, place) * pixels
    with tempfile.TemporaryDirectory() as folder:
        face, lip, face_blur, sep_lip, background, sep_face = (f"{folder}/{number}.png" for number in range(6))
        if frames == 1:
            hallo["get_face_mask"](landmarks[0], pixels, pixels, face, 1.2)
            hallo["get_lip_mask"](landmarks[0], pixels, pixels, lip)
            hallo["get_blur_mask"](face, face_blur, kernel_size=(51, 51))
            hallo["get_blur_mask"](lip, sep_lip, kernel_size=(31, 31))
            hallo["get_background_mask"](face_blur, background)
            hallo["get_sep_face_mask"](face_blur, sep_lip, sep_face)
        else:
            # As ImageProcessorForDataProcessing.preprocess does.
            cv2.imwrite(face, hallo["get_union_face_mask"](landmarks, pixels, pixels))
            cv2.imwrite(lip, hallo["get_union_lip_mask"](landmarks, pixels, pixels))
            face_mask = hallo["blur_mask"](cv2.imread(face, 0), (64, 64), (51, 51))
            lip_mask = hallo["blur_mask"](cv2.imread(lip, 0), (64, 64), (31, 31))
            cv2.imwrite(sep_face, cv2.subtract(face_mask, lip_mask))
            cv2.imwrite(background, 255.0 - face_mask)
            cv2.imwrite(sep_lip, lip_mask)
        masks = [Image.open(file) for file in (background, sep_face, sep_lip)]
        boxes = {name: Image.open(file).getbbox() for name, file in (("face_box", face), ("lip_box", lip))}
    levels = [
        [_sampled(mask.resize((side, side), Image.Resampling.BILINEAR)) for mask in masks] for side in sides(pixels)
    ]
    return {"pixels": pixels, "frames": frames, "place": place, **boxes, "levels": levels}


def sides(pixels: int) -> list[int]:
    """Of the masks of a picture's levels that hold 8 x 8 pixels."""
    return [side for side in (pixels // 8, pixels // 16, pixels // 32, pixels // 64) if side >= 8]


def _sampled(mask: Any) -> str:
    values = np.asarray(mask)
    step = len(values) // 8
    return values[step // 2 :: step, step // 2 :: step].tobytes().hex()


if __name__ == "__main__":
    hallo = public_functions(Path(sys.argv[1]))
    recorded = {name: record(hallo, **case) for name, case in CASES.items()}  # type: ignore[arg-type]
    Path(sys.argv[2]).write_text(json.dumps(recorded, indent=1) + "\n")
