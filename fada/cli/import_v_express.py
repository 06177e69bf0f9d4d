"""``fada teacher import v-express``: V-Express's released weights as a teacher's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fada.cli.account import account_table
from fada.cli.options import Licence
from fada.cli.say import say


def import_v_express(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The folder that holds denoising_unet.bin and the four beside it.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The new folder; must not exist or be empty.")],
    vae: Annotated[
        Path | None, typer.Option("--vae", metavar="DIR", help="The VAE's folder (sd-vae-ft-mse), to bring it along.")
    ] = None,
    audio_encoder: Annotated[
        Path | None,
        typer.Option("--audio-encoder", metavar="DIR", help="The wav2vec2 folder (wav2vec2-base-960h), likewise."),
    ] = None,
    reference_weight: Annotated[
        float, typer.Option(min=0.0, help="Of the reference's attention: 0.95 as released, 1 as trained.")
    ] = 0.95,
    audio_weight: Annotated[
        float, typer.Option(min=0.0, help="Of the audio's attention: 3 as released, 1 as trained.")
    ] = 3.0,
    licence: Licence = None,
) -> None:
    """Turn V-Express's five files into a diffusers folder: safetensors and a config per network.

    They are denoising_unet, motion_module, reference_net, audio_projection and v_kps_guider, as .bin or .safetensors.
    Every key is accounted for: none missing, none left over. A pickle is read only if it holds nothing but tensors.
    The folder loads with fada.generation.pipelines.VExpressPipeline.from_pretrained. The weights are for
    non-commercial research.

    Examples:

      fada teacher import v-express model_ckpts/v-express --out weights/v-express
      fada teacher import v-express model_ckpts/v-express --out weights/v-express --vae model_ckpts/sd-vae-ft-mse
      fada teacher import v-express model_ckpts/v-express --out weights/v-express --reference-weight 1 --audio-weight 1
    """
    from fada.assembly.import_v_express import import_v_express as run
    from fada.teacher.v_express.attention import BranchWeights
    from fada.terminal import SafeConsole

    weights = BranchWeights(reference_weight, audio_weight)
    rows = run(path, out, vae=vae, audio_encoder=audio_encoder, licence=licence, weights=weights)
    SafeConsole().print(account_table(rows))
    say(f"imported to {out}: no key missing, none left over")
