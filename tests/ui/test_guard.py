"""Who may ask the studio, and what is never let out: requests to one that listens."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ui.conftest import Studio, listening

pytestmark = pytest.mark.ui
TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture(scope="module")
def guarded(shown: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with listening(tmp_path_factory.mktemp("guarded"), str(shown), "--token", TOKEN) as running:
        yield running


def test_without_its_token_nothing_is_answered(guarded: Studio) -> None:
    assert f"?token={TOKEN}" in guarded.said[0]
    for path in ("/", "/page/studio.js", "/models", "/?token=", "/?token=wrong", f"/models?token={TOKEN}"):
        status, headers, body = guarded.ask("GET", path)
        assert (status, body) == (401, b"open the address that fada ui printed, with its token\n"), path
        assert "set-cookie" not in headers


def test_the_token_becomes_a_cookie_that_scripts_cannot_read(guarded: Studio) -> None:
    status, headers, _ = guarded.ask("GET", f"/?token={TOKEN}")
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    mine = {"Cookie": cookie.partition(";")[0]}
    assert guarded.ask("GET", "/", headers=mine)[0] == 200
    assert guarded.ask("GET", "/models", headers=mine)[0] == 200
    wrong = {"Cookie": mine["Cookie"][:-1]}
    assert guarded.ask("GET", "/models", headers=wrong)[0] == 401


def test_elsewhere_a_token_is_made_and_printed(shown: Path, tmp_path: Path) -> None:
    with listening(tmp_path, str(shown), "--host", "0.0.0.0") as open_to_all:
        token = open_to_all.said[0].strip().partition("?token=")[2]
        assert len(token) >= 32
        assert open_to_all.ask("GET", "/")[0] == 401
        assert open_to_all.ask("GET", f"/?token={token}")[0] == 303


def test_a_name_of_another_host_is_refused(studio: Studio) -> None:
    for host in ("evil.example", f"evil.example:{studio.port}", "", "127.0.0.1.evil.example", "[::1"):
        assert studio.ask("GET", "/", headers={"Host": host})[0] == (200 if host == "[::1" else 403), host
    for host in ("localhost", f"127.0.0.1:{studio.port}", f"[::1]:{studio.port}"):
        assert studio.ask("GET", "/", headers={"Host": host})[0] == 200, host


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1", "http://127.0.0.1:1"])
def test_another_page_changes_nothing(studio: Studio, origin: str | None) -> None:
    headers = {"Origin": origin or ""} if origin is not None else {"Origin": ""}
    status, _, body = studio.ask("POST", "/visits", {}, headers)
    assert (status, body) == (403, b"this comes from another page than the studio's\n")


def test_another_page_reads_nothing(studio: Studio) -> None:
    for site in ("cross-site", "same-site"):
        assert studio.ask("GET", "/models", headers={"Sec-Fetch-Site": site})[0] == 403
        assert studio.ask("GET", "/", headers={"Sec-Fetch-Site": site})[0] == 200


def test_every_answer_says_what_the_browser_may_do(studio: Studio, shown: Path) -> None:
    for path in ("/", "/page/studio.css", "/models", "/nothing", "/reports/page?of=0/full/report"):
        _, headers, _ = studio.ask("GET", path)
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "http" not in headers["content-security-policy"]
    assert studio.ask("GET", "/")[1]["content-security-policy"].count("unsafe") == 0
    report = studio.ask("GET", "/reports/page?of=0/full/report")[1]
    assert report["content-security-policy"].startswith("sandbox allow-scripts; ")
    assert "allow-same-origin" not in report["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    ["/page/..%2fserver.py", "/page/%2e%2e/server.py", "/page/studio", "/page/", "/clips/0/../../../../etc/passwd",
     "/clips/1/..%2f..%2fetc%2fpasswd.mp4", "/clips/0/endless/recipe.yaml", "/reports/page?of=0/..",
     "/reports/page?of=9/x", "/runs/one?of=/etc", "/runs/one", "/runs/log?of=0/endless&part=..%2f..",
     "/runs/preview.png?of=0/endless&part=fast&step=-1", "/runs/preview.png?of=0/endless&part=fast&step=7",
     "/visits/x/pictures/portrait-1-shown.png", "/visits/x/jobs/y/0/video.mp4"],
)  # fmt: skip
def test_what_is_not_allowed_is_not_let_out(studio: Studio, path: str) -> None:
    status, _, body = studio.ask("GET", path)
    assert status in (400, 404, 410)
    assert b"root:" not in body
    assert b"import" not in body


def test_clips_and_reports_that_are_links_are_not_let_out(shown: Path, tmp_path: Path, studio: Studio) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret")
    link = shown / "talks" / "link.mp4"
    link.symlink_to(secret)
    try:
        assert studio.ask("GET", "/clips/1/link.mp4")[0] == 400
        assert studio.ask("GET", "/clips/1/clean.mp4")[0] == 200
    finally:
        link.unlink()


def upload(studio: Studio, visit: str, kind: str, data: bytes | Iterator[bytes]) -> tuple[int, Any]:
    status, _, body = studio.ask("PUT", f"/visits/{visit}/{kind}", data)
    return status, json.loads(body)


def test_a_visit_sees_nothing_of_another(studio: Studio, inputs: tuple[Path, Path]) -> None:
    mine, other = (studio.json("POST", "/visits")["visit"] for _ in range(2))
    for kind, file in zip(("portrait", "speech"), inputs, strict=True):
        assert upload(studio, mine, kind, file.read_bytes())[0] == 200
    status, refused = studio.ask("POST", f"/visits/{other}/jobs", {"takes": [{"model": "shipped:drawn"}]})[::2]
    assert (status, json.loads(refused)["error"]) == (400, "choose a portrait and a sound first")
    job = studio.json("POST", f"/visits/{mine}/jobs", {"takes": [{"model": "shipped:drawn", "steps": 1}]})
    assert studio.ask("GET", f"/visits/{other}/jobs/{job['job']}")[0] == 400
    studio.json("POST", f"/visits/{mine}/jobs/{job['job']}/cancel")
    for visit in (mine, other):
        assert studio.ask("POST", f"/visits/{visit}/leave")[0] == 204
    assert studio.ask("GET", f"/visits/{mine}/jobs/{job['job']}")[0] == 410


def test_nothing_of_a_visit_stays_when_it_is_left(studio: Studio, inputs: tuple[Path, Path]) -> None:
    (top,) = studio.left()
    visit = studio.json("POST", "/visits")["visit"]
    upload(studio, visit, "speech", inputs[1].read_bytes())
    assert [each.name[:7] for each in (top / visit).iterdir()] == ["speech-"]
    assert top.stat().st_mode & 0o777 == 0o700
    studio.ask("POST", f"/visits/{visit}/leave")
    assert not (top / visit).exists()


def test_uploads_of_another_kind_are_refused_in_words(studio: Studio, inputs: tuple[Path, Path]) -> None:
    visit = studio.json("POST", "/visits")["visit"]
    status, said = upload(studio, visit, "portrait", inputs[1].read_bytes())
    assert status == 400
    assert said["error"].startswith("portrait: is not a picture")
    status, said = upload(studio, visit, "speech", inputs[0].read_bytes())
    assert status == 400
    assert said["error"].startswith("sound: ")
    assert upload(studio, visit, "speech", b"")[1]["error"] == "sound: is empty; choose another file"
    studio.ask("POST", f"/visits/{visit}/leave")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "model: name one"),
        ({"model": "shipped:drawn", "steps": 0}, "steps: must be a whole number from 1 to 1000, got 0"),
        ({"model": "shipped:drawn", "steps": True}, "steps: must be a whole number from 1 to 1000, got True"),
        ({"model": "shipped:drawn", "scales": {"audio": 101}}, "audio scale: must be a number from 0 to 100, got 101"),
        ({"model": "shipped:drawn", "seed": 1.5}, "seed: must be a whole number"),
        ({"model": "shipped:drawn", "emotion": [1]}, "emotion: numbers by name are wanted"),
        ({"model": "shipped:drawn", "seconds": -1}, "seconds: must be a number from 0 to 21600, got -1"),
    ],
)
def test_numbers_out_of_their_ranges_are_refused(
    studio: Studio, inputs: tuple[Path, Path], asked: dict[str, Any], said: str
) -> None:
    visit = studio.json("POST", "/visits")["visit"]
    for kind, file in zip(("portrait", "speech"), inputs, strict=True):
        upload(studio, visit, kind, file.read_bytes())
    status, _, body = studio.ask("POST", f"/visits/{visit}/jobs", {"takes": [asked]})
    assert status == 400
    assert json.loads(body)["error"].startswith(said)
    studio.ask("POST", f"/visits/{visit}/leave")


@pytest.mark.parametrize("body", [b"[]", b"{", b"x" * 100_000, b'{"takes": 1, "takes": 2}', b"\xff"])
def test_what_is_no_table_is_refused(studio: Studio, body: bytes) -> None:
    visit = studio.json("POST", "/visits")["visit"]
    assert studio.ask("POST", f"/visits/{visit}/jobs", body)[0] == 400
    studio.ask("POST", f"/visits/{visit}/leave")


def test_what_is_too_large_or_too_long_is_given_up(shown: Path, tmp_path: Path) -> None:
    from fada.media.audio import encode_wav

    with listening(tmp_path, str(shown), "--most-megabytes", "1", "--most-seconds", "2") as small:
        visit = small.json("POST", "/visits")["visit"]
        for kind, what in (("portrait", "portrait"), ("speech", "sound")):
            said = f"{what}: has more than 1 MiB; make it smaller"
            assert upload(small, visit, kind, bytes(2**20 + 1)) == (400, {"error": said})
            # Without its length beforehand.
            pieces = iter([bytes(2**19)] * 3)
            assert upload(small, visit, kind, pieces) == (400, {"error": said})
        _, answer = upload(small, visit, "speech", encode_wav(np.zeros(40000, np.float32)))
        assert answer["error"].startswith("sound: is longer than 2 s")
        (top,) = small.left()
        assert list((top / visit).iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_temporary_folder_goes_with_the_studio(
    shown: Path, tmp_path: Path, inputs: tuple[Path, Path], number: int
) -> None:
    with listening(tmp_path, str(shown)) as ending:
        visit = ending.json("POST", "/visits")["visit"]
        for kind, file in zip(("portrait", "speech"), inputs, strict=True):
            upload(ending, visit, kind, file.read_bytes())
        # In the middle of a video.
        ending.json("POST", f"/visits/{visit}/jobs", {"takes": [{"model": "shipped:drawn"}]})
        assert len(ending.left()) == 1
        ending.end(number)
        assert ending.left() == []
