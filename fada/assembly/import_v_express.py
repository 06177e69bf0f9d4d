"""From V-Express's released files to a folder that `VExpressPipeline.from_pretrained` reads."""

from __future__ import annotations

from pathlib import Path

from fada.data.audio.features import Wav2Vec2Encoder
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.generation.pipelines import PIPELINES
from fada.teacher.origins import write_import
from fada.teacher.released import Row, check_model, check_out, write_whole
from fada.teacher.v_express.attention import BranchWeights
from fada.teacher.v_express.checkpoint import read_v_express
from fada.teacher.v_express.model import RELEASED_WEIGHTS
from fada.teacher.v_express.schedule import v_express_scheduler
from fada.teacher.v_express.settings import RELEASED_FPS
from fada.teacher.vae import load_vae


def import_v_express(
    path: Path,
    out: Path,
    *,
    vae: Path | None = None,
    audio_encoder: Path | None = None,
    licence: str | None = None,
    weights: BranchWeights = RELEASED_WEIGHTS,
) -> list[Row]:
    """Write the folder, under its name only when it is complete; returns the account of keys.

    Args:
        licence: of the weights; without it that of the card beside them.

    Raises:
        FileNotFoundError: weights, VAE or audio encoder are not where they were said to be.
        ValueError: `out` holds something, or the weights are not V-Express's (see `read_v_express`).
    """
    check_out(out)
    check_model("--vae", vae)
    check_model("--audio-encoder", audio_encoder)
    imported = read_v_express(path)
    pipeline = PIPELINES["VExpressPipeline"](
        **imported.parts,
        scheduler=PeRFlowScheduler.from_config(v_express_scheduler().config),
        vae=vae and load_vae(vae),
        audio_encoder=audio_encoder and Wav2Vec2Encoder.from_pretrained(audio_encoder, "pairs", RELEASED_FPS),
        reference_weight=weights.reference,
        audio_weight=weights.audio,
    )

    def write(folder: Path) -> None:
        pipeline.save_pretrained(str(folder), safe_serialization=True)
        write_import(folder, path, licence)

    write_whole(out, write)
    return imported.rows
