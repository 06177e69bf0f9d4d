"""Errors as a user should see them: what is wrong in red, without a traceback.

Expected are errors that fada itself raises about its input (any ValueError from our own code), files that cannot be
opened, and missing extras. Everything else is our fault and keeps its traceback.
"""

from __future__ import annotations

import os
import sys

STOPPED = 130
"""Exit code of a run that was asked to stop, as shells give it to Ctrl-C."""
LONGEST = 4000
"""Letters of an error that are shown: of a name from outside that fills the screen the middle is left out."""
EXTRA_OF = {
    **dict.fromkeys(("mediapipe", "pyarrow", "scenedetect", "silero_vad", "skimage"), "data"),
    **dict.fromkeys(("ray", "s3fs", "fsspec"), "cluster"),
}
"""Module → the extra that brings it."""


def report(error: Exception) -> int:
    """Print an expected error and return the exit code: 2, or 130 for a run that was asked to stop; raise any other."""
    from rich.text import Text

    from fada.terminal import SafeConsole, printable

    # Text, not markup: paths and key paths may hold square brackets.
    console = SafeConsole(stderr=True, soft_wrap=True)
    if _is_clean_stop(error):
        if os.environ.get("RANK", "0") == "0":
            console.print(Text(printable(str(error), LONGEST, lines=True), style="yellow"))
        return STOPPED
    message = expected_message(error)
    if message is None:
        raise error
    console.print(Text.assemble((f"error{_process()}: ", "bold red"), (printable(message, LONGEST, lines=True), "red")))
    return 2


def _process() -> str:
    """Which of several processes speaks."""
    return f" (process {os.environ['RANK']})" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""


def _is_clean_stop(error: Exception) -> bool:
    # Looked up, not imported: the loop brings torch, and whoever raised this has loaded it already.
    loop = sys.modules.get("fada.engine.loop")
    return loop is not None and isinstance(error, loop.Interrupted)


def expected_message(error: Exception) -> str | None:
    """What to tell the user, or None where the error is not one of the expected kinds."""
    if isinstance(error, ModuleNotFoundError):
        extra = EXTRA_OF.get((error.name or "").partition(".")[0])
        return f"{error.name} is not installed; run: pip install 'fada[{extra}]'" if extra else None
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error) or None
    if isinstance(error, ValueError) and (_is_ours(type(error).__module__) or _is_ours(_raised_in(error))):
        return str(error) or type(error).__name__
    return None


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "fada"


def _raised_in(error: Exception) -> str:
    """Name of the module whose code raised the error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals.get("__name__", "")) if trace is not None else ""
