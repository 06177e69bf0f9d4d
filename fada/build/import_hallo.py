"""From Hallo's released files to a folder that `HalloPipeline.from_pretrained` reads."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL

from fada.data.audio_features import Wav2Vec2Encoder
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.student.pipeline import HalloPipeline
from fada.teacher.hallo.checkpoint import Row, read_hallo
from fada.teacher.hallo.schedule import hallo_scheduler


def import_hallo(
    path: Path,
    out: Path,
    *,
    vae: Path | None = None,
    audio_encoder: Path | None = None,
    betas: Any = "linear",
    bank_tiling: Any = "released",
) -> list[Row]:
    """Write the folder, under its name only when it is complete; returns the account of keys.

    Raises:
        FileNotFoundError: weights, VAE or audio encoder are not where they were said to be.
        ValueError: `out` holds something, or the weights are not Hallo's (see `read_hallo`).
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: exists and is not empty; choose another --out")
    for option, folder in (("--vae", vae), ("--audio-encoder", audio_encoder)):
        _check_model(option, folder)
    imported = read_hallo(path)
    pipeline = HalloPipeline(
        **imported.parts,
        scheduler=PeRFlowScheduler.from_config(hallo_scheduler(betas).config),
        vae=vae and AutoencoderKL.from_pretrained(str(vae), use_safetensors=True, local_files_only=True),
        audio_encoder=audio_encoder and Wav2Vec2Encoder.from_pretrained(audio_encoder, rate="features"),
        bank_tiling=bank_tiling,
    )
    partial = out.with_name(f".partial-{out.name}")
    shutil.rmtree(partial, ignore_errors=True)
    pipeline.save_pretrained(str(partial), safe_serialization=True)
    if out.is_dir():
        out.rmdir()
    os.replace(partial, out)
    return imported.rows


def _check_model(option: str, folder: Path | None) -> None:
    if folder is None:
        return
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{option} {folder}: no config.json there; give the model's own folder")
    if not any(folder.glob("*.safetensors")):
        raise FileNotFoundError(f"{option} {folder}: no .safetensors weights; convert the model (pickles are not read)")
