"""Scores of clips on five axes, and the sets A and B that thresholds make of them."""

from fada.data.scores.catalogue import AXES, SCORES, Score
from fada.data.scores.dnsmos import SpeechQuality, SpeechQualityError
from fada.data.scores.folder import Models, ScoredFolder, score_folder
from fada.data.scores.measure import score_clip
from fada.data.scores.plots import plot_scores
from fada.data.scores.quality import ImageQuality, QualityError
from fada.data.scores.sets import Decision, decide, filter_folder, filter_table, tables
from fada.data.scores.syncnet import SyncNet, SyncNetError
from fada.data.scores.table import ScoresError, count_scores, draw_scores, read_scores, write_scores
from fada.data.scores.thresholds import Thresholds, check_nested, load_thresholds
from fada.data.scores.truth import curves, judge, truth_tables
from fada.data.scores.voice import VoiceError, VoiceLikeness

__all__ = [
    "AXES",
    "SCORES",
    "Decision",
    "ImageQuality",
    "Models",
    "QualityError",
    "Score",
    "ScoredFolder",
    "ScoresError",
    "SpeechQuality",
    "SpeechQualityError",
    "SyncNet",
    "SyncNetError",
    "Thresholds",
    "VoiceError",
    "VoiceLikeness",
    "check_nested",
    "count_scores",
    "curves",
    "decide",
    "draw_scores",
    "filter_folder",
    "filter_table",
    "judge",
    "load_thresholds",
    "plot_scores",
    "read_scores",
    "score_clip",
    "score_folder",
    "tables",
    "truth_tables",
    "write_scores",
]
