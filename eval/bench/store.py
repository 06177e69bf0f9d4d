"""The benchmark's folder: a row, its latents and its video per (clip, system), each written whole or not at all.

OUT/rows/CLIP/SYSTEM.json   metrics, NFE, timing; carries the fingerprint of what made it
OUT/rows/CLIP/SYSTEM.npy    latents (F, C, h, w)
OUT/rows/CLIP/SYSTEM.npz    features of real footage, by instrument
OUT/rows/CLIP/SYSTEM.mp4    the video with sound, enlarged so that small faces can be seen
OUT/rows/CLIP/truth.mp4     the real video
OUT/rows/CLIP/controls.json the controls' rows
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from fada.eval.bench.results import kept_json
from fada.eval.bench.systems import BenchClip
from fada.files.manifest import describe
from fada.files.whole import whole_file, write_json
from fada.media.frame_count import sample_count
from fada.media.video import write_video

ENDINGS = ("npy", "npz", "mp4")
"""Of the files beside a row."""
SMALLEST_SIDE = 256
"""Videos for people are enlarged to at least this many pixels."""


class Store:
    """Rows under ``folder``; a row with another fingerprint counts as missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "rows"

    def row(self, clip: str, system: str, fingerprint: str) -> dict[str, Any] | None:
        """The stored row, or None if there is none, it is damaged, or something else made it."""
        row = kept_json(self._path(clip, system, "json"))
        files = row.pop("files", None)
        if row.get("fingerprint") != fingerprint or not isinstance(files, dict):
            return None
        there = self._described(row)
        return row if all(there.get(name) == written for name, written in files.items()) else None

    def write_row(self, row: dict[str, Any]) -> None:
        """Stores a row with the hashes of its files; written last, so that latents and video are there when it is."""
        write_json(self._path(row["clip"], row["system"], "json"), {**row, "files": self._described(row)})

    def _described(self, row: dict[str, Any]) -> dict[str, Any]:
        """Size and SHA-256 of the files beside a row; those of controls lie under the names of its rows."""
        names = [row["system"], *(inner["system"] for inner in row.get("rows", ()))]
        paths = [self._path(row["clip"], name, ending) for name in names for ending in ENDINGS]
        return {path.name: describe(path) for path in paths if path.is_file()}

    def latents(self, clip: str, system: str) -> torch.Tensor | None:
        """Stored latents (F, C, h, w), or None where the system had none."""
        path = self._path(clip, system, "npy")
        return torch.from_numpy(np.load(path, allow_pickle=False)) if path.exists() else None

    def write_latents(self, clip: str, system: str, latents: torch.Tensor | None) -> None:
        """Stores latents as float32, or removes older ones where there are none."""
        path = self._path(clip, system, "npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        if latents is None:
            path.unlink(missing_ok=True)
            return
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, latents.detach().float().cpu().numpy())

    def features(self, clip: str, system: str) -> dict[str, np.ndarray]:
        """Stored features by instrument; empty where none were made."""
        path = self._path(clip, system, "npz")
        if not path.exists():
            return {}
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)

    def write_features(self, clip: str, system: str, features: Mapping[str, np.ndarray]) -> None:
        """Stores features by instrument, or removes older ones where there are none."""
        path = self._path(clip, system, "npz")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not features:
            path.unlink(missing_ok=True)
            return
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **dict(features))  # type: ignore[arg-type]

    def video_path(self, clip: str, system: str) -> Path:
        """Where the video lies; ``truth`` is the real one."""
        return self._path(clip, system, "mp4")

    def write_clip_video(self, clip: BenchClip, system: str, frames: np.ndarray) -> None:
        """Stores a video with the clip's sound, cut to the video's length."""
        path = self.video_path(clip.key, system)
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = sample_count(len(frames), clip.sample_rate, clip.fps)
        write_video(path, enlarge(frames), clip.fps, clip.audio[:samples], clip.sample_rate)

    def _path(self, clip: str, system: str, ending: str) -> Path:
        return self.folder / clip / f"{system}.{ending}"


def enlarge(frames: np.ndarray, smallest_side: int = SMALLEST_SIDE) -> np.ndarray:
    """The video at the least whole factor that makes its smaller side ``smallest_side`` pixels (Lanczos)."""
    height, width = frames.shape[1:3]
    factor = -(-smallest_side // min(height, width))
    if factor <= 1:
        return frames
    size = (width * factor, height * factor)
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)) for frame in frames])
