"""Recipe to networks, and networks to folders."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from fada.assembly.settings import default_steps
from fada.data.audio.features import AudioEncoder, LogMelEncoder, Wav2Vec2Encoder, WhisperAudioEncoder
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.files.whole import whole_folder
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.generation.pipelines import PIPELINES, open_pipeline
from fada.pretrained.networks import load_network
from fada.pretrained.shipped import located
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe
from fada.recipe.sections.data import Audio, ClipShape
from fada.recipe.sections.distill import Distill
from fada.recipe.sections.teacher import Noise
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.face_space import FaceSpace


def audio_encoder(section: Audio, fps: float) -> AudioEncoder:
    """The frozen audio encoder of a recipe whose clips have so many frames per second."""
    if section.kind == "log_mel":
        return LogMelEncoder(section.bins, fps=fps)
    assert section.path is not None
    if section.kind == "whisper":
        assert section.rate != "features"
        return WhisperAudioEncoder.from_pretrained(section.path, section.rate, fps)
    return Wav2Vec2Encoder.from_pretrained(section.path, section.rate, fps)


def scheduler(section: Noise, distill: Distill) -> PeRFlowScheduler:
    """The noise path and the windows as a diffusers scheduler."""
    return PeRFlowScheduler(
        **section.model_dump(),
        num_windows=distill.windows,
        extra_steps=distill.extra_steps,
        spacing=distill.spacing,
        matched=distill.matched,
    )


NET_SHAPE = (
    "in_channels", "channels", "layers_per_block", "heads", "attention_levels", "temporal_levels", "norm_groups",
    "has_places", "audio_dim", "window", "layers", "states_dim", "hidden", "tokens", "token_dim",
)  # fmt: skip
"""Settings of a net in which given weights and the recipe must agree; all but `max_frames`, which has no weights."""


def start_from(model: AvatarDenoiser, folder: Path) -> None:
    """Give a model the weights in a folder: of an imported image model, or a teacher's.

    What an import lacks beside the two UNets (an `audio_projection/`), the model keeps of its own.

    Raises:
        RecipeError: a net is not there, or has another shape.
    """
    folder = located(folder)
    for name in model.names:
        if not (folder / name / "config.json").is_file():
            if name not in ("reference_unet", "denoising_unet"):
                continue
            raise RecipeError(
                f"teacher.init: {folder / name}: no such net; make the folder with fada teacher import sd15"
            )
        net = getattr(model, name)
        loaded = load_network(folder / name, type(net))
        for key in NET_SHAPE:
            given, wanted = (_plain(each.config.get(key)) for each in (loaded, net))
            if given != wanted:
                raise RecipeError(
                    f"teacher.init: {folder / name}: {key} is {given}, the recipe asks for {wanted}; "
                    "change the recipe, or import with other settings"
                )
        net.load_state_dict(loaded.state_dict())


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def new_teacher(recipe: Recipe, audio: tuple[int, int, int], latent: tuple[int, ...]) -> AvatarDenoiser:
    """A teacher of the recipe's family with random weights.

    Args:
        audio: (window, layers, dim) of the encoder's states; latent: shape of a frame's.
    """
    networks = recipe.teacher.family.networks
    return networks.new(recipe.teacher.network, recipe.noise.model_dump(), audio, latent)


def open_teacher(recipe: Recipe, folder: Path) -> AvatarDenoiser:
    """The model that a recipe's students learn from.

    Raises:
        RecipeError: it is of another family than the recipe says, or was trained on another noise path.
    """
    opened = open_pipeline(folder)
    model, found = opened.model, opened.family.name
    if found != recipe.teacher.kind:
        raise RecipeError(
            f"teacher.kind: {folder} holds a {found}, the recipe says {recipe.teacher.kind}; set teacher.kind={found}"
        )
    named, own = recipe.noise.model_dump(), model.path.to_config()
    differing = [f"{key}={own[key]} (recipe: {value})" for key, value in named.items() if own[key] != value]
    if differing:
        raise RecipeError(f"noise: the teacher in {folder} has another path: {', '.join(differing)}; change the recipe")
    return model


def pipeline(
    recipe: Recipe,
    model: AvatarDenoiser,
    vae: Any,
    encoder: AudioEncoder,
    *,
    steps: int,
    scales: tuple[float, ...],
    is_student: bool,
    faces: FaceSpace | None = None,
) -> AvatarPipeline:
    """A pipeline around a model; scales, in the order of the branches, are a call's defaults; faces those it knows.

    Args:
        is_student: sample as students do, in windows.
    """
    family = recipe.teacher.family
    kind: Any = PIPELINES[family.pipeline]
    options = {name: getattr(model, name) for name in family.options if name not in ClipShape.model_fields}
    return kind(
        **model.components(),
        **options,
        vae=vae,
        audio_encoder=encoder,
        scheduler=scheduler(recipe.noise, recipe.distill),
        face_space=faces,
        frames=recipe.clip.frames,
        motion_frames=recipe.clip.motion_frames,
        context=recipe.audio.context,
        fps=recipe.clip.fps,
        size=recipe.clip.size,
        steps=steps,
        **{f"{name}_scale": scale for name, scale in zip(family.guidance.names, scales, strict=True)},
        is_student=is_student,
        **_calls_of(recipe.distill) if is_student else {},
    )


def untrained(recipe: Recipe, teacher: AvatarPipeline) -> AvatarPipeline:
    """A student before its training: the teacher's own networks, shared and not copied, in the students' windows."""
    scales = teacher.scales(None)
    return pipeline(
        recipe, teacher.model, teacher.vae, teacher.audio_encoder,
        steps=default_steps(recipe), scales=scales, is_student=True,
    )  # fmt: skip


def _calls_of(distill: Distill) -> dict[str, Any]:
    """How students of a recipe are called; nothing where that is the usual way."""
    calls: dict[str, Any] = {"gamma": distill.gamma} if distill.method == "tcd" else {}
    return calls | ({"guidance": "none"} if distill.sampling == "conditional" else {})


def faces_known_to(recipe: Recipe, teacher: Path) -> FaceSpace | None:
    """Which faces the teacher in a folder knows, and its students with it.

    None where the folder does not say so, and for models of shards: whom their clips show, and how many, nobody knows.
    """
    folder = teacher / "face_space"
    return load_network(folder, FaceSpace) if recipe.data.world is not None and folder.is_dir() else None


def frozen_copy(model: AvatarDenoiser, precision: str) -> AvatarDenoiser:
    """A teacher for targets: its own copy, without gradients, in the precision it runs in."""
    teacher = copy.deepcopy(model).eval().requires_grad_(False)
    return teacher.to({"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32))


def save_pipeline(built: AvatarPipeline, folder: Path) -> None:
    """Save as a diffusers folder with a manifest, under its final name only when it is complete and on disk.

    What has that name is set aside.
    """
    with whole_folder(folder) as partial:
        built.save_pretrained(str(partial), safe_serialization=True)
