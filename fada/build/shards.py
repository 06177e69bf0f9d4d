"""`fada data shard`: clips of a folder to shards, with what the encoders and prepare know of them.

Obeys the decisions of `fada data filter` where clips carry one: meta["filter"] holds `set` ("A", "B" or null),
`failed_strict` and `failed_lenient`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from fada.build.data import SAMPLES_PER_SHARD, encode_samples, features_of
from fada.build.models import AudioEncoder
from fada.data.clip import REJECTED, Clip, ClipError, list_clips, read_clip, read_record
from fada.data.location import Location
from fada.data.prepare.face_embedding import FIVE_POINTS, FaceEmbedder
from fada.data.prepare.masks import ENLARGEMENT, MaskKind, draw_masks, read_landmarks
from fada.data.sample_keypoints import with_keypoints
from fada.data.shards import Sample, ShardError, ShardIndex, check_replaced, read_index, write_shards
from fada.files.outputs import check_apart, output_folder
from fada.files.whole import clear_leftovers

KIND = "shards"
"""What fada's mark says in a folder of shards."""
KINDS: tuple[MaskKind, ...] = ("lip", "face")
"""Masks that are stored."""
MASK_BLUR = 0.02
"""Standard deviation of the masks' soft edge, as a share of the side."""
DRAWN_MASKS = ", ".join(f"{kind} x {ENLARGEMENT[kind]:g}" for kind in KINDS) + f", blur {MASK_BLUR}"
"""How masks are drawn, as an index says it."""


@dataclass(frozen=True)
class Sharded:
    """What came of a folder of clips."""

    indices: dict[str, ShardIndex]
    """What was written, by split."""
    left_out: dict[str, int]
    """Clips that prepare or the filter put into no set, by split."""


def shard_clips(
    folder: Path,
    out: str | Path | Location,
    vae: AutoencoderKL | None = None,
    encoder: AudioEncoder | None = None,
    takes_all: bool = False,
    face_embedder: FaceEmbedder | None = None,
    *,
    overwrite: bool = False,
) -> Sharded:
    """Clips to shards, a folder per split; with a VAE and an encoder features and masks are stored too.

    Clips with landmarks, and drawn ones, get their keypoints (`fada.data.keypoints`).

    Args:
        out: a folder, or a URL in an object store.
        takes_all: also clips that prepare or the filter put into no set; their quality is "rejected".
        face_embedder: stores an embedding of each clip's face; the clips then need landmarks.
        overwrite: replace earlier sets of the splits that are written.

    Raises:
        ClipError: a clip cannot be read, its decision is none, its truth or landmarks are damaged, or it has no
            landmarks for its face.
        ShardError: no clip is left, or an earlier set of a split is there and may not be replaced.
        FolderFault: the folder is that of the clips, or holds what fada did not make.
        FolderBusy: another command works in it.
    """
    target = Location(out)
    with ExitStack() as held:
        if target.folder is not None:
            check_apart(target.folder, [folder])
        chosen, left_out = _chosen(folder, takes_all)
        if face_embedder is not None:
            _check_landmarks(folder, [key for keys in chosen.values() for key in keys])
        for split in chosen:
            check_replaced(target / split, overwrite)
        if target.folder is not None:
            held.enter_context(
                output_folder(target.folder, KIND, "writing shards", inputs=[folder], was_ours=was_sharded)
            )
            for split in chosen:
                clear_leftovers(target.folder / split)
        indices = {
            split: _write_split(
                folder, keys, target / split, vae, encoder, face_embedder=face_embedder, overwrite=overwrite
            )
            for split, keys in sorted(chosen.items())
        }
    return Sharded(indices, left_out)


def was_sharded(folder: Path) -> bool:
    """Whether an earlier version wrote shards here: all that lies here is folders with an index that can be read."""
    entries = list(folder.iterdir())
    try:
        return bool(entries) and all(entry.is_dir() and bool(read_index(entry).shards) for entry in entries)
    except ShardError:
        return False


