"""A stand-in for a model hub: the few addresses that huggingface_hub asks for, on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]


@dataclass
class Repository:
    """Branches, and every commit's files by its hash."""

    private: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Files] = field(default_factory=dict)

    def commit(self, branch: str, files: Files) -> str:
        mark = hashlib.sha1(repr((branch, len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits[mark] = files
        self.branches[branch] = mark
        return mark

    def found(self, revision: str) -> tuple[str, Files] | None:
        mark = self.branches.get(revision, revision)
        return (mark, self.commits[mark]) if mark in self.commits else None


@dataclass
class Hub:
    """What the server holds and has seen.

    token: who shows it may write, and read what is private; gated: repositories that nobody gets.
    """

    token: str = "hf_of_the_test"
    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    stores_nothing: bool = False
    stored: Files = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def add(self, name: str, files: Files, branch: str = "main") -> Repository:
        repository = self.repositories.setdefault(name, Repository())
        repository.commit(branch, files)
        return repository


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub at `hub.address` while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._answer("GET")

        def do_HEAD(self) -> None:
            self._answer("HEAD")

        def do_POST(self) -> None:
            self._answer("POST")

        def do_PUT(self) -> None:
            self._answer("PUT")

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _answer(self, method: str) -> None:
            body = self._body()
            path = urlsplit(self.path).path
            hub.asked.append(f"{method} {unquote(path)}")
            knows = self.headers.get("Authorization") == f"Bearer {hub.token}"
            code, headers, content = _answered(hub, method, path, body, knows)
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if method != "HEAD":
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


Answer = tuple[int, dict[str, str], bytes]


def _said(content: Any, code: int = 200, **headers: str) -> Answer:
    return code, {"Content-Type": "application/json", **headers}, json.dumps(content).encode()


def _refused(code: int, kind: str) -> Answer:
    return code, {"X-Error-Code": kind, "X-Error-Message": kind}, b""


def _answered(hub: Hub, method: str, path: str, body: bytes, knows: bool) -> Answer:
    if hub.stores_nothing and method == "PUT":
        return 403, {}, b""
    if method == "PUT" and path.startswith("/store/"):
        hub.stored[path.removeprefix("/store/")] = body
        return 200, {}, b""
    if method == "POST" and not knows:
        return 401, {}, b""
    if path == "/api/validate-yaml":
        return _said({"errors": [], "warnings": []})
    if path == "/api/repos/create":
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in hub.repositories:
            return _said({"url": f"{hub.address}/{name}"}, 409)
        repository = hub.add(name, {".gitattributes": b""})
        repository.private = asked.get("visibility") == "private" or asked.get("private") is True
        return _said({"url": f"{hub.address}/{name}"})
    match = re.match(r"/(?:api/models/)?(?P<name>[^/]+/[^/]+?)(?:\.git)?(?P<rest>/.*)?$", path)
    assert match is not None, path
    repository = hub.repositories.get(match["name"])  # type: ignore[assignment]
    if match["name"] in hub.gated:
        return _refused(403, "GatedRepo")
    if repository is None or (repository.private and not knows):
        return _refused(401 if not knows else 404, "RepoNotFound")
    verb, _, rest = (match["rest"] or "/revision/main").removeprefix("/").partition("/")
    if verb == "branch":
        if unquote(rest) in repository.branches:
            return _said({}, 409)
        repository.commit(unquote(rest), repository.commits[repository.branches["main"]])
        return _said({})
    if verb == "preupload":
        files = json.loads(body)["files"]
        return _said({"files": [{"path": each["path"], "shouldIgnore": False, "oid": None,
                                 "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular"}
                                for each in files]})  # fmt: skip
    if verb == "info":
        objects = [
            {**each, "actions": {"upload": {"href": f"{hub.address}/store/{each['oid']}"}}}
            for each in json.loads(body)["objects"]
        ]
        return _said({"transfer": "basic", "objects": objects})
    if verb == "commit":
        return _committed(hub, repository, match["name"], unquote(rest), body)
    revision, _, file = rest.partition("/")
    found = repository.found(unquote(revision))
    if found is None:
        return _refused(404, "RevisionNotFound")
    mark, held = found
    if verb == "revision":
        return _said({"id": match["name"], "sha": mark, "private": repository.private, "tags": [], "downloads": 0,
                      "siblings": [{"rfilename": each} for each in held]})  # fmt: skip
    if verb == "tree":
        return _said([{"type": "file", "path": each, "size": len(content),
                       "oid": hashlib.sha1(content).hexdigest()} for each, content in held.items()])  # fmt: skip
    assert verb == "resolve", path
    content = held.get(unquote(file))
    if content is None:
        return _refused(404, "EntryNotFound")
    return 200, {"X-Repo-Commit": mark, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}, content


def _committed(hub: Hub, repository: Repository, name: str, branch: str, body: bytes) -> Answer:
    if branch not in repository.branches:
        return _refused(404, "RevisionNotFound")
    files = dict(repository.commits[repository.branches[branch]])
    for line in body.splitlines():
        told = json.loads(line)
        value = told["value"]
        if told["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif told["key"] == "lfsFile":
            files[value["path"]] = hub.stored[value["oid"]]
    mark = repository.commit(branch, files)
    return _said({"commitUrl": f"{hub.address}/{name}/commit/{mark}", "commitOid": mark})
