"""What the benchmark compares: a clip, a system that generates it, and what comes back.

Plain values; nothing is computed here except the checks at the border.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fada.media.sample_rate import SAMPLE_RATE

if TYPE_CHECKING:
    from fada.data.clips.face import FaceClues
    from fada.data.clips.keypoints import Keypoints


@dataclass(frozen=True)
class BenchClip:
    """One held-out clip.

    Args:
        key: unique name, also a file name under the report's folder.
        identity: whose face it is.
        reference: the portrait, uint8 (H, W, 3).
        audio: mono samples in [-1, 1], float32 (N,).
        truth_frames: the real video, uint8 (F, H, W, 3), where there is one.
        truth_latents: its latents (F, C, h, w), in the same latent space as the systems' latents.
        meta: free notes; ``meta["truth"]`` holds the drawn world's truth (``aperture``, geometry, colours).
        face: what is known of the portrait's face, for systems that are told.
        keypoints: (F, ...) of every true frame, for systems that are shown them.
        emotion: soft label (7,), for systems that are given one.
        fps: video frames per second.
        sample_rate: audio samples per second.
    """

    key: str
    identity: str
    reference: np.ndarray
    audio: np.ndarray
    truth_frames: np.ndarray | None = None
    truth_latents: torch.Tensor | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    face: FaceClues | None = None
    keypoints: Keypoints | None = None
    emotion: torch.Tensor | None = None
    fps: float = 25.0
    sample_rate: int = SAMPLE_RATE

    @property
    def drawn_truth(self) -> dict[str, Any] | None:
        """The renderer's own truth, or None for real footage."""
        return self.meta.get("truth")

    def content_hash(self) -> str:
        """Twelve hex digits over portrait, sound and true frames: changes when the clip does."""
        digest = hashlib.sha256(np.ascontiguousarray(self.reference).tobytes())
        digest.update(np.ascontiguousarray(self.audio).tobytes())
        if self.truth_frames is not None:
            digest.update(np.ascontiguousarray(self.truth_frames).tobytes())
        return digest.hexdigest()[:12]

    def measured_hash(self) -> str:
        """Sixteen hex digits over all that a row of this clip follows from: its content, and what it is compared with.

        Unlike `content_hash` it changes with the VAE of the true latents.
        """
        told = [self.key, self.identity, self.fps, self.sample_rate, self.content_hash()]
        digest = hashlib.sha256(json.dumps([*told, self.drawn_truth], sort_keys=True, default=str).encode())
        tensors = [] if self.truth_latents is None else [self.truth_latents]
        tensors += [] if self.face is None else [self.face.embedding, self.face.face_box, self.face.lip_box]
        tensors += [] if self.emotion is None else [self.emotion]
        for value in tensors:
            digest.update(f"{tuple(value.shape)}".encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def seed(self, base_seed: int) -> int:
        """The clip's own noise seed, the same for every system, so that differences are paired."""
        return (base_seed * 1_000_003 + zlib.crc32(self.key.encode())) % (2**31 - 1)


@dataclass(frozen=True)
class GenerationResult:
    """What one system made of one clip.

    Args:
        frames: uint8 (F, H, W, 3).
        latents: (F, C, h, w), or None where the system has none.
        stage_seconds: wall seconds by stage: ``audio``, ``reference``, ``denoise``, ``decode``.
        nfe: evaluations of the denoising net per clip (NFE-D); a batched three-branch pass counts three.
        clips: how many clips of the model's own length the video took (more than one through motion frames).
        peak_memory_bytes: peak during the call, where the system measured it itself; otherwise the benchmark does.
        first_frame_seconds: from the call to the first decoded frame, where known.
    """

    frames: np.ndarray
    latents: torch.Tensor | None
    stage_seconds: dict[str, float]
    nfe: int
    clips: int = 1
    peak_memory_bytes: int | None = None
    first_frame_seconds: float | None = None


@dataclass(frozen=True)
class System:
    """One row of the report: a way to turn a portrait and sound into a video.

    Args:
        name: short and unique, for example ``teacher-75``; also a file name.
        description: one line for the report.
        nfe_expected: evaluations per clip that the hook must count; None switches the check off.
        generate: ``(clip, seed) -> GenerationResult``; the same seed means the same initial noise in every system.
        is_reference: the teacher's guided output; exactly one system is.
        is_candidate: a distilled student, judged against the goals.
        is_alternative: an undistilled way to spend as few evaluations, what a student has to beat.
        is_timed: whether the timing rounds include it; searched nodes take as long as plain ones.
        fingerprint: whatever identifies the weights and settings (a hash); stored rows with another one are remade.
        notes: what the report prints about it, for example ``{"dtype": "float32", "compiled": False}``.
    """

    name: str
    description: str
    nfe_expected: int | None
    generate: Callable[[BenchClip, int], GenerationResult]
    is_reference: bool = False
    is_candidate: bool = False
    is_alternative: bool = False
    is_timed: bool = True
    fingerprint: str = ""
    notes: dict[str, Any] = field(default_factory=dict)


class BenchError(ValueError):
    """The benchmark was asked for something it cannot measure, or a system returned something malformed."""


def check_systems(systems: list[System]) -> System:
    """The reference system, after checking that names are unique file names and that there is exactly one reference.

    Raises:
        BenchError: no or several references, a repeated name, or a name that is no file name.
    """
    names = [system.name for system in systems]
    for name in names:
        check_file_name("system", name)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise BenchError(f"systems: names must be unique, got {', '.join(repeated)} more than once; rename one")
    references = [system for system in systems if system.is_reference]
    if len(references) != 1:
        found = ", ".join(system.name for system in references) or "none"
        raise BenchError(f"systems: exactly one must have is_reference=True, got {found} of {', '.join(names)}")
    return references[0]


def check_file_name(kind: str, name: str) -> None:
    """Nothing, if ``name`` can be a file name on every system; BenchError otherwise."""
    allowed = all(character.isalnum() or character in "-_." for character in name)
    if not name or not allowed or name.startswith("."):
        raise BenchError(f"{kind} {name!r}: must be a file name; use letters, digits, '-', '_' and '.'")


def check_clips(clips: list[BenchClip]) -> None:
    """Nothing, if there are clips with unique file names; BenchError otherwise."""
    if not clips:
        raise BenchError("clips: got none; give at least one held-out clip")
    keys = [clip.key for clip in clips]
    for key in keys:
        check_file_name("clip", key)
    repeated = sorted({key for key in keys if keys.count(key) > 1})
    if repeated:
        raise BenchError(f"clips: keys must be unique, got {', '.join(repeated)} more than once; rename one")


def check_result(system: System, clip: BenchClip, result: GenerationResult) -> None:
    """Nothing, if the result is a uint8 video of at least two frames; BenchError otherwise."""
    frames = result.frames
    where = f"system {system.name}, clip {clip.key}"
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise BenchError(f"{where}: frames must be uint8 (F, H, W, 3), got {frames.dtype} {frames.shape}")
    if len(frames) < 2:
        raise BenchError(f"{where}: a video needs at least 2 frames, got {len(frames)}")
    if result.latents is not None and len(result.latents) != len(frames):
        raise BenchError(f"{where}: {len(frames)} frames but {len(result.latents)} latents; return one per frame")
    if "denoise" not in result.stage_seconds:
        stages = ", ".join(result.stage_seconds) or "none"
        raise BenchError(f"{where}: stage_seconds must name 'denoise', got {stages}; time the denoising loop")
