"""One command at a time in a folder.

The lock is the kernel's (`flock`), so that it goes with the process however it ends. Its file also says who holds it,
and is touched while it is held: on file systems whose locks do not reach other machines, a fresh touch still tells.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fada.files.errors import FolderBusy

LOCK = ".fada.lock"
BEAT_SECONDS = 20.0
"""Between two touches of a held lock."""
FRESH_SECONDS = 90.0
"""A lock of another machine that was touched within this time is held."""

_held: dict[tuple[int, int], int] = {}
"""Locks of this process, by device and inode of their files, and how often they are held."""
_descriptors: set[int] = set()
_guard = threading.Lock()


@contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Hold a folder for this process while the block runs; within a process the same folder may be held again.

    Args:
        doing: what others are told that it is held for: "training", "writing shards".

    Raises:
        FolderBusy: another process holds it; it is named.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    stat = os.fstat(descriptor)
    key = (stat.st_dev, stat.st_ino)
    with _guard:
        is_ours = key in _held
        if is_ours:
            os.close(descriptor)
        else:
            _acquire(descriptor, folder)
            _descriptors.add(descriptor)
        _held[key] = _held.get(key, 0) + 1
    stop = threading.Event()
    try:
        if not is_ours:
            _sign(descriptor, doing)
            threading.Thread(target=_beat, args=(descriptor, stop), daemon=True, name="fada-lock").start()
        yield
    finally:
        stop.set()
        with _guard:
            _held[key] -= 1
            if not _held[key]:
                del _held[key]
            if not is_ours:
                _descriptors.discard(descriptor)
                with suppress(OSError):
                    os.ftruncate(descriptor, 0)
                os.close(descriptor)


def holder_of(folder: Path) -> int | None:
    """The process of this machine that holds a folder now; None where nobody does, or one that cannot be told for sure.

    What a lock's file says is not believed: the process that it names must have that very file open, and the kernel
    must refuse the lock.
    """
    path = folder / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
        else:
            return None
        named = holder.get("pid", "")
        is_here = holder.get("host") == socket.gethostname() and named.isascii() and named.isdecimal()
        return int(named) if is_here and _has_open(int(named), os.fstat(descriptor)) else None
    finally:
        os.close(descriptor)


def _has_open(process: int, file: os.stat_result) -> bool:
    """Whether a process has a file open, by device and inode."""
    if process == os.getpid():
        # Who looks has it open too.
        with _guard:
            return (file.st_dev, file.st_ino) in _held
    with suppress(OSError), os.scandir(f"/proc/{process}/fd") as entries:
        for entry in entries:
            with suppress(OSError):
                if os.path.samestat(os.stat(entry.path), file):
                    return True
    return False


def _acquire(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        message = _busy(folder, _holder(descriptor))
        os.close(descriptor)
        raise FolderBusy(message) from error
    holder, age = _holder(descriptor), time.time() - os.fstat(descriptor).st_mtime
    if holder.get("host") not in (None, socket.gethostname()) and age < FRESH_SECONDS:
        os.close(descriptor)
        raise FolderBusy(_busy(folder, holder))


def _busy(folder: Path, holder: dict[str, Any]) -> str:
    who = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}, {holder.get('doing', 'at work')}"
    return (
        f"{folder}: is in use ({who}, since {holder.get('since', '?')}); wait until it has ended, stop it, "
        "or give another folder"
    )


def _holder(descriptor: int) -> dict[str, Any]:
    """Who signed a lock; nothing where nobody did."""
    try:
        content = json.loads(os.pread(descriptor, 4096, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    # Shown on a terminal: printable words only, whoever wrote them.
    said = {key: str(value) for key, value in content.items() if isinstance(value, str | int)}
    return {key: "".join(letter for letter in value if letter.isprintable())[:80] for key, value in said.items()}


def _sign(descriptor: int, doing: str) -> None:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "doing": doing}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _beat(descriptor: int, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        with _guard:
            # The number may have been given to another file once the lock was let go.
            if stop.is_set() or descriptor not in _descriptors:
                return
            with suppress(OSError):
                os.utime(descriptor)


def _forget_in_child() -> None:
    """A forked child holds no lock: else one that outlives its parent would keep the folder."""
    global _guard
    _guard = threading.Lock()
    for descriptor in _descriptors:
        with suppress(OSError):
            os.close(descriptor)
    _descriptors.clear()
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)
