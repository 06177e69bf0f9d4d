"""*Report*: the pages that `fada bench` wrote, in a frame of their own."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from fada.ui.allowed_folders import NotAllowed
from fada.ui.answers import explained, in_thread, rooms_of
from fada.ui.guard import REPORT_POLICY
from fada.ui.listing import REPORT, listing_of


@explained
async def reports(request: Request) -> Response:
    """All reports."""
    allowed = rooms_of(request).allowed
    found = (await in_thread(listing_of, allowed)).reports
    return JSONResponse([allowed.named(each) for each in found])


@explained
async def report(request: Request) -> Response:
    """A report's page: one file with everything in it."""
    file = rooms_of(request).allowed.find(f"{request.query_params.get('of')}/{REPORT}")
    if not file.is_file():
        raise NotAllowed("there is no report here")
    return FileResponse(file, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})


ROUTES = [Route("/reports", reports), Route("/reports/page", report)]
