"""Reading requests within limits, and answering them: what the tabs share."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from fada.files.shareable import shareable_text
from fada.files.strict_json import parse_json
from fada.ui.allowed_folders import AllowedFolders
from fada.ui.making import Maker, TooMany
from fada.ui.running import Runner
from fada.ui.uploads import Limits, UploadRefused
from fada.ui.videos import Studio
from fada.ui.visits import NoVisit, TooManyVisits, Visits

MOST_JSON = 64 * 2**10
"""Bytes of what a page asks."""
LIVE_SECONDS = 0.1
"""Between two looks at a growing file."""


@dataclass(frozen=True)
class Rooms:
    """What the tabs work with."""

    allowed: AllowedFolders
    visits: Visits
    maker: Maker
    studio: Studio
    runner: Runner
    limits: Limits


def rooms_of(request: Request) -> Rooms:
    """Those of the application that a request came to."""
    rooms: Rooms = request.app.state.rooms
    return rooms


Endpoint = Callable[[Request], Awaitable[Response]]


def explained(endpoint: Endpoint) -> Endpoint:
    """An endpoint whose expected errors become an answer with what is wrong, in the words of the error."""

    @functools.wraps(endpoint)
    async def call(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (ValueError, OSError, ImportError) as error:
            return JSONResponse({"error": shareable_text(str(error)) or type(error).__name__}, _status(error))

    return call


def _status(error: Exception) -> int:
    if isinstance(error, TooMany | TooManyVisits):
        return 429
    return 410 if isinstance(error, NoVisit) else 400


async def read_body(request: Request) -> dict[str, Any]:
    """The table that a page sent.

    Raises:
        UploadRefused: it is larger than any page sends.
        JSONFault: it is no JSON.
    """
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MOST_JSON:
            raise UploadRefused(f"a request has at most {MOST_JSON} bytes")
    found = parse_json(bytes(data))
    if not isinstance(found, dict):
        raise ValueError("a table is wanted")
    return found


async def save_upload(request: Request, file: Path, largest: int, what: str) -> None:
    """Write the body of a request to a new file; one that is too large is given up, and nothing of it stays.

    Raises:
        UploadRefused: it has more bytes than are taken, or none.
    """
    said = f"{what}: has more than {largest / 2**20:g} MiB; make it smaller"
    stated = request.headers.get("content-length", "0")
    if stated.isdecimal() and int(stated) > largest:
        raise UploadRefused(said)
    size = 0
    try:
        async with await anyio.open_file(file, "xb") as out:
            async for piece in request.stream():
                size += len(piece)
                if size > largest:
                    raise UploadRefused(said)
                await out.write(piece)
        if not size:
            raise UploadRefused(f"{what}: is empty; choose another file")
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def growing(file: Path, has_ended: Callable[[], bool], kind: str) -> Response:
    """The bytes of a file as they are written, from its beginning until it is said to have ended."""

    async def pieces() -> AsyncIterator[bytes]:
        while not file.is_file():
            if has_ended():
                return
            await anyio.sleep(LIVE_SECONDS)
        async with await anyio.open_file(file, "rb") as opened:
            while True:
                is_last = has_ended()
                if piece := await opened.read(1 << 16):
                    yield piece
                elif is_last:
                    return
                else:
                    await anyio.sleep(LIVE_SECONDS)

    return StreamingResponse(pieces(), media_type=kind)


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function that reads files or decodes gives, while others are answered."""
    return await run_in_threadpool(function, *arguments)
