"""``fada teacher import float``: FLOAT's released weights as a teacher's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fada.cli.account import account_table
from fada.cli.options import Licence
from fada.cli.say import say


def import_float(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder that holds float.pth, or that file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The new folder; must not exist or be empty.")],
    audio_encoder: Annotated[
        Path | None,
        typer.Option("--audio-encoder", metavar="DIR", help="The wav2vec2 folder (wav2vec2-base-960h), likewise."),
    ] = None,
    licence: Licence = None,
) -> None:
    """Turn FLOAT's float.pth into a diffusers folder: safetensors and a config per network, its codec as `vae`.

    Every key is accounted for: none missing, none left over. A pickle is read only if it holds nothing but tensors.
    The folder loads with fada.generation.pipelines.FloatPipeline.from_pretrained. The weights are for non-commercial
    use (CC BY-NC-ND 4.0); so the folder and what is exported from it say. The classifier of emotions is not read: say
    the emotion (`fada generate --emotion`).

    Examples:

      fada teacher import float checkpoints/float.pth --out weights/float
      fada teacher import float checkpoints --out weights/float --audio-encoder checkpoints/wav2vec2-base-960h
    """
    from fada.assembly.import_float import import_float as run
    from fada.terminal import SafeConsole

    rows = run(path, out, audio_encoder=audio_encoder, licence=licence)
    SafeConsole().print(account_table(rows))
    say(f"imported to {out}: no key missing, none left over")
