import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fada.files import locks
from fada.files.errors import FolderBusy
from fada.files.locks import LOCK, holder_of, locked

HOLD = """
import sys, time
from pathlib import Path
from fada.files.locks import locked
with locked(Path(sys.argv[1]), "training"):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def held_by_another(folder: Path) -> Iterator[int]:
    """Another process, by its number, that holds the folder until it is killed at the end."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process.pid
        finally:
            process.kill()


def test_another_process_is_named_and_a_killed_one_forgotten(tmp_path: Path) -> None:
    with (
        held_by_another(tmp_path) as other,
        pytest.raises(FolderBusy, match=rf"is in use \(process {other} on .*, training, since 20"),
        locked(tmp_path, "benching"),
    ):
        pass
    with locked(tmp_path, "benching"):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert (tmp_path / LOCK).read_text() == ""


def test_the_same_process_may_hold_it_twice(tmp_path: Path) -> None:
    with locked(tmp_path, "training"):
        with locked(tmp_path, "benching"):
            pass
        other = subprocess.run([sys.executable, "-c", HOLD, str(tmp_path)], capture_output=True, text=True, check=False)
        assert "FolderBusy" in other.stderr
    with locked(tmp_path, "training"):
        pass


def test_a_forked_child_does_not_keep_it(tmp_path: Path) -> None:
    with locked(tmp_path, "training"):
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
    try:
        with held_by_another(tmp_path):
            pass
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_a_fresh_touch_of_another_machine_counts_where_its_lock_does_not_reach(
    tmp_path: Path,
) -> None:
    file = tmp_path / LOCK
    file.write_text(json.dumps({"pid": 7, "host": "elsewhere", "doing": "training\x1b[2J", "since": "noon"}))
    with (
        pytest.raises(FolderBusy, match=r"process 7 on elsewhere, training\[2J, since noon"),
        locked(tmp_path, "benching"),
    ):
        pass
    old = time.time() - locks.FRESH_SECONDS - 1
    os.utime(file, (old, old))
    with locked(tmp_path, "benching"):
        pass


def test_a_held_lock_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.02)
    with locked(tmp_path, "training"):
        os.utime(tmp_path / LOCK, (0, 0))
        end = time.monotonic() + 10
        while (tmp_path / LOCK).stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert (tmp_path / LOCK).stat().st_mtime > 0


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, '{"host": null}'])
def test_whatever_stands_in_a_lock_file_does_not_keep_the_folder(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK).write_text(content)
    with locked(tmp_path, "training"):
        pass


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    (tmp_path / LOCK).symlink_to(secret)
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path, "training"):
        pass
    assert secret.read_text() == "mine"


def test_the_holder_is_the_process_that_has_the_lock(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None
    with held_by_another(tmp_path) as process:
        assert holder_of(tmp_path) == process
    assert holder_of(tmp_path) is None


def test_a_lock_that_names_somebody_else_names_nobody(tmp_path: Path) -> None:
    """Whoever writes into a folder must not choose which process is stopped."""
    with held_by_another(tmp_path):
        signed = json.loads((tmp_path / LOCK).read_text())
        for forged in (os.getppid(), os.getpid(), 1, "x", -1, True):
            (tmp_path / LOCK).write_text(json.dumps({**signed, "pid": forged}))
            assert holder_of(tmp_path) is None
        (tmp_path / LOCK).write_text(json.dumps({**signed, "host": "elsewhere"}))
        assert holder_of(tmp_path) is None


def test_a_lock_that_nobody_holds_has_no_holder_whatever_it_says(tmp_path: Path) -> None:
    import socket

    (tmp_path / LOCK).write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    with (tmp_path / LOCK).open():
        assert holder_of(tmp_path) is None


def test_a_lock_that_is_a_link_has_no_holder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    with held_by_another(tmp_path / "real"):
        (tmp_path / LOCK).symlink_to(tmp_path / "real" / LOCK)
        assert holder_of(tmp_path) is None


def test_a_process_that_holds_a_folder_finds_itself(tmp_path: Path) -> None:
    with locked(tmp_path, "training"):
        assert holder_of(tmp_path) == os.getpid()
