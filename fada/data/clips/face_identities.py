"""Persons told by their faces: clips whose embeddings are alike are of one person, whatever their files are called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fada.data.clips.clip_files import clip_file
from fada.data.prepare.masks import read_landmarks
from fada.media.video import iterate_frames

ALIKE = 0.4
"""Cosine from which two faces are of one person. ArcFace networks give about 0.2 and less to two people, 0.5 and more
to two pictures of one."""


class Embeds(Protocol):
    """What tells faces apart: `fada.data.prepare.face_embedding.FaceEmbedder`."""

    def embed(self, picture: np.ndarray, landmarks: np.ndarray) -> Any:
        """The embedding (512,) of a face."""


def embed_clip(folder: Path, key: str, embedder: Embeds) -> np.ndarray | None:
    """The embedding of a clip's first frame, of length 1; None where no landmarks lie beside the clip.

    Raises:
        MediaError: the clip cannot be read.
        ValueError: its landmarks are damaged.
    """
    if not clip_file(folder, key, ".landmarks.safetensors").is_file():
        return None
    landmarks = read_landmarks(folder, key)["landmarks"][0]
    picture = next(iterate_frames(clip_file(folder, key, ".mp4"), fps=None))
    found = np.asarray(embedder.embed(picture, landmarks), np.float64)
    return found / max(float(np.linalg.norm(found)), 1e-12)


def group_faces(embeddings: Mapping[str, np.ndarray], alike: float = ALIKE) -> list[list[str]]:
    """Keys of the clips of each person.

    A clip joins the person whose mean embedding is nearest, if that is near enough, or else begins a new one; persons
    whose means turn out to be near are joined. Independent of the order of the mapping.

    Args:
        embeddings: of length 1, by clip.
        alike: cosine.
    """
    groups: list[list[str]] = []
    sums: list[np.ndarray] = []
    for key in sorted(embeddings):
        best = _nearest(sums, embeddings[key], alike)
        if best is None:
            groups.append([])
            sums.append(np.zeros_like(embeddings[key]))
            best = len(sums) - 1
        groups[best].append(key)
        sums[best] = sums[best] + embeddings[key]
    joined: list[list[str]] = []
    means: list[np.ndarray] = []
    for group, total in zip(groups, sums, strict=True):
        best = _nearest(means, total / np.linalg.norm(total), alike)
        if best is None:
            joined.append(group)
            means.append(total)
        else:
            joined[best] += group
            means[best] = means[best] + total
    return joined


def _nearest(sums: list[np.ndarray], embedding: np.ndarray, alike: float) -> int | None:
    if not sums:
        return None
    stacked = np.stack(sums)
    cosines = stacked @ embedding / np.linalg.norm(stacked, axis=1)
    best = int(cosines.argmax())
    return best if cosines[best] >= alike else None


def name_groups(groups: list[list[str]], metas: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The person in each clip, by a name of the clips' own: a listed one, or else the first by the alphabet.

    A clip whose person was listed keeps that name. Two persons in one video are told apart by a number.
    """
    names: dict[str, str] = {}
    taken: set[str] = {str(meta["identity"]) for meta in metas.values() if meta.get("identity_from") == "list"}
    listed_names = set(taken)
    for group in sorted(groups, key=min):
        listed = sorted({str(metas[key]["identity"]) for key in group if metas[key].get("identity_from") == "list"})
        own = sorted({re.sub(r"#[0-9]+$", "", str(metas[key]["identity"])) for key in group})
        name = listed[0] if len(listed) == 1 else next((each for each in own if each not in listed), own[0])
        if name not in listed_names:
            name = next(
                each for each in (name, *(f"{name}#{number}" for number in range(2, 10**6))) if each not in taken
            )
        taken.add(name)
        for key in group:
            is_listed = metas[key].get("identity_from") == "list"
            names[key] = str(metas[key]["identity"]) if is_listed else name
    return names
