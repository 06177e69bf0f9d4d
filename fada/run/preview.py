"""Previews of a training: the same held-out portraits and speech at the same seeds, every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from fada.engine.loop import Preview
from fada.engine.run_log import RunLog
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.media.contact_sheet import contact_sheet

if TYPE_CHECKING:
    from fada.run.data import RunData

PREVIEW_CLIPS = 3


def previews(built: AvatarPipeline, result: nn.Module, data: RunData, device: torch.device) -> Preview:
    """Previews at fixed seeds and conditions: the same held-out portraits and speech every time."""
    clips = data.test[:PREVIEW_CLIPS]
    frames = 2 * built.config.frames

    def show(step: int, log: RunLog, weights: dict[str, Tensor]) -> None:
        put(weights, result)
        result.eval()
        built.to(device)
        videos = []
        for seed, clip in enumerate(clips):
            length = min(frames, len(clip.frames))
            told: dict[str, Any] = {"face": clip.face, "keypoints": clip.keypoints, "emotion": clip.emotion}
            videos.append(built(clip.frames[0], clip.audio, seed=seed, max_frames=length, **told).frames)
        built.to("cpu")
        rows, labels = [], []
        for clip, video in zip(clips, videos, strict=True):
            rows += [clip.frames[: len(video)], video]
            labels += [f"{clip.key} truth", f"step {step}"]
        log.image(
            "preview/frames", contact_sheet(rows, labels, columns=8, scale=max(1.0, 96 / videos[0].shape[1])), step
        )
        shortest = min(len(video) for video in videos)
        log.video(
            "preview/video", np.concatenate([video[:shortest] for video in videos], axis=2), step, built.config.fps
        )

    return show


def put(weights: dict[str, Tensor], module: nn.Module) -> None:
    """Trained parameters into a module that has them, and others."""
    unknown = module.load_state_dict(weights, strict=False).unexpected_keys
    if unknown:
        raise ValueError(f"trained weights that the model does not have: {', '.join(unknown[:5])}")
