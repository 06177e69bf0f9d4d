"""``fada data prepare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def prepare(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Videos, or folders of videos.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the clips.")],
    face_landmarker: Annotated[
        Path,
        typer.Option(
            metavar="PATH", envvar="FADA_FACE_LANDMARKER", help="MediaPipe's face_landmarker .task file (a download)."
        ),
    ],
    face_detector: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="MediaPipe's face detector (.tflite): finds small faces faster."),
    ] = None,
    size: Annotated[int, typer.Option(min=16, help="Side of the square face crop, in pixels.")] = 512,
    test_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of identities that are held out as test clips.")
    ] = 0.0,
    identities: Annotated[
        Path | None,
        typer.Option(
            metavar="JSON",
            help="Who is seen, by path below VIDEO or by file name (fada data cut writes it); default: its own path.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Videos at a time.", show_default="2 processes; on a cluster one per processor"),
    ] = None,
    timeout_minutes: Annotated[
        float, typer.Option(help="Longest time for one video; then it is given up on and reported.")
    ] = 240.0,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ray[=HOST:PORT]",
            help="Work on a Ray cluster: the one at that address, one that runs on this machine, or a new one here. "
            "Videos, models and --out must lie on a disk that all its machines see.",
        ),
    ] = None,
    lists_all: Annotated[
        bool, typer.Option("--table", help="Print a row for every clip and every rejected stretch, not only sums.")
    ] = False,
) -> None:
    """Raw videos to face-cropped clips: 25 frames per second, 16 kHz mono, with landmarks.

    Finished videos are not done again. DIR/report.json has every clip, and every rejected stretch with its reason.
    Needs the extra: pip install 'fada[data]', for a cluster 'fada[data,cluster]'.

    Examples:

      fada data prepare videos/*.mp4 --out data/clips --face-landmarker face_landmarker.task --test-share 0.1
      fada data prepare talk.mov --out data/clips --face-landmarker face_landmarker.task --size 256
      fada data prepare /disk/videos --out /disk/clips --face-landmarker /disk/face_landmarker.task --cluster ray
    """
    from fada.cli.progress import progress_bar
    from fada.data.lists import read_identities
    from fada.data.prepare import prepare_videos
    from fada.terminal import SafeConsole

    with progress_bar("preparing") as progress:
        report = prepare_videos(
            videos,
            out,
            face_landmarker_path=face_landmarker,
            face_detector_path=face_detector,
            size=size,
            test_share=test_share,
            identities=None if identities is None else read_identities(identities),
            workers=workers if workers or cluster else 2,
            timeout_minutes=timeout_minutes,
            cluster=cluster,
            on_progress=lambda told: progress(told.done, told.total),
        )
    SafeConsole().print(*(report.rows() if lists_all else report.tables()), sep="\n")
