"""Raw videos and portraits into what the models take: face-cropped clips at 25 fps with 16 kHz sound."""

from fada.data.prepare.masks import draw_masks, read_landmarks
from fada.data.prepare.models import FaceFinder, ModelError
from fada.data.prepare.portrait import prepare_portrait
from fada.data.prepare.reasons import Limits, Reason, Rejection
from fada.data.prepare.report import PreparedClip, PrepareReport, SourceRecord
from fada.data.prepare.videos import PrepareProgress, prepare_videos
from fada.data.workers.ray_crew import ClusterError

__all__ = [
    "ClusterError",
    "FaceFinder",
    "Limits",
    "ModelError",
    "PrepareProgress",
    "PrepareReport",
    "PreparedClip",
    "Reason",
    "Rejection",
    "SourceRecord",
    "draw_masks",
    "prepare_portrait",
    "prepare_videos",
    "read_landmarks",
]
