"""*Data*: the page of scored clips (fada/data/inspection), and the clips that it plays."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from fada.data.inspection import write_scored_page
from fada.data.inspection.scored import MOST, THRESHOLDS
from fada.data.scores.table import TABLE_FILE
from fada.ui.allowed_folders import NotAllowed
from fada.ui.answers import explained, in_thread, read_body, rooms_of
from fada.ui.guard import CLIPS_POLICY
from fada.ui.listing import listing_of

MOST_PAGES = 3
"""Pages of one visit that stay; each holds its pictures."""


@explained
async def folders(request: Request) -> Response:
    """Folders with a table of scores."""
    allowed = rooms_of(request).allowed
    found = (await in_thread(listing_of, allowed)).clips
    return JSONResponse([allowed.named(each) for each in found])


@explained
async def page(request: Request) -> Response:
    """Make the page of a folder, for this visit."""
    rooms = rooms_of(request)
    visit = rooms.visits.get(request.path_params["visit"])
    place = (await read_body(request)).get("of")
    folder = rooms.allowed.find(place)
    if not (folder / TABLE_FILE).is_file():
        raise NotAllowed(f"{folder.name}: has no table of scores; fada data filter makes one")
    file = visit.new_file("clips").with_suffix(".html")
    videos = f"/clips/{quote(rooms.allowed.place(folder))}/"
    shown, clips = await in_thread(write_scored_page, folder, file, THRESHOLDS, MOST, None, videos)
    visit.pages.append(file)
    for old in visit.pages[:-MOST_PAGES]:
        old.unlink(missing_ok=True)
    del visit.pages[:-MOST_PAGES]
    return JSONResponse({"page": f"visits/{visit.name}/clips/{file.name}", "shown": shown, "clips": clips})


@explained
async def made_page(request: Request) -> Response:
    """A page that was made."""
    visit = rooms_of(request).visits.get(request.path_params["visit"])
    file = next((each for each in visit.pages if each.name == request.path_params["name"]), None)
    if file is None:
        raise NotAllowed("there is no such page; open the folder again")
    return FileResponse(file, media_type="text/html", headers={"content-security-policy": CLIPS_POLICY})


@explained
async def clip(request: Request) -> Response:
    """A clip's video."""
    file: Path = rooms_of(request).allowed.find(request.path_params["place"])
    if file.suffix != ".mp4" or not file.is_file():
        raise NotAllowed("no clip's video")
    return FileResponse(file, media_type="video/mp4")


ROUTES = [
    Route("/clips", folders),
    Route("/visits/{visit}/clips", page, methods=["POST"]),
    Route("/visits/{visit}/clips/{name}", made_page),
    Route("/clips/{place:path}", clip),
]
