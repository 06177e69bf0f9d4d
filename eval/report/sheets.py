"""Contact sheets: the true video and every system's, frame above frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fada.eval.bench.results import BenchResults
from fada.eval.bench.store import Store
from fada.eval.bench.summary import system_names
from fada.eval.metrics.catalogue import CATALOGUE
from fada.media.contact_sheet import contact_sheet, write_png
from fada.media.video import read_video

COLUMNS = 8
WIDEST_FRAME = 128


def write_sheet(results: BenchResults, clip: str, path: Path) -> Path | None:
    """One PNG for a clip from the stored videos; None where none are stored."""
    if results.folder is None:
        return None
    store = Store(results.folder)
    rows: list[np.ndarray] = []
    labels: list[str] = []
    for name in ("truth", *system_names(results)):
        video = store.video_path(clip, name)
        if video.exists():
            frames = read_video(video, fps=None)
            rows.append(frames)
            labels.append(f"{name}{figures(results, clip, name)}")
    if not rows:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, contact_sheet(rows, labels, COLUMNS, min(1.0, WIDEST_FRAME / rows[0].shape[2])))
    return path


def figures(results: BenchResults, clip: str, name: str) -> str:
    """A few of the clip's own numbers for a caption, empty for systems without rows."""
    chosen = ("mouth_correlation_synth", "sync_d", "lip_correlation", "latent_mse_reference", "latent_mse_truth")
    parts = []
    for metric in chosen:
        value = results.values(name, metric).get(clip)
        if value is not None:
            parts.append(f"{CATALOGUE[metric].label} {value:.3g}")
    return f"  {', '.join(parts)}" if parts else ""
