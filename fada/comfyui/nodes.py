"""The nodes, in ComfyUI's classic form: what they take and give as class attributes, one method that does it.

ComfyUI runs nodes in torch's inference mode. A model that is made in it could not be used outside, and clips are made
in a second thread, which is outside; so these leave it.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fada.comfyui import host
from fada.comfyui.models import AUTO, Named, fingerprint, load_once, place_of
from fada.comfyui.tensors import heard, image_of, portrait_of, speech_of
from fada.data.clips.emotion import EMOTIONS
from fada.family import families
from fada.generation.devices import DTYPES
from fada.generation.face_conditions import FaceModels
from fada.generation.ranges import SEED
from fada.generation.unknown_face import unknown_faces_told
from fada.media.frame_count import exact_rate, frame_count
from fada.media.sample_rate import SAMPLE_RATE
from fada.pretrained.ranges import SCALE, SHARE, STEPS

if TYPE_CHECKING:
    from fada.generation.avatar_pipeline import AvatarPipeline

VIDEO = host.video_types()
AVATAR, SCALES, EMOTION = "FADA_AVATAR", "FADA_SCALES", "FADA_EMOTION"
"""Types of ours: only sockets of the same name are joined."""
Inputs = dict[str, dict[str, Any]]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Avatar:
    """A loaded model, and what reads faces for it."""

    pipeline: AvatarPipeline
    faces: FaceModels


def _text(tooltip: str, default: str = "") -> tuple[str, dict[str, Any]]:
    return "STRING", {"default": default, "tooltip": tooltip}


class LoadAvatar:
    """A model, loaded once however often the workflow runs, and again when its files have changed."""

    CATEGORY = "fada"
    DESCRIPTION = "Loads a talking-avatar model: a student, or its teacher."
    FUNCTION = "load"
    RETURN_TYPES = (AVATAR,)
    RETURN_NAMES = ("avatar",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        devices = [AUTO, "cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        if torch.backends.mps.is_available():
            devices.append("mps")
        return {
            "required": {
                "model": _text(
                    "A run, a model's folder, its name in models/fada, shipped:drawn, or owner/name on the hub",
                    "shipped:drawn",
                ),
                "device": (devices, {"default": AUTO, "tooltip": "auto: where ComfyUI computes"}),
                "dtype": ([AUTO, *DTYPES], {"default": AUTO, "tooltip": "auto: bf16 where cuda has it, else fp32"}),
            },
            "optional": {
                "student": _text("Of a run: which student, or teacher; empty: the last"),
                "teacher": _text("Of a student exported as a difference: its teacher, or the run"),
                "face_landmarker": _text("MediaPipe's .task file: crops the portrait; Hallo and V-Express need it"),
                "face_embedder": _text("InsightFace's glintr100.onnx; Hallo needs it"),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, model: str | None) -> bool | str:
        """Whether there is something of that name, before anything runs; None is what another node gives."""
        try:
            if model is not None:
                place_of(model)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def IS_CHANGED(
        cls, model: str | None, device: str, dtype: str, student: str | None = "", teacher: str | None = "", **_: Any
    ) -> str | float:
        """What differs where the model must be loaded again; not a number, which differs from itself, where a name
        comes from another node and is not known yet."""
        if model is None or student is None or teacher is None:
            return math.nan
        return fingerprint(Named(model, student, teacher, device, dtype))

    @torch.inference_mode(False)
    def load(
        self,
        model: str,
        device: str,
        dtype: str,
        student: str = "",
        teacher: str = "",
        face_landmarker: str = "",
        face_embedder: str = "",
    ) -> tuple[Avatar]:
        pipeline = load_once(Named(model, student, teacher, device, dtype))
        landmarker = face_landmarker or os.environ.get("FADA_FACE_LANDMARKER")
        embedder = face_embedder or os.environ.get("FADA_FACE_EMBEDDER")
        needed = {
            "face_landmarker": (landmarker, pipeline.needs_face or pipeline.needs_keypoints),
            "face_embedder": (embedder, pipeline.needs_face),
        }
        missing = [name for name, (given, is_needed) in needed.items() if is_needed and not given]
        if missing:
            raise ValueError(
                f"{' and '.join(missing)}: a {type(pipeline).__name__} is conditioned on the portrait's face; give the "
                "path of the model that reads it (docs/guides/comfyui.md)"
            )
        return (Avatar(pipeline, FaceModels(*(Path(each) if each else None for each in (landmarker, embedder)))),)


class GuidanceScales:
    """One guidance scale by its name, beside those that come in."""

    CATEGORY = "fada"
    DESCRIPTION = "How strictly a condition is followed; one node for each scale, those left out are the model's own."
    FUNCTION = "extend"
    RETURN_TYPES = (SCALES,)
    RETURN_NAMES = ("scales",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        # By what families there are now, those of other packages among them.
        names = sorted({name for family in families().values() for name in family.guidance.names})
        value = {"default": 2.0, "min": SCALE.low, "max": SCALE.high, "step": 0.1}
        return {"required": {"name": (names,), "value": ("FLOAT", value)}, "optional": {"scales": (SCALES,)}}

    def extend(self, name: str, value: float, scales: Mapping[str, float] | None = None) -> tuple[dict[str, float]]:
        return (_extended("scales", scales, name, value),)


class Emotion:
    """One emotion's share, beside those that come in."""

    CATEGORY = "fada"
    DESCRIPTION = "How the face feels, for FLOAT and its students; what shares leave to 1 is neutral."
    FUNCTION = "extend"
    RETURN_TYPES = (EMOTION,)
    RETURN_NAMES = ("emotion",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        share = {"default": 0.8, "min": SHARE.low, "max": SHARE.high, "step": 0.05}
        return {"required": {"name": (list(EMOTIONS),), "share": ("FLOAT", share)}, "optional": {"emotion": (EMOTION,)}}

    def extend(self, name: str, share: float, emotion: Mapping[str, float] | None = None) -> tuple[dict[str, float]]:
        return (_extended("emotion", emotion, name, share),)


def _extended(what: str, given: Mapping[str, float] | None, name: str, value: float) -> dict[str, float]:
    if name in (given or {}):
        raise ValueError(f"{what}: {name} is given twice; take one of the nodes out")
    return {**(given or {}), name: value}


class GenerateAvatar:
    """Portrait and speech to frames, their sound, their rate, and a video where ComfyUI has such a type."""

    CATEGORY = "fada"
    DESCRIPTION = "Makes a portrait speak, for as long as the sound lasts."
    FUNCTION = "generate"
    RETURN_TYPES = ("IMAGE", "AUDIO", "FLOAT", *(["VIDEO"] if VIDEO else []))
    RETURN_NAMES = ("images", "audio", "fps", "video")[: len(RETURN_TYPES)]

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        steps = {"default": 0, "min": 0, "max": STEPS.high, "tooltip": "Of each clip; 0: the model's own"}
        seed = {"default": 0, "min": 0, "max": SEED.high, "control_after_generate": True}
        return {
            "required": {
                "avatar": (AVATAR,),
                "image": ("IMAGE", {"tooltip": "One portrait; its centred square is used"}),
                "audio": ("AUDIO", {"tooltip": "The speech"}),
                "steps": ("INT", steps),
                "seed": ("INT", seed),
            },
            "optional": {"scales": (SCALES,), "emotion": (EMOTION,)},
        }

    @torch.inference_mode(False)
    @torch.no_grad()
    def generate(
        self,
        avatar: Avatar,
        image: torch.Tensor,
        audio: Mapping[str, Any],
        steps: int = 0,
        seed: int = 0,
        scales: Mapping[str, float] | None = None,
        emotion: Mapping[str, float] | None = None,
    ) -> tuple[Any, ...]:
        pipeline, faces = avatar.pipeline, avatar.faces
        speech = speech_of(audio)
        portrait = faces.cropped(portrait_of(image))
        frames, fps = frame_count(len(speech), SAMPLE_RATE, pipeline.config.fps), float(pipeline.config.fps)
        with unknown_faces_told(lambda text: logger.warning("image: %s", text)):
            made = pipeline.in_chunks(
                portrait,
                speech,
                face=faces.face(portrait) if pipeline.needs_face else None,
                keypoints=faces.keypoints(portrait, frames) if pipeline.needs_keypoints else None,
                emotion=emotion,
                steps=steps or None,
                scales=scales,
                seed=seed,
                on_step=host.progress(),
            )
            images = image_of((chunk.frames for chunk in made), made.frames, pipeline.config.size)
        sound = heard(audio, len(images), fps)
        if VIDEO is None:
            return images, sound, fps
        video, parts = VIDEO
        return images, sound, fps, video(parts(images=images, audio=sound, frame_rate=exact_rate(fps)))


NODE_CLASS_MAPPINGS: dict[str, type] = {
    "FadaLoadAvatar": LoadAvatar,
    "FadaGuidanceScales": GuidanceScales,
    "FadaEmotion": Emotion,
    "FadaGenerateAvatar": GenerateAvatar,
}
"""What workflows name them; a name that is out in the world stays."""
NODE_DISPLAY_NAME_MAPPINGS = {
    "FadaLoadAvatar": "Load fada avatar",
    "FadaGuidanceScales": "Guidance scale (fada)",
    "FadaEmotion": "Emotion (fada)",
    "FadaGenerateAvatar": "Generate talking avatar (fada)",
}
