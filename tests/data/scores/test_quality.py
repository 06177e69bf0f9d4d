"""The metric of image quality, with a stand-in for pyiqa and (`make test-extras`) with the package itself."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fada.data.scores import ImageQuality, Models, QualityError, load_thresholds, score_folder
from fada.data.world import make_clip, make_world
from fada.eval.bench.controls import blurred
from fada.eval.metrics.fidelity import psnr, ssim


@pytest.fixture
def pyiqa(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """A package whose metric `mean` is the mean of the picture; what it was asked for."""
    asked: list[dict[str, object]] = []

    def create_metric(name: str, **options: object):
        asked.append({"name": name, **options})
        if options.get("pretrained_model_path") == "broken":
            raise RuntimeError("not a checkpoint")
        return lambda pictures: pictures.mean().reshape(1)

    package = SimpleNamespace(list_models=lambda: ["mean"], create_metric=create_metric)
    monkeypatch.setitem(sys.modules, "pyiqa", package)
    return asked


def test_the_metric_sees_pictures_from_0_to_1_and_its_mean_is_taken(pyiqa: list[dict[str, object]]) -> None:
    frames = np.zeros((20, 4, 4, 3), np.uint8)
    frames[10:] = 255
    assert ImageQuality("mean")(frames) == pytest.approx(0.5)
    assert "pretrained_model_path" not in pyiqa[0]


def test_local_weights_are_handed_on_and_a_fault_says_what_to_give(pyiqa: list[dict[str, object]]) -> None:
    ImageQuality("mean", Path("own.pth"))
    assert pyiqa[0]["pretrained_model_path"] == "own.pth"
    with pytest.raises(
        QualityError, match=r"cannot be loaded \(not a checkpoint\); give its weights with --iqa-weights"
    ):
        ImageQuality("mean", Path("broken"))


def test_an_unknown_metric_and_a_missing_package_are_clear(pyiqa, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(QualityError, match="pyiqa has no such metric"):
        ImageQuality("meen")
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(QualityError, match=r"pyiqa cannot be imported .* pip install 'fada\[iqa\]'"):
        ImageQuality("mean")


def test_another_metric_is_another_measurement(pyiqa, tmp_path: Path) -> None:
    make_world(tmp_path, clips=1, size=48, frames=12)
    assert next(iter(score_folder(tmp_path).scores.values()))["iqa"] is None
    measured = score_folder(tmp_path, Models(iqa="mean"))
    assert measured.measured == 1
    assert 0.0 < next(iter(measured.scores.values()))["iqa"] < 1.0
    assert load_thresholds("strict").failed({"iqa": None}) == load_thresholds("strict").failed({})


@pytest.fixture
def sharp_and_blurred() -> tuple[np.ndarray, np.ndarray]:
    frames = make_clip(0, 0, size=256, frames=4).frames
    return frames, blurred(frames)


@pytest.mark.iqa
def test_the_package_itself_takes_a_sharp_picture_for_better(sharp_and_blurred) -> None:
    sharp, soft = sharp_and_blurred
    piqe = ImageQuality("piqe")
    assert 0 < piqe(sharp) < piqe(soft) <= 100


@pytest.mark.iqa
def test_our_fidelity_is_that_of_the_package_itself(sharp_and_blurred) -> None:
    import pyiqa

    sharp, soft = sharp_and_blurred
    tensors = [torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255 for frames in (soft, sharp)]
    ours = np.mean([psnr(soft[index : index + 1], sharp[index : index + 1]) for index in range(len(sharp))])
    assert ours == pytest.approx(float(pyiqa.create_metric("psnr", device="cpu")(*tensors).mean()), abs=1e-3)
    # Its luma has the narrower range of television, rounded.
    assert ssim(soft, sharp) == pytest.approx(
        float(pyiqa.create_metric("ssim", device="cpu")(*tensors).mean()), abs=2e-3
    )
