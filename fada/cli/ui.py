"""``fada ui``: the studio, a page to generate, compare, watch runs, and look at data and reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fada.cli.options import ModelDevice, ModelDtype
from fada.cli.say import say


def ui(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FOLDER...", help="What may be shown: folders with runs, models, clips and reports. Default: runs."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on; other than this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 7860,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="FADA_UI_TOKEN",
            help="Opens the page, 16 letters or more; better in the environment than on the command line. Default: "
            "none on 127.0.0.1, elsewhere a new one, which is printed.",
        ),
    ] = None,
    device: ModelDevice = None,
    dtype: ModelDtype = None,
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="Processor threads.")] = None,
    most_seconds: Annotated[float, typer.Option(min=1, max=21600, help="Longest sound that is taken.")] = 600.0,
    most_megabytes: Annotated[int, typer.Option(min=1, max=4096, help="Largest upload.")] = 256,
    face_landmarker: Annotated[
        Path | None,
        typer.Option(metavar="PATH", envvar="FADA_FACE_LANDMARKER", help="As of fada generate."),
    ] = None,
    face_embedder: Annotated[
        Path | None,
        typer.Option(metavar="PATH", envvar="FADA_FACE_EMBEDDER", help="As of fada generate."),
    ] = None,
) -> None:
    """Open the studio: a page to generate, compare, watch runs, and look at data and reports.

    It shows what lies below the named folders and nothing else, keeps nothing when a page is closed, and asks nothing
    of a network. Ctrl-C ends it; runs that it started go on.

    Examples:

      fada ui
      fada ui runs data/clips models --port 8000
      fada ui runs --host 0.0.0.0
    """
    check_extra()
    from fada.ui.guard import SHORTEST_TOKEN, is_loopback, new_token

    if token is not None and len(token) < SHORTEST_TOKEN:
        raise typer.BadParameter(f"--token: has {len(token)} letters, {SHORTEST_TOKEN} are wanted at least")
    if token is None and not is_loopback(host):
        token = new_token()
    from fada.generation.devices import pick_device, pick_dtype, use_threads
    from fada.generation.face_conditions import FaceModels
    from fada.ui.server import application, serve
    from fada.ui.uploads import Limits

    use_threads(threads)
    pick_dtype(dtype, pick_device(device))
    largest = most_megabytes * 2**20
    usual = Limits()
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
    app = application(
        folders or [Path("runs")],
        port=port,
        token=token,
        limits=Limits(min(usual.portrait, largest), largest, most_seconds),
        device=device,
        dtype=dtype,
        faces=FaceModels(face_landmarker, face_embedder),
        on_start=lambda: say(f"studio: {address}"),
    )
    serve(app, host, port)


def check_extra() -> None:
    """Raises typer.BadParameter where the extra is not installed."""
    from importlib.util import find_spec

    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise typer.BadParameter(f"{' and '.join(missing)} not installed; run: pip install 'fada[ui]'")
