"""Models of the allowed folders, and one video made by one of them: all that needs networks."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fada.data.clips.emotion import EMOTIONS, NEUTRAL
from fada.export.opening import open_model
from fada.export.run_models import label_of
from fada.files.shareable import shareable_text
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.generation.chunks import VideoInChunks
from fada.generation.devices import pick_device, pick_dtype
from fada.generation.face_conditions import FaceModels
from fada.generation.pipelines import INDEX, default_settings, pipeline_class
from fada.generation.ranges import SECONDS, SEED
from fada.generation.unknown_face import unknown_faces_told
from fada.media.audio import read_audio
from fada.media.fragments import open_fragmented
from fada.media.frame_count import frame_count
from fada.media.image import read_image
from fada.media.sample_rate import SAMPLE_RATE
from fada.media.sound_track import SoundTrack
from fada.media.whole_video import open_whole
from fada.pretrained.networks import read_config
from fada.pretrained.ranges import SCALE, STEPS
from fada.pretrained.shipped import PREFIX, located, shipped_models
from fada.ui.allowed_folders import AllowedFolders
from fada.ui.listing import Listing
from fada.ui.making import Asked, Job, Take

FEELINGS = tuple(name for number, name in enumerate(EMOTIONS) if number != NEUTRAL)
"""Emotions that can be asked for; neutral is what is left."""


def models_in(listing: Listing, allowed: AllowedFolders) -> list[dict[str, Any]]:
    """What the page must know of every model: those of the allowed folders, then those that come with fada."""
    found = []
    for folder in listing.models:
        run = folder.parent.parent if folder.parent.name == "students" else folder.parent
        where = allowed.shown(run if run in listing.runs else folder)
        label = f"{where}: {label_of(folder)}" if run in listing.runs else where
        found.append({"place": allowed.place(folder), "label": label, **_facts(folder)})
    for name, folder in shipped_models().items():
        found.append({"place": f"{PREFIX}{name}", "label": f"comes with fada: {name}", **_facts(folder)})
    return found


def _facts(folder: Path) -> dict[str, Any]:
    """What a model's index says of calls; of one that cannot be opened, why."""
    try:
        content = read_config(folder, INDEX)
        kind = pipeline_class(content, folder / INDEX)
        settings = default_settings(kind) | content
        scales = {name: float(settings[f"{name}_scale"]) for name in kind.family.guidance.names}
        return {
            "family": kind.family.title,
            "isStudent": settings["is_student"] is True,
            "steps": int(settings["steps"]),
            "size": int(settings["size"]),
            "scales": scales,
            "emotions": list(FEELINGS) if kind.needs_emotion else [],
            "needs": [name for name in ("face", "keypoints") if getattr(kind, f"needs_{name}")],
        }
    except (OSError, ValueError, TypeError, KeyError) as error:
        return {"fault": shareable_text(str(error))}


def asked_of(content: Any) -> Asked:
    """What a page asks for, its numbers within their ranges.

    Raises:
        ValueError: something is missing, of another type, or out of its range.
    """
    if not isinstance(content, dict) or not isinstance(content.get("model"), str):
        raise ValueError("model: name one")
    steps, seed, seconds = (content.get(name) for name in ("steps", "seed", "seconds"))
    if steps is not None:
        STEPS.check("steps", steps)
    SEED.check("seed", 0 if seed is None else seed)
    if seconds is not None:
        SECONDS.check("seconds", seconds)
    scales, emotion = content.get("scales") or {}, content.get("emotion")
    for title, named in (("scales", scales), ("emotion", emotion or {})):
        if not isinstance(named, dict) or len(named) > 64:
            raise ValueError(f"{title}: numbers by name are wanted")
    for name, value in scales.items():
        SCALE.check(f"{name[:64]} scale", value)
    return Asked(content["model"], steps, scales, emotion, seed or 0, seconds)


@dataclass
class Studio:
    """Opens models and makes videos: on one device, the model that was used last kept open.

    Args:
        device, dtype: as of `fada generate`; None picks.
    """

    allowed: AllowedFolders
    device: str | None = None
    dtype: str | None = None
    faces: FaceModels = field(default_factory=FaceModels)
    _open: tuple[tuple[Path, int], AvatarPipeline] | None = None

    def pipeline(self, model: str) -> AvatarPipeline:
        """The pipeline of a model, by its place or as `shipped:NAME`.

        Raises:
            NotAllowed: it is in no allowed folder.
            ValueError: there is none, or it is damaged.
        """
        folder = located(Path(model)) if model.startswith(PREFIX) else self.allowed.find(model)
        index = folder / INDEX
        key = (folder, index.stat().st_mtime_ns if index.is_file() else 0)
        if self._open is None or self._open[0] != key:
            # One at a time: two may not fit.
            self._open = None
            gc.collect()
            place = pick_device(self.device)
            opened = open_model(folder).to(place, pick_dtype(self.dtype, place)).optimize()
            self._open = (key, opened)
        return self._open[1]

    def make(self, job: Job, take: Take) -> None:
        """Make a take's video: the growing file as its frames come, then the finished one.

        Raises:
            Cancelled: the take was asked to stop.
            ValueError: the model cannot be called so.
        """
        asked = take.asked
        take.on_step(0, 0)
        pipeline = self.pipeline(asked.model)
        portrait = self.faces.cropped(read_image(job.portrait))
        speech = read_audio(job.speech)
        if asked.seconds is not None:
            speech = speech[: round(asked.seconds * SAMPLE_RATE)]
        call: dict[str, Any] = {
            "steps": asked.steps,
            "scales": dict(asked.scales) or None,
            "seed": asked.seed,
            "emotion": asked.emotion,
        }
        if pipeline.needs_face:
            call["face"] = self.faces.face(portrait)
        if pipeline.needs_keypoints:
            frames = frame_count(len(speech), SAMPLE_RATE, pipeline.config.fps)
            call["keypoints"] = self.faces.keypoints(portrait, frames)
        take.state = "making"
        with unknown_faces_told(take.warnings.append):
            _write(take, job.speech, pipeline, pipeline.in_chunks(portrait, speech, on_step=take.on_step, **call))


def _write(take: Take, speech: Path, pipeline: AvatarPipeline, made: VideoInChunks) -> None:
    fps = pipeline.config.fps
    began = time.perf_counter()
    take.frames = (0, made.frames)
    noise: list[int] = [pipeline.config.frames]

    def frames() -> Iterator[np.ndarray]:
        for chunk in made:
            noise[1:] = chunk.latents.shape[1:]
            yield chunk.frames

    with (
        SoundTrack(speech) as sound,
        open_fragmented(str(take.live), fps, sound.sample_rate, sound.layout) as live,
        open_whole(take.video, fps, sound.sample_rate, sound.layout) as whole,
    ):
        for clip, heard in sound.beside(frames(), fps):
            live.add(clip, heard)
            whole.add(clip, heard)
            take.frames = (take.frames[0] + len(clip), made.frames)
    take.figures |= {
        "seconds": time.perf_counter() - began,
        "clips": made.clips,
        "evaluationsOfAClip": made.nfe,
        "evaluations": made.nfe * made.clips,
        "stages": made.stage_seconds,
        "firstFrame": made.seconds_to_first_frame,
        "noise": noise,
        "fps": fps,
    }
