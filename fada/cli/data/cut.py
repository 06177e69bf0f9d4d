"""``fada data cut``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def cut(
    clip_list: Annotated[
        Path, typer.Argument(metavar="LIST", help="HDTF's folder HDTF_dataset, or CelebV-HQ's celebvhq_info.json.")
    ],
    videos: Annotated[
        Path, typer.Option("--videos", metavar="DIR", help="Folder of your own copies of the videos, searched whole.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the clips, one mp4 each.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """The clips of a public list from local copies of its videos; nothing is downloaded.

    Finished clips are kept; missing videos, clips that cannot be cut and damaged entries are named at the end.

    Examples:

      fada data cut HDTF/HDTF_dataset --videos raw/hdtf --out cuts/hdtf --workers 8
      fada data cut celebvhq_info.json --videos raw/celebvhq --out cuts/celebvhq
      fada data prepare cuts/hdtf --identities cuts/hdtf/identities.json --out data/hdtf ...
    """
    from fada.cli.progress import progress_bar
    from fada.data.lists import cut_list, read_list
    from fada.terminal import SafeConsole

    listed = read_list(clip_list)
    with progress_bar("cutting") as progress:
        report = cut_list(listed, videos, out, workers, progress)
    SafeConsole().print(*report.tables(), sep="\n")
