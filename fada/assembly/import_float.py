"""From FLOAT's released file to a folder that `FloatPipeline.from_pretrained` reads."""

from __future__ import annotations

from pathlib import Path

from fada.data.audio.features import Wav2Vec2Encoder
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.generation.pipelines import PIPELINES
from fada.teacher.float.checkpoint import read_float
from fada.teacher.float.settings import LICENCE, Pipeline
from fada.teacher.origins import write_import
from fada.teacher.released import Row, check_model, check_out, write_whole

TIMESTEPS = 1800
"""Of the grid of times: nine Euler steps lie on it, as the public code takes, and students' six in four windows."""


def import_float(path: Path, out: Path, *, audio_encoder: Path | None = None, licence: str | None = None) -> list[Row]:
    """Write the folder, under its name only when it is complete; returns the account of keys.

    Args:
        licence: of the weights; without it FLOAT's own.

    Raises:
        FileNotFoundError: weights or audio encoder are not where they were said to be.
        ValueError: `out` holds something, or the weights are not FLOAT's (see `read_float`).
    """
    check_out(out)
    check_model("--audio-encoder", audio_encoder)
    imported = read_float(path)
    fps, motion_frames = 25.0, int(Pipeline.model_fields["motion_frames"].default)
    pipeline = PIPELINES["FloatPipeline"](
        **imported.parts,
        scheduler=PeRFlowScheduler(prediction_type="flow_prediction", num_train_timesteps=TIMESTEPS),
        audio_encoder=audio_encoder and Wav2Vec2Encoder.from_pretrained(audio_encoder, "features", fps),
        size=imported.parts["vae"].config.size,
        frames=imported.parts["vector_field"].config.max_frames - motion_frames,
        motion_frames=motion_frames,
    )

    def write(folder: Path) -> None:
        pipeline.save_pretrained(str(folder), safe_serialization=True)
        write_import(folder, path, licence or LICENCE)

    write_whole(out, write)
    return imported.rows
