"""What stands before every request: who may ask, from where, and what the browser may do with the answer."""

from __future__ import annotations

import secrets
from http.cookies import SimpleCookie
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SHORTEST_TOKEN = 16
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing is asked of another host, and no script runs that is not a file of the studio."""
_ALONE = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
REPORT_POLICY = f"sandbox allow-scripts; {_ALONE}; media-src data: blob:"
"""A report may be another's: its scripts run, in an origin of their own, and reach nothing of the studio's."""
CLIPS_POLICY = f"{_ALONE}; media-src 'self'"
"""Our own page of scored clips, whose texts are escaped; it plays the clips."""
_HEADERS = {
    "content-security-policy": PAGE_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "cache-control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Whether an address that is listened on can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Lets a request through to the application, or answers itself.

    Without a token the studio listens to this machine alone: there a name of another host in a request means that a
    page of that host has been led here (DNS rebinding). Whatever changes something must come from our own page.

    Args:
        token: that opens the page; None asks for none.
        port: that is listened on; cookies know no ports, so that it stands in the name of ours.
    """

    def __init__(self, app: ASGIApp, token: str | None, port: int) -> None:
        self._app, self._token = app, token
        self._cookie = f"fada_studio_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message["headers"], *(each for each in own if each[0] not in given)]
            await send(message)

        answer = self._answer(scope)
        await (self._app if answer is None else answer)(scope, receive, send_guarded)

    def _answer(self, scope: Scope) -> Response | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if self._token is None and not is_loopback(_name_in(host)):
            return _refusal(f"this studio is for this machine alone; {host[:80]!r} is another name", 403)
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and (origin is None or urlsplit(origin).netloc != host):
            return _refusal("this comes from another page than the studio's", 403)
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and scope["path"] != "/":
            return _refusal("this comes from another page than the studio's", 403)
        return None if self._token is None else self._asked_for_token(scope, headers, self._token)

    def _asked_for_token(self, scope: Scope, headers: dict[str, str], token: str) -> Response | None:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and given and _is_same(given, token):
            answer = RedirectResponse("/", 303)
            # Lax, as links that people open from elsewhere must work; what changes something is known by its origin.
            answer.set_cookie(self._cookie, token, httponly=True, samesite="lax", path="/")
            return answer
        cookies: Any = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except Exception:  # What is no cookie is none.
            cookies = {}
        if self._cookie in cookies and _is_same(cookies[self._cookie].value, token):
            return None
        return _refusal("open the address that fada ui printed, with its token", 401)


def new_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(32)


def _is_same(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode(), token.encode())


def _name_in(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _refusal(why: str, status: int) -> Response:
    return PlainTextResponse(f"{why}\n", status)