def _chosen(folder: Path, takes_all: bool) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Keys of the clips to write, by split, and how many are left out."""
    chosen: dict[str, list[str]] = {}
    left_out: dict[str, int] = {}
    for key in list_clips(folder):
        meta = read_record(folder / f"{key}.json")["meta"]
        split = str(meta.get("split", "train"))
        if not takes_all and labelled(meta, folder, key).get("quality") == REJECTED:
            left_out[split] = left_out.get(split, 0) + 1
        else:
            chosen.setdefault(split, []).append(key)
    if not chosen:
        reason = (
            "prepare or the filter put all clips into no set; take them with --all" if left_out else "no clips here"
        )
        raise ShardError(f"{folder}: {reason}")
    return chosen, left_out


def _write_split(
    folder: Path,
    keys: list[str],
    out: Location,
    vae: AutoencoderKL | None,
    encoder: AudioEncoder | None,
    *,
    face_embedder: FaceEmbedder | None,
    overwrite: bool,
) -> ShardIndex:
    samples: Iterable[Sample] = (_read_sample(folder, key) for key in keys)
    features = {}
    if face_embedder is not None:
        samples = _with_faces(samples, face_embedder)
    if vae is not None and encoder is not None:
        samples = with_masks(encode_samples(samples, vae, encoder, keep_media=True))
        features = features_of(vae, encoder)
        if any(_landmarks_file(folder, key).is_file() for key in keys):
            features["masks"] = DRAWN_MASKS
    if face_embedder is not None:
        features["face_embedder"] = face_embedder.fingerprint
    return write_shards(samples, out, SAMPLES_PER_SHARD, features, overwrite=overwrite)


def labelled(meta: dict[str, Any], folder: Path, key: str) -> dict[str, Any]:
    """A clip's meta, where there is a decision of the filter with its set as `quality`, what failed as `flaws`.

    Raises:
        ClipError: what stands there is no decision.
    """
    decision = meta.get("filter")
    if decision is None:
        return meta
    has_all = isinstance(decision, dict) and {"set", "failed_strict"} <= decision.keys()
    if not has_all or decision["set"] not in ("A", "B", None):
        raise ClipError(
            f"{folder / key}.json: filter: expected a set (A, B or null) and failed_strict, got {decision!r}; "
            "run fada data filter again"
        )
    return {**meta, "quality": decision["set"] or REJECTED, "flaws": list(decision["failed_strict"])}


def _read_sample(folder: Path, key: str) -> Sample:
    clip = read_clip(folder, key)
    meta = labelled(clip.meta, folder, key)
    sample = Sample(
        key, meta, clip.frames, clip.audio, landmarks=_landmarks(folder, clip), fps=clip.fps,
        sample_rate=clip.sample_rate,
    )  # fmt: skip
    try:
        return next(with_keypoints([sample]))
    except ValueError as error:
        raise ClipError(f"{folder}: {error}") from error


def _landmarks(folder: Path, clip: Clip) -> dict[str, Tensor] | None:
    """What prepare stored beside a clip, in the types in which it wrote it; nothing for drawn clips."""
    file = _landmarks_file(folder, clip.key)
    if not file.is_file():
        return None
    found = {
        name: torch.from_numpy(values).to(torch.float16 if name in ("landmarks", "blendshapes") else torch.float32)
        for name, values in read_landmarks(folder, clip.key).items()
    }
    if len(found["landmarks"]) != len(clip.frames):
        raise ClipError(
            f"{file}: {len(clip.frames)} frames expected, got {len(found['landmarks'])}; prepare the clip again"
        )
    return found


def _landmarks_file(folder: Path, key: str) -> Path:
    return folder / f"{key}.landmarks.safetensors"


def _check_landmarks(folder: Path, keys: list[str]) -> None:
    """Before the first clip is encoded, not when its turn comes."""
    without = [key for key in keys if not _landmarks_file(folder, key).is_file()]
    if without:
        raise ClipError(
            f"{_landmarks_file(folder, without[0])}: no such file, and {len(without)} of {len(keys)} clips have none; "
            "a face embedding needs landmarks: make the clips with fada data prepare, or shard without --face-embedder"
        )


def _with_faces(samples: Iterable[Sample], embedder: FaceEmbedder) -> Iterator[Sample]:
    """The samples with the embedding of their face, from the first frame that shows it whole."""
    for sample in samples:
        assert sample.frames is not None
        assert sample.landmarks is not None
        landmarks = sample.landmarks["landmarks"].double().numpy()
        five = landmarks[:, list(FIVE_POINTS)]
        # Without such a frame the first: what lies outside is black.
        shown = int(((five > 0) & (five < 1)).all((1, 2)).argmax())
        yield replace(sample, face=embedder.embed(sample.frames[shown], landmarks[shown]))


def with_masks(samples: Iterable[Sample]) -> Iterator[Sample]:
    """The samples, those with landmarks with masks at the size of their latents."""
    for sample in samples:
        if sample.landmarks is None or sample.latents is None:
            yield sample
            continue
        points, size = sample.landmarks["landmarks"].float().numpy(), sample.latents.shape[-1]
        drawn = {kind: torch.from_numpy(draw_masks(points, size, kind, blur=MASK_BLUR)) for kind in KINDS}
        yield replace(sample, masks={kind: (mask * 255).round().to(torch.uint8) for kind, mask in drawn.items()})
