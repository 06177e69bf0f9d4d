"""Recipe to objects: the only place that chooses classes, and what the command line calls."""

from __future__ import annotations

from fada.files.uncollected import uncollected

with uncollected():
    from fada.run.replay import replay
    from fada.run.training import distill, from_checkpoint, prepare, train_teacher
    from fada.studies.dry_run import dry_run
    from fada.studies.report import bench, bench_scales, bench_share

__all__ = [
    "bench",
    "bench_scales",
    "bench_share",
    "distill",
    "dry_run",
    "from_checkpoint",
    "prepare",
    "replay",
    "train_teacher",
]
