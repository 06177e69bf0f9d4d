"""``fada teacher import hallo``: Hallo's released weights as a teacher's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fada.cli.options import Licence
from fada.cli.say import say


def import_hallo(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder that holds net.pth, or that file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The new folder; must not exist or be empty.")],
    vae: Annotated[
        Path | None, typer.Option("--vae", metavar="DIR", help="The VAE's folder (sd-vae-ft-mse), to bring it along.")
    ] = None,
    audio_encoder: Annotated[
        Path | None,
        typer.Option("--audio-encoder", metavar="DIR", help="The wav2vec2 folder (wav2vec2-base-960h), likewise."),
    ] = None,
    betas: Annotated[
        str,
        typer.Option(
            metavar="linear|scaled_linear", help="Noise schedule: `linear` as released, `scaled_linear` as trained."
        ),
    ] = "linear",
    bank_tiling: Annotated[
        str,
        typer.Option(
            metavar="released|fixed",
            help="How the reference's features meet the frames: as the public code runs, or as it means to.",
        ),
    ] = "released",
    licence: Licence = None,
) -> None:
    """Turn Hallo's net.pth into a diffusers folder: safetensors and a config per network.

    Every key is accounted for: none missing, none left over. A pickle is read only if it holds nothing but tensors.
    The folder loads with fada.generation.pipelines.HalloPipeline.from_pretrained.

    Examples:

      fada teacher import hallo pretrained_models/hallo --out weights/hallo
      fada teacher import hallo net.pth --out weights/hallo --vae pretrained_models/sd-vae-ft-mse
      fada teacher import hallo net.pth --out weights/hallo --betas scaled_linear --bank-tiling fixed
    """
    for name, value, choices in (
        ("--betas", betas, ("linear", "scaled_linear")),
        ("--bank-tiling", bank_tiling, ("released", "fixed")),
    ):
        if value not in choices:
            raise typer.BadParameter(f"{name}: got {value!r}; choose from {', '.join(choices)}")

    from fada.assembly.import_hallo import import_hallo as run
    from fada.cli.account import account_table
    from fada.terminal import SafeConsole

    rows = run(path, out, vae=vae, audio_encoder=audio_encoder, licence=licence, betas=betas, bank_tiling=bank_tiling)
    SafeConsole().print(account_table(rows))
    say(f"imported to {out}: no key missing, none left over")
