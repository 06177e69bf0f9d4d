"""``fada teacher import sd15``: Stable Diffusion 1.5 as the start of a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fada.cli.options import Licence
from fada.cli.say import say

if TYPE_CHECKING:
    from rich.table import Table

    from fada.teacher.dual_unet.inflation import Filled


def import_sd15(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="A diffusers folder (pipeline or UNet), or a .safetensors checkpoint."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The new folder; must not exist or be empty.")],
    text_attention: Annotated[
        str,
        typer.Option(
            metavar="silent|kept|fresh",
            help="What audio attention starts from: SD's text attention with its output at zero, the same as it is, "
            "or new weights.",
        ),
    ] = "silent",
    audio_dim: Annotated[int, typer.Option(min=1, help="Width of an audio token: teacher.network.audio_dim.")] = 768,
    max_frames: Annotated[int, typer.Option(min=1, help="teacher.network.max_frames.")] = 32,
    vae: Annotated[bool, typer.Option("--vae/--no-vae", help="Bring the VAE along, where PATH has one.")] = True,
    seed: Annotated[int, typer.Option(help="Of new layers.")] = 0,
    licence: Licence = None,
) -> None:
    """Fill a dual UNet from Stable Diffusion 1.5 and write it as a folder to train from.

    Reference net and denoising net take SD's weights; temporal layers are new and start at zero output. Name the
    folder as teacher.init of a recipe with stages, and its vae/ as vae.path. Weights are read from safetensors; a
    .ckpt is read only if it holds nothing but tensors.

    Examples:

      fada teacher import sd15 weights/stable-diffusion-v1-5 --out weights/sd15-dual
      fada teacher train recipes/sd15/teacher.yaml teacher.init=weights/sd15-dual vae.path=weights/sd15-dual/vae
      fada teacher import sd15 v1-5-pruned-emaonly.safetensors --out weights/sd15-dual --text-attention kept
    """
    from typing import cast

    from fada.teacher.dual_unet import inflation
    from fada.teacher.dual_unet.sd15 import read_sd15
    from fada.terminal import SafeConsole

    nets = inflation.import_sd15(
        read_sd15(path, with_vae=vae),
        out,
        source=path,
        licence=licence,
        text_attention=cast(inflation.TextAttention, text_attention),
        audio_dim=audio_dim,
        max_frames=max_frames,
        seed=seed,
    )
    SafeConsole().print(_table(nets))
    has_vae = (out / "vae").is_dir()
    named = f", vae.path={out / 'vae'}" if has_vae else "; no VAE came with it: name one as vae.path"
    say(f"imported to {out}: start from it with teacher.init={out}{named}")


def _table(nets: list[Filled]) -> Table:
    from rich.table import Table

    table = Table(title="tensors", box=None, pad_edge=False)
    for head in ("net", "taken", "changed", "new", "not used", "new are"):
        table.add_column(head, justify="left" if head in ("net", "new are") else "right")
    for net in nets:
        counts = (str(len(names)) for names in (net.taken, net.changed, net.new, net.unused))
        table.add_row(net.net, *counts, ", ".join(net.new_kinds()) or "none")
    table.add_row("audio projection", "0", "0", "all", "0", "made by the training run, for its audio encoder")
    return table
