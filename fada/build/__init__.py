"""Recipe to objects: the only place that chooses classes, and what the command line calls."""

from fada.build.models import load_pipeline
from fada.build.training import distill, train_teacher

__all__ = ["distill", "load_pipeline", "train_teacher"]
