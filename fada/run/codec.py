"""A run's own codec of a family that has one to train: how it is trained, in the run's folder `codec/`.

The training is the engine's, with its checkpoints, logs and previews; the finished codec lies in `vae/`, where other
families have their VAE (vae.py), whatever trained it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from fada.assembly.settings import accelerator, batch_shape, loop_settings, trackers_of
from fada.data.sampling.seeds import seeded
from fada.data.shards.reading import Sample
from fada.engine.loop import Preview, fit
from fada.engine.run_log import RunLog
from fada.eval.metrics.networks.lpips import load_lpips
from fada.files.folders import inside
from fada.media.contact_sheet import contact_sheet
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe
from fada.run.preview import put
from fada.run.sources import sources_of
from fada.teacher.codec import CodecTraining

CODEC = "codec"
"""Folder of the training in a run."""
SHOWN_CLIPS, SHOWN_FRAMES = 3, 8
"""Of held-out clips, in a preview."""


def trains_codec(recipe: Recipe) -> bool:
    """Whether the recipe's family has a codec of its own that learns, and this run may have to train it."""
    has_training = hasattr(recipe.teacher.family.networks, "train_codec")
    return has_training and recipe.teacher.path is None and recipe.vae.path is None


def train_codec(recipe: Recipe, folder: Path, made_of: dict[str, str], console: Console) -> Any:
    """The family's codec, trained on the run's training clips; goes on from the last checkpoint.

    Args:
        made_of: what it follows from, by hash; a checkpoint of anything else is refused.

    Raises:
        RecipeError: several processes were started from outside, which cannot share this training; or the clips are
            none that it can learn from.
    """
    if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
        raise RecipeError(
            f"{inside(folder, 'vae')}: the codec is not trained yet, which one process does: run fada distill without "
            "a launcher first (engine.processes is fine), then start the processes"
        )
    networks = recipe.teacher.family.networks
    with seeded(recipe.seed, "vae"):
        codec = networks.new_codec(recipe)
    batch = recipe.teacher.codec.train.batch  # type: ignore[attr-defined]
    # It is small, and this is one process: there is nothing to divide.
    alone = {"strategy": "ddp", "offload_optimizer": "device", "offload_parameters": "device", "deepspeed": None}
    prepared = accelerator(recipe.model_copy(update={"engine": recipe.engine.model_copy(update=alone)}), batch)
    shape = batch_shape(recipe, batch, prepared)
    sources = sources_of(recipe, folder, console, keypoints=True)

    def perceptual(backbone: Path, heads: Path) -> nn.Module:
        return load_lpips(backbone, heads).to(prepared.device)

    try:
        training: CodecTraining = networks.train_codec(recipe, codec, sources["train"], shape, perceptual)
    except ValueError as error:
        raise RecipeError(f"{recipe.data.train_name}: {error}") from error
    weights = sum(p.numel() for p in training.objective.module.parameters() if p.requires_grad) / 1e6
    console.print(f"codec: training {weights:.2f} M weights, its discriminators' among them")
    work = inside(folder, CODEC)
    facts = {**made_of, "samples_per_step": shape.per_step}
    settings = loop_settings(recipe, training.steps, training.lr, facts)
    log = RunLog(work, CODEC, console, trackers=trackers_of(recipe, work, CODEC))
    try:
        shown = _preview(training, sources["test"]) if settings.preview_every else None
        found = fit(training.objective, settings, prepared, work, log, shown)
    finally:
        log.close()
    put(found, training.objective.module)
    training.objective.module.to("cpu")
    return training.finish()


def _preview(training: CodecTraining, held_out: Iterable[Sample]) -> Preview:
    """Held-out clips and what the codec makes of them, each from its first frame, and how near that comes."""
    clips = [(each.key, _spread(each.frames)) for each in islice(held_out, SHOWN_CLIPS) if each.frames is not None]
    module = training.objective.module

    def show(step: int, log: RunLog, weights: dict[str, Tensor]) -> None:
        # The average is looked at, and what learns put back.
        learning = {name: value.detach().clone() for name, value in module.named_parameters() if name in weights}
        put(weights, module)
        videos = [training.shown(frames) for _, frames in clips]
        put(learning, module)
        rows, labels, errors = [], [], []
        for (key, frames), video in zip(clips, videos, strict=True):
            rows += [frames, video]
            labels += [f"{key} truth", f"step {step}"]
            errors.append(np.square(video[1:].astype(np.float64) - frames[1:]).mean())
        if rows:
            scale = max(1.0, 96 / rows[0].shape[1])
            log.image("preview/frames", contact_sheet(rows, labels, columns=SHOWN_FRAMES, scale=scale), step)
            decibels = 10 * np.log10(255**2 / max(float(np.mean(errors)), 1e-9))
            log.say(f"step {step}: held-out frames of another frame's appearance: PSNR {decibels:.2f} dB")

    return show


def _spread(frames: np.ndarray) -> np.ndarray:
    """A few frames of a clip, the first among them."""
    return frames[:: max(1, len(frames) // SHOWN_FRAMES)][:SHOWN_FRAMES]
