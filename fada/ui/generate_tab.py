"""*Generate* and *Compare*: uploads, models, and the videos that are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from fada.ui.answers import explained, growing, in_thread, read_body, rooms_of, save_upload
from fada.ui.listing import listing_of
from fada.ui.making import Job, Take
from fada.ui.uploads import take_portrait, take_speech
from fada.ui.videos import asked_of, models_in

MP4 = "video/mp4"


class NoSuchVideo(ValueError):
    """A job or take that this page has not."""


@explained
async def models(request: Request) -> Response:
    """What can be generated with."""
    rooms = rooms_of(request)
    return JSONResponse(await in_thread(lambda: models_in(listing_of(rooms.allowed), rooms.allowed)))


@explained
async def portrait(request: Request) -> Response:
    """Take a picture in."""
    rooms = rooms_of(request)
    visit = rooms.visits.get(request.path_params["visit"])
    upload = visit.new_file("portrait")
    await save_upload(request, upload, rooms.limits.portrait, "portrait")
    taken = await in_thread(take_portrait, upload, upload.name)
    visit.portrait = taken.file
    return JSONResponse(
        {"width": taken.width, "height": taken.height, "shown": f"visits/{visit.name}/pictures/{taken.shown.name}"}
    )


@explained
async def picture(request: Request) -> Response:
    """The square of a portrait that was taken in."""
    visit = rooms_of(request).visits.get(request.path_params["visit"])
    shown = visit.folder / request.path_params["name"]
    if not (shown.name.startswith("portrait-") and shown.name.endswith("-shown.png") and shown.is_file()):
        raise NoSuchVideo("there is no such picture")
    return FileResponse(shown, media_type="image/png")


@explained
async def speech(request: Request) -> Response:
    """Take a sound in."""
    rooms = rooms_of(request)
    visit = rooms.visits.get(request.path_params["visit"])
    upload = visit.new_file("speech")
    await save_upload(request, upload, rooms.limits.speech, "sound")
    seconds = await in_thread(take_speech, upload, rooms.limits)
    visit.speech = upload
    return JSONResponse({"seconds": seconds})


@explained
async def ask(request: Request) -> Response:
    """Put one video, or two to compare, into the queue."""
    rooms = rooms_of(request)
    visit = rooms.visits.get(request.path_params["visit"])
    takes = (await read_body(request)).get("takes")
    if not isinstance(takes, list) or not 1 <= len(takes) <= 2:
        raise ValueError("takes: one, or two to compare")
    if visit.portrait is None or visit.speech is None:
        missing = " and ".join(
            name for name, file in (("a portrait", visit.portrait), ("a sound", visit.speech)) if file is None
        )
        raise ValueError(f"choose {missing} first")
    asked = [asked_of(each) for each in takes]
    job = Job(visit.name, visit.portrait, visit.speech, [Take(each, visit.new_file("take")) for each in asked])
    rooms.maker.add(job)
    return JSONResponse(_told(request, job))


@explained
async def job(request: Request) -> Response:
    """How far a job is."""
    return JSONResponse(_told(request, _job(request)))


@explained
async def cancel(request: Request) -> Response:
    """Stop a job."""
    found = _job(request)
    rooms_of(request).maker.cancel(found)
    return JSONResponse(_told(request, found))


@explained
async def live(request: Request) -> Response:
    """A video while it is made."""
    take = _take(request)
    return growing(take.live, lambda: take.has_ended, MP4)


@explained
async def video(request: Request) -> Response:
    """A finished video; with `?download` as a file to keep."""
    take = _take(request)
    if not take.video.is_file():
        raise NoSuchVideo("the video is not finished")
    name = "talking.mp4" if "download" in request.query_params else None
    return FileResponse(take.video, media_type=MP4, filename=name)


def _job(request: Request) -> Job:
    rooms = rooms_of(request)
    visit = rooms.visits.get(request.path_params["visit"])
    found = rooms.maker.get(visit.name, request.path_params["job"])
    if found is None:
        raise NoSuchVideo("there is no such video; it may be too long ago")
    return found


def _take(request: Request) -> Take:
    takes, number = _job(request).takes, request.path_params["take"]
    if number >= len(takes):
        raise NoSuchVideo("there is no such take")
    return takes[number]


def _told(request: Request, found: Job) -> dict[str, Any]:
    before = rooms_of(request).maker.place(found)
    top = Path("visits", found.visit, "jobs", found.name).as_posix()
    takes = [
        {**take.to_json(), "live": f"{top}/{number}/live.mp4", "video": f"{top}/{number}/video.mp4"}
        for number, take in enumerate(found.takes)
    ]
    return {"job": found.name, "before": before, "hasEnded": found.has_ended, "takes": takes}


ROUTES = [
    Route("/models", models),
    Route("/visits/{visit}/portrait", portrait, methods=["PUT"]),
    Route("/visits/{visit}/pictures/{name}", picture),
    Route("/visits/{visit}/speech", speech, methods=["PUT"]),
    Route("/visits/{visit}/jobs", ask, methods=["POST"]),
    Route("/visits/{visit}/jobs/{job}", job),
    Route("/visits/{visit}/jobs/{job}/cancel", cancel, methods=["POST"]),
    Route("/visits/{visit}/jobs/{job}/{take:int}/live.mp4", live),
    Route("/visits/{visit}/jobs/{job}/{take:int}/video.mp4", video),
]
