"""Runs public code on inputs that the tests can make again, and records what it answers.

    python tests/eval/metrics/record_original.py CHECKOUTS OUT.json

CHECKOUTS holds clones named python_speech_features, syncnet_python (6efbb1c), Deep3DFaceRecon_pytorch (9167c71) and
BasicSR. Needs numpy, scipy, torch, Pillow, scikit-image and OpenCV.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import made


def main(checkouts: Path, out: Path) -> None:
    """Write the record."""
    for name in ("python_speech_features", "syncnet_python", "Deep3DFaceRecon_pytorch", "BasicSR"):
        sys.path.insert(0, str(checkouts / name))
    record = {"mfcc": mfcc(), "sync": sync(), "aligned": aligned(), "niqe": niqe(checkouts / "BasicSR")}
    out.write_text(json.dumps(record, indent=1) + "\n")


def mfcc() -> Any:
    from python_speech_features import mfcc as public

    coefficients = public(made.samples(), 16000)
    return {"shape": coefficients.shape, "numbers": coefficients[[0, 7, -1]].tolist()}


def sync() -> Any:
    from SyncNetInstance import calc_pdist

    lips, sound = made.sync_features()
    mean = torch.stack(calc_pdist(lips, sound, vshift=15), 1).mean(1)
    least, place = mean.min(0)
    return {"distance": least.item(), "confidence": (mean.median() - least).item(), "offset": 15 - place.item()}


def aligned() -> Any:
    np.VisibleDeprecationWarning = Warning  # gone in NumPy 2
    from util import preprocess

    preprocess.float = lambda value: np.float64(np.squeeze(value))  # float([x]) is gone too
    picture, points = made.picture(), made.five_points()
    flipped = np.stack([points[:, 0], picture.shape[0] - 1 - points[:, 1]], axis=1)
    standard = np.array(made.STANDARD)
    shift, scale = preprocess.POS(flipped.T, standard.T)
    face, _, _ = preprocess.resize_n_crop_img(Image.fromarray(picture), flipped, shift, 102.0 / scale)
    return made.summary(np.asarray(face))


def niqe(checkout: Path) -> Any:
    for name in ("basicsr", "basicsr.metrics", "basicsr.utils"):
        sys.modules[name] = package = ModuleType(name)
        package.__path__ = [str(checkout / name.replace(".", "/"))]
    sys.modules["basicsr.utils"].bgr2ycbcr = importlib.import_module("basicsr.utils.color_util").bgr2ycbcr
    public = importlib.import_module("basicsr.metrics.niqe")
    luma = np.round(np.squeeze(public.to_y_channel(made.picture()[..., ::-1].astype(np.float32))))
    parameters = made.niqe_parameters()
    return public.niqe(luma, parameters["mu_pris_param"], parameters["cov_pris_param"], parameters["gaussian_window"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
