"""The studio's application, and the server that listens for its page."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fada.generation.face_conditions import FaceModels
from fada.ui import data_tab, generate_tab, report_tab, runs_tab
from fada.ui.allowed_folders import AllowedFolders
from fada.ui.answers import Rooms, explained, rooms_of
from fada.ui.guard import Guard
from fada.ui.making import Maker
from fada.ui.running import Runner
from fada.ui.uploads import Limits
from fada.ui.videos import Studio
from fada.ui.visits import Visit, Visits

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
SWEEP_SECONDS = 60.0
"""Between two looks for visits that were left without a word."""
PATIENCE = 3
"""Seconds that open answers have when the studio ends."""


@explained
async def page(request: Request) -> Response:
    """The page, or a file that it is made of."""
    name = request.path_params.get("name", "studio.html")
    # Names of the package's own files; others are none.
    known = {each.name: each for each in files("fada.ui").joinpath("page").iterdir()}
    if name not in known or Path(name).suffix not in KINDS:
        return Response(status_code=404)
    return Response(known[name].read_bytes(), media_type=KINDS[Path(name).suffix])


@explained
async def open_visit(request: Request) -> Response:
    """A new visit, and what the page must know."""
    rooms = rooms_of(request)
    limits = rooms.limits
    return JSONResponse(
        {"visit": rooms.visits.open().name, "portraitBytes": limits.portrait, "speechBytes": limits.speech}
    )


@explained
async def hear(request: Request) -> Response:
    """The page is still open."""
    rooms_of(request).visits.get(request.path_params["visit"])
    return Response(status_code=204)


@explained
async def leave(request: Request) -> Response:
    """The page was closed."""
    await run_in_threadpool(rooms_of(request).visits.end, request.path_params["visit"])
    return Response(status_code=204)


ROUTES = [
    Route("/", page),
    Route("/page/{name}", page),
    Route("/visits", open_visit, methods=["POST"]),
    Route("/visits/{visit}/hear", hear, methods=["POST"]),
    Route("/visits/{visit}/leave", leave, methods=["POST"]),
]


def application(
    folders: Sequence[Path],
    *,
    port: int,
    token: str | None = None,
    limits: Limits | None = None,
    device: str | None = None,
    dtype: str | None = None,
    faces: FaceModels | None = None,
    on_start: Callable[[], None] = lambda: None,
) -> Starlette:
    """The studio; its temporary folder is made here and removed when the application ends.

    Args:
        folders: whose files it may show.
        port: that is listened on.
        token: that opens it; None asks for none.
        on_start: called when requests are about to be taken.

    Raises:
        NotAllowed: a folder is not there.
    """
    allowed = AllowedFolders(folders)
    top = Path(tempfile.mkdtemp(prefix="fada-studio-"))
    studio = Studio(allowed, device, dtype, faces or FaceModels())
    maker = Maker(studio.make)

    def end(visit: Visit) -> None:
        maker.leave(visit.name)

    visits = Visits(top, end)

    async def sweep() -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await run_in_threadpool(visits.end_idle)

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(sweep())
        on_start()
        try:
            yield
        finally:
            # Here and not behind the server: it hands a signal on that may end the process.
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            await run_in_threadpool(maker.close)
            visits.end_all()
            shutil.rmtree(top, ignore_errors=True)

    tabs = (generate_tab, runs_tab, data_tab, report_tab)
    routes = [*ROUTES, *(route for tab in tabs for route in tab.ROUTES)]
    app = Starlette(routes=routes, lifespan=life, middleware=[Middleware(Guard, token=token, port=port)])
    app.state.rooms = Rooms(allowed, visits, maker, studio, Runner(top), limits or Limits())
    return app


def serve(app: Starlette, host: str, port: int) -> None:
    """Listen until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=PATIENCE,
    )
    uvicorn.Server(config).run()
