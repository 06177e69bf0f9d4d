"""`launcher.py PROCESSES SCRIPT ARGUMENT …`: what torch's launcher does for processes of one machine, without torch.

That one takes seconds of a processor to load, once per call; `fada distill` itself starts its processes with it, and
tests/runs/test_processes.py does so.
"""

import os
import socket
import subprocess
import sys
import time

PATIENCE = 30.0
"""Seconds that the others have to end in when one has failed."""


def main() -> int:
    """1 where a process failed, after the others were asked to end; else 0."""
    count, *command = sys.argv[1:]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    ranks = [
        subprocess.Popen([sys.executable, *command], env={**os.environ, **world, "RANK": rank, "LOCAL_RANK": rank})
        for rank in map(str, range(int(count)))
    ]
    while any(rank.poll() is None for rank in ranks):
        if any(rank.poll() for rank in ranks):
            _end(ranks)
        time.sleep(0.02)
    return int(any(rank.returncode for rank in ranks))


def _end(ranks: list[subprocess.Popen[bytes]]) -> None:
    for rank in ranks:
        rank.terminate()
    deadline = time.monotonic() + PATIENCE
    while any(rank.poll() is None for rank in ranks) and time.monotonic() < deadline:
        time.sleep(0.02)
    for rank in ranks:
        rank.kill()


if __name__ == "__main__":
    sys.exit(main())
