"""*Runs*: what trains, how it goes, stopping and going on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from fada.export.run_models import models_of
from fada.ui.allowed_folders import NotAllowed
from fada.ui.answers import explained, in_thread, read_body, rooms_of
from fada.ui.listing import listing_of
from fada.ui.run_facts import curves_of, histograms_of, log_of, parts_of, preview_file, previews_of, state_of


@explained
async def runs(request: Request) -> Response:
    """All runs, with their states."""

    def found() -> list[dict[str, Any]]:
        return [_named(request, run) for run in listing_of(rooms_of(request).allowed).runs]

    return JSONResponse(await in_thread(found))


@explained
async def run(request: Request) -> Response:
    """One run: state, parts, and what it said where it was started here."""
    folder = _run(request)
    return JSONResponse(await in_thread(_told, request, folder))


@explained
async def log(request: Request) -> Response:
    """Curves, and steps of previews, of a part."""
    folder, part = _run(request), _part(request)

    def found() -> dict[str, Any]:
        return {"curves": curves_of(log_of(folder, part)), "previews": previews_of(folder, part)}

    return JSONResponse(await in_thread(found))


@explained
async def histograms(request: Request) -> Response:
    """Histograms of a part's samples."""
    return JSONResponse(await in_thread(histograms_of, _run(request), _part(request)))


@explained
async def preview(request: Request) -> Response:
    """A sheet of preview frames."""
    step = request.query_params.get("step", "")
    if not (step.isascii() and step.isdecimal() and len(step) <= 12):
        raise ValueError("step: a whole number is wanted")
    file = preview_file(_run(request), _part(request), int(step))
    if not file.is_file():
        raise NotAllowed("there is no preview of this step")
    return FileResponse(file, media_type="image/png")


@explained
async def stop(request: Request) -> Response:
    """Ask a run for a clean stop."""
    folder = rooms_of(request).allowed.find((await read_body(request)).get("of"))
    await in_thread(rooms_of(request).runner.stop, folder)
    return JSONResponse(await in_thread(_told, request, folder))


@explained
async def resume(request: Request) -> Response:
    """Start a run again."""
    folder = rooms_of(request).allowed.find((await read_body(request)).get("of"))
    await in_thread(rooms_of(request).runner.resume, folder)
    return JSONResponse(await in_thread(_told, request, folder))


def _run(request: Request) -> Path:
    return rooms_of(request).allowed.find(request.query_params.get("of"))


def _part(request: Request) -> str:
    return request.query_params.get("part", "")


def _named(request: Request, folder: Path) -> dict[str, Any]:
    """Name and state of a run."""
    rooms = rooms_of(request)
    state = "stopping" if rooms.runner.is_stopping(folder) else state_of(folder)
    return {
        **rooms.allowed.named(folder),
        # One that has just been started does not hold its folder yet.
        "state": "running" if state != "stopping" and rooms.runner.is_running(folder) else state,
    }


def _told(request: Request, folder: Path) -> dict[str, Any]:
    """All that is known of a run."""
    runner = rooms_of(request).runner
    return {
        **_named(request, folder),
        "parts": [asdict(part) for part in parts_of(folder)],
        "models": list(models_of(folder)),
        "canStop": runner.can_stop(folder),
        "canResume": not runner.is_running(folder),
        "said": runner.said(folder),
    }


ROUTES = [
    Route("/runs", runs),
    Route("/runs/one", run),
    Route("/runs/log", log),
    Route("/runs/histograms", histograms),
    Route("/runs/preview.png", preview),
    Route("/runs/stop", stop, methods=["POST"]),
    Route("/runs/resume", resume, methods=["POST"]),
]
