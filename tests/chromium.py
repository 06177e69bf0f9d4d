"""A headless Chromium that opens pages, runs code in them, clicks, presses keys, and notes complaints.

Speaks the DevTools protocol over two pipes (``--remote-debugging-pipe``): JSON, each message ended by a zero byte.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--remote-debugging-pipe",
)
# The browser reads commands from descriptor 3 and answers on 4, whatever is open here.
LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
KEYS = {
    " ": ("Space", 32),
    "Tab": ("Tab", 9),
    "Enter": ("Enter", 13),
    "ArrowLeft": ("ArrowLeft", 37),
    "ArrowRight": ("ArrowRight", 39),
    "ArrowDown": ("ArrowDown", 40),
    "Home": ("Home", 36),
    "End": ("End", 35),
}
PATIENCE = 60.0


class Chromium:
    """One browser with one page; ``complaints`` are errors and warnings of the console, and exceptions."""

    def __init__(self, profile: Path, *options: str) -> None:
        assert PROGRAM is not None
        commands, self._write = _pipe()
        self._read, answers = _pipe()
        line = [sys.executable, "-c", LAUNCH, str(commands), str(answers), PROGRAM, *OPTIONS]
        self._process = subprocess.Popen(
            [*line, *options, f"--user-data-dir={profile}"], pass_fds=(commands, answers), stderr=subprocess.DEVNULL
        )
        os.close(commands)
        os.close(answers)
        self._waiting, self._number, self._session = b"", 0, ""
        self._loaded = False
        self.complaints: list[str] = []
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._send(f"{domain}.enable")

    def close(self) -> None:
        """Ends the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def open(self, page: Path | str, width: int, height: int = 900) -> None:
        """Loads a file or an address in a window of that size (a phone below 600 pixels), and forgets complaints."""
        self._send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.complaints.clear()
        self._loaded = False
        self._send("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        while not self._loaded:
            self._take()

    def run(self, code: str) -> Any:
        """The JSON-able value of an expression in the page; promises are awaited."""
        answer = self._send("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, code: str) -> None:
        """Waits until an expression is true in the page."""
        end = time.monotonic() + PATIENCE
        while not self.run(f"Boolean({code})"):
            assert time.monotonic() < end, f"the page never came to: {code}"
            time.sleep(0.02)

    def press(self, key: str, shift: bool = False) -> None:
        """A person's key, down and up; counts as the gesture without which a page may not play sound."""
        code, number = KEYS[key]
        event = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": 8 if shift else 0}
        text = {" ": " ", "Enter": "\r"}.get(key)
        self._send("Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text else {}))
        self._send("Input.dispatchKeyEvent", type="keyUp", **event)

    def type(self, text: str) -> None:
        """A person's typing, into what has the focus."""
        self._send("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """A person's click in the middle of an element, which must be what lies there."""
        place = self.run(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)});"
            "found.scrollIntoView({block: 'center'}); const box = found.getBoundingClientRect();"
            "const at = [box.x + box.width / 2, box.y + box.height / 2];"
            "const hit = document.elementFromPoint(...at);"
            "return found.contains(hit) || hit?.contains(found) ? at : String(hit?.outerHTML).slice(0, 200); })()"
        )
        assert isinstance(place, list), f"{selector} is covered by {place}"
        event = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
        self._send("Input.dispatchMouseEvent", type="mousePressed", **event)
        self._send("Input.dispatchMouseEvent", type="mouseReleased", **event)

    def choose_files(self, selector: str, *files: Path) -> None:
        """Files for an input, as if chosen in the browser's dialogue."""
        found = self._send("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
        identity = found["result"]["objectId"]
        self._send("DOM.setFileInputFiles", files=[str(file) for file in files], objectId=identity)

    def picture(self, path: Path) -> None:
        """Writes a PNG of the whole page."""
        answer = self._send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._take()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])

    def _take(self) -> dict[str, Any]:
        """The next message; events are noted on the way."""
        while b"\0" not in self._waiting:
            assert select.select([self._read], [], [], PATIENCE)[0], "the browser fell silent"
            piece = os.read(self._read, 1 << 20)
            assert piece, "the browser ended"
            self._waiting += piece
        text, _, self._waiting = self._waiting.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, values: dict[str, Any]) -> None:
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(values["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(values["args"]))
        elif event == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.complaints.append(values["entry"]["text"])


def _pipe() -> tuple[int, int]:
    """A pipe whose ends have numbers above those that the browser wants for itself."""
    low = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low]
    for end in low:
        os.close(end)
    return high[0], high[1]
