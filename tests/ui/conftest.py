"""A studio that listens, with a run that can be gone on with, scored clips and a report; and a browser."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.chromium import PROGRAM, Chromium

ROOT = Path(__file__).resolve().parents[2]
TINY = ("data.world.clips=2", "data.world.test_clips=1", "data.world.frames=6", "vae.train.steps=3",
        "vae.channels=[8,8]", "teacher.network.channels=[8,16]", "teacher.network.norm_groups=4",
        "teacher.network.layers_per_block=1", "engine.threads=1")  # fmt: skip
"""A run of seconds, but for its last phase."""


@dataclass
class Studio:
    """A studio in a process of its own, and requests to it."""

    process: subprocess.Popen[str]
    port: int
    temporary: Path
    """Where it makes its temporary folder."""
    said: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer; an origin of our own where something is changed."""
        own = {} if method == "GET" else {"Origin": self.address.rstrip("/")}
        is_raw = body is None or isinstance(body, bytes | Iterator)
        data = body if is_raw else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, data, {**own, **(headers or {})})  # type: ignore[arg-type]
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def json(self, method: str, path: str, body: object = None) -> Any:
        """What a request that is granted answers."""
        status, _, data = self.ask(method, path, body)
        assert status == 200, data
        return json.loads(data)

    def end(self, number: int = signal.SIGINT) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def left(self) -> list[Path]:
        """What it has left of its own in the temporary folder; torch makes one of its own there."""
        return list(self.temporary.glob("fada-studio-*"))


@contextmanager
def listening(temporary: Path, *arguments: str) -> Iterator[Studio]:
    """A studio that takes requests, in a process that ends with the block."""
    temporary.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "fada", "ui", *arguments, "--port", str(port), "--threads", "1"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=temporary,
        env={
            **os.environ,
            "TMPDIR": str(temporary),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "PYTHONFAULTHANDLER": "1",
        },
    )
    studio = Studio(process, port, temporary)
    assert process.stdout is not None
    with process.stdout:
        try:
            studio.said.append(process.stdout.readline())
            assert studio.said[0].startswith("studio: http://"), studio.said
            _wait_for(port)
            yield studio
        finally:
            process.kill()
            process.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to show: a run that has begun, whose last phase is endless; scored clips; a report."""
    from fada.data.scores import SCORES, decide, load_thresholds, write_scores
    from fada.media.video import write_video
    from fada.recipe import load_recipe
    from fada.run.folder import working_in

    top = tmp_path_factory.mktemp("shown")
    steps = ("distill.phases.fast.steps=1000000", "engine.checkpoint_every=1000000", "engine.preview_every=20")
    recipe = load_recipe("tiny/smoke", [f"output={top / 'runs' / 'endless'}", *TINY, *steps])
    with working_in(recipe, "beginning"):
        pass
    report = top / "runs" / "full" / "report"
    report.mkdir(parents=True)
    for name in ("index.html", "results.json"):
        shutil.copy(ROOT / "docs" / "results" / "tiny-full" / name, report)
    thresholds = [load_thresholds(name) for name in ("strict", "lenient")]
    rows = []
    for number, key in enumerate(("clean", "soft", "turned")):
        scores = dict.fromkeys(SCORES) | {"blur": 0.2 + 0.2 * number, "yaw": 5.0 + 25 * number}
        facts = {"key": key, "clip": "0" * 16, "identity": f"person {number}", "split": "train", "source": "<b>x</b>"}
        rows.append({**facts, **decide(scores, *thresholds).to_json(), **scores})
        frames = np.full((25, 64, 64, 3), 60 + 60 * number, np.uint8)
        write_video(top / "talks" / f"{key}.mp4", frames, 25.0, np.zeros(16000, np.float32))
    write_scores(top / "talks", rows)
    return top


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A drawn portrait, and 30 frames' time of a drawn voice."""
    from fada.data.world.draw import make_clip
    from fada.media.audio import write_wav
    from fada.media.image import write_png

    clip = make_clip(3, 0, frames=30)
    folder = tmp_path_factory.mktemp("inputs")
    write_png(folder / "face.png", clip.frames[0])
    write_wav(folder / "voice.wav", clip.audio)
    return folder / "face.png", folder / "voice.wav"


@pytest.fixture(scope="session")
def studio(shown: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """One studio for all tests that leave it as it was."""
    pytest.importorskip("starlette")
    with listening(tmp_path_factory.mktemp("studio"), str(shown / "runs"), str(shown / "talks")) as running:
        yield running
        assert running.end() == 130
        assert running.left() == []


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all tests, with a microphone that beeps."""
    if PROGRAM is None:
        pytest.skip("no Chromium here")
    fakes = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    opened = Chromium(tmp_path_factory.mktemp("profile"), *fakes)
    yield opened
    opened.close()
