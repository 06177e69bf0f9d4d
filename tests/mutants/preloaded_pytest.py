"""A process that has imported the large packages once, and runs pytest in copies of itself (fork).

Importing torch and diffusers takes longer than most tests. Requests are lines of JSON on stdin, answers lines on
stdout: `{"arguments": [...], "limit": seconds, "preload": [modules]}` → `{"code", "said", "seconds", "imported"}`; a
code of None: the limit was reached. The first answer is `{"place"}`, of the package that the argument names. What is
under test is never preloaded.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import IO, Any, NoReturn

import pytest

PRELOADED = ("torch", "numpy", "scipy", "diffusers", "transformers", "tokenizers", "huggingface_hub", "safetensors",
             "pydantic", "pydantic_core", "yaml", "typer", "rich", "peft", "accelerate")  # fmt: skip
"""Packages whose modules may be imported before a fork: they start no threads and hold no open devices by that."""


def main() -> None:
    """Say where the package is imported from, then answer requests until stdin ends."""
    # Whatever packages print goes to stderr: stdout is for answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    spec = find_spec(sys.argv[1])
    print(json.dumps({"place": spec and spec.origin}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        _preload([name for name in request["preload"] if name not in sys.modules])
        print(json.dumps(_run(request["arguments"], request["limit"])), file=answers, flush=True)


def _preload(names: list[str]) -> None:
    if not names:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            with suppress(Exception):
                import_module(name)
    gc.collect()
    # Children need not look through what they share, which would copy it.
    gc.freeze()


def _run(arguments: list[str], limit: float) -> dict[str, Any]:
    begun = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as said, tempfile.TemporaryFile("w+") as imported:
        child = os.fork()
        if child == 0:
            _be_pytest(arguments, said, imported)
        try:
            code = _wait(child, begun + limit)
        finally:
            # Its own children end with it, and so does it where the limit was reached.
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        seconds = time.monotonic() - begun
        said.seek(0)
        imported.seek(0)
        return {"code": code, "said": said.read(), "seconds": seconds, "imported": imported.read().split()}


def _wait(child: int, end: float) -> int | None:
    """The child's exit code, negative for a signal; None when the time is over."""
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _be_pytest(arguments: list[str], said: IO[str], imported: IO[str]) -> NoReturn:
    os.setsid()
    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    code = 3
    try:
        code = int(pytest.main(arguments))
        names = [name for name in list(sys.modules) if name.partition(".")[0] in PRELOADED]
        imported.write("\n".join(names))
        imported.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
