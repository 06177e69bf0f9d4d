"""Recipe to objects: the only place that chooses classes, and what the command line calls."""

from __future__ import annotations

import gc

# Importing torch, diffusers and transformers makes a million objects, all of which stay: looking through them for
# garbage again and again would take a sixth of the time.
_COLLECTS = gc.isenabled()
gc.disable()
try:
    from fada.assembly.models import find_model, load_pipeline
    from fada.run.replay import replay
    from fada.run.training import distill, from_checkpoint, prepare, train_teacher
    from fada.studies.dry_run import dry_run
    from fada.studies.report import bench, bench_scales, bench_share
finally:
    if _COLLECTS:
        gc.enable()

__all__ = [
    "bench",
    "bench_scales",
    "bench_share",
    "distill",
    "dry_run",
    "find_model",
    "from_checkpoint",
    "load_pipeline",
    "prepare",
    "replay",
    "train_teacher",
]
