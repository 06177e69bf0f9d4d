"""From Hallo's released files to a folder that `HalloPipeline.from_pretrained` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fada.data.audio.features import Wav2Vec2Encoder
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.generation.pipelines import PIPELINES
from fada.teacher.hallo.checkpoint import read_hallo
from fada.teacher.hallo.schedule import hallo_scheduler
from fada.teacher.origins import write_import
from fada.teacher.released import Row, check_model, check_out, write_whole
from fada.teacher.vae import load_vae


def import_hallo(
    path: Path,
    out: Path,
    *,
    vae: Path | None = None,
    audio_encoder: Path | None = None,
    licence: str | None = None,
    betas: Any = "linear",
    bank_tiling: Any = "released",
) -> list[Row]:
    """Write the folder, under its name only when it is complete; returns the account of keys.

    Args:
        licence: of the weights; without it that of the card beside them.

    Raises:
        FileNotFoundError: weights, VAE or audio encoder are not where they were said to be.
        ValueError: `out` holds something, or the weights are not Hallo's (see `read_hallo`).
    """
    check_out(out)
    check_model("--vae", vae)
    check_model("--audio-encoder", audio_encoder)
    imported = read_hallo(path)
    pipeline = PIPELINES["HalloPipeline"](
        **imported.parts,
        scheduler=PeRFlowScheduler.from_config(hallo_scheduler(betas).config),
        vae=vae and load_vae(vae),
        audio_encoder=audio_encoder and Wav2Vec2Encoder.from_pretrained(audio_encoder, rate="features"),
        bank_tiling=bank_tiling,
    )

    def write(folder: Path) -> None:
        pipeline.save_pretrained(folder, safe_serialization=True)
        write_import(folder, path, licence)

    write_whole(out, write)
    return imported.rows
