"""Damage real media in many ways and read it: nothing may crash, hang, take much memory or fail unclearly.

    python tests/fuzz/fuzz_media.py --count 1000 --seed 0 videos/ speech.wav

Each mutation is read by a worker process, as picture and as sound, and every fifth one is prepared as ``fada data
prepare`` would, with a stand-in for the face model. Allowed are a normal result, a MediaError, or a rejection with its
reason. Exits with 1 where anything else came of it; ``--keep`` keeps such files. The same seed damages in the same way.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from reading_process import Outcome, Reader, Reading, table

from fada.data.prepare.identities import Identity
from fada.data.prepare.models import Face, FaceFinder
from fada.data.prepare.source import PrepareSettings, prepare_source
from fada.media.audio import read_audio
from fada.media.error import MediaError
from fada.media.video import iterate_frames, probe

PREPARE_EVERY = 5
MOST_FRAMES = 300
"""Frames that are read of one file; whole videos would take hours, and their end is read when they are prepared."""
HEADER_BYTES = 4096


def flip_bits(data: bytearray, choose: np.random.Generator, other: bytes) -> None:
    for _ in range(int(choose.integers(1, 200))):
        data[choose.integers(len(data))] ^= 1 << int(choose.integers(8))


def cut_off(data: bytearray, choose: np.random.Generator, other: bytes) -> None:
    del data[int(choose.integers(len(data))) :]


def zero_block(data: bytearray, choose: np.random.Generator, other: bytes) -> None:
    start, length = _block(data, choose)
    data[start : start + length] = bytes(length)


def remove_block(data: bytearray, choose: np.random.Generator, other: bytes) -> None:
    start, length = _block(data, choose)
    del data[start : start + length]


def splice(data: bytearray, choose: np.random.Generator, other: bytes) -> None:
    """A part of another file, over this one's or between."""
    start, length = _block(data, choose)
    taken = int(choose.integers(len(other)))
    replaced = length if choose.random() < 0.5 else 0
    data[start : start + replaced] = other[taken : taken + length]


def damage_header(data: bytearray, choose: np.random.Generator, other: bytes) -> None:
    """Wild bytes at the beginning, or in an MP4's index at the end."""
    first = _header_start(data, choose)
    for _ in range(int(choose.integers(1, 30))):
        place = first + int(choose.integers(HEADER_BYTES))
        if place < len(data):
            data[place] = int(choose.integers(256))


def claim_extremes(data: bytearray, choose: np.random.Generator, other: bytes) -> None:
    """Numbers in the header become the largest, the smallest, or merely absurd."""
    values = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\x00\x00\x00\x01", b"\x00\x01\x00\x00")
    first = _header_start(data, choose)
    for _ in range(int(choose.integers(1, 6))):
        place = first + int(choose.integers(HEADER_BYTES))
        if place + 4 <= len(data):
            value = values[choose.integers(len(values))]
            data[place : place + 4] = value if choose.random() < 0.5 else value[::-1]


def _header_start(data: bytearray, choose: np.random.Generator) -> int:
    index = data.find(b"moov")
    return index if index >= 0 and choose.random() < 0.8 else 0


def _block(data: bytearray, choose: np.random.Generator) -> tuple[int, int]:
    """Where a block begins and how long it is: small ones are as likely as large ones."""
    length = int(min(len(data) / 2, 2 ** choose.uniform(2, 18)))
    return int(choose.integers(max(1, len(data) - length))), length


Mutation = Callable[[bytearray, np.random.Generator, bytes], None]
MUTATIONS: tuple[Mutation, ...] = (
    flip_bits, cut_off, zero_block, remove_block, splice, damage_header, claim_extremes,
)  # fmt: skip
KINDS = tuple(each.__name__ for each in MUTATIONS)


class CentreFinder(FaceFinder):
    """Sees a face in the middle of every picture, whose mouth moves with the brightness."""

    def __init__(self) -> None:
        shape = np.random.default_rng(0).uniform(-0.4, 0.4, (478, 3))
        shape[10, :2], shape[152, :2] = (0, -0.5), (0, 0.5)
        self._shape = shape

    def find(self, pixels: np.ndarray) -> list[Face]:
        height, width = pixels.shape[:2]
        points = self._shape * 0.5 * min(height, width) + (width / 2, height / 2, 0)
        points[14, 1] += 0.05 * min(height, width) * float(pixels[::8, ::8].mean()) / 255
        return [Face(points.astype(np.float32), np.zeros(52, np.float32))]

    def find_near(self, pixels: np.ndarray, box: np.ndarray) -> Face | None:
        return self.find(pixels)[0]

    def search(self, pixels: np.ndarray) -> list[Face]:
        return self.find(pixels)

    def mirror_error(self, pixels: np.ndarray, face: Face) -> float:
        return 0.0

    def close(self) -> None:
        pass


def read_all(file: Path, is_prepared: bool) -> tuple[str, str]:
    """Everything that is read of a source; how it ended, and the first reason."""
    reasons: list[str] = []

    def note(read: Callable[[], object]) -> None:
        try:
            read()
        except MediaError as error:
            reasons.append(str(error))

    def frames() -> None:
        for index, _ in enumerate(iterate_frames(file)):
            if index == MOST_FRAMES:
                return

    for read in (lambda: probe(file), frames, lambda: read_audio(file)):
        note(read)
    if is_prepared:
        with tempfile.TemporaryDirectory() as out:
            settings = PrepareSettings(size=64)
            record = prepare_source(
                file, "0" * 64, Path(out), settings, "", CentreFinder(), Identity("someone", "path")
            )
        reasons += [rejection.detail for rejection in record.rejections]
        return ("rejected" if record.rejections else "read"), "; ".join(reasons[:1])
    return ("refused" if reasons else "read"), "; ".join(reasons[:1])


def fuzz(
    files: Sequence[Path],
    count: int,
    seed: int = 0,
    seconds: float = 60.0,
    megabytes: float = 2048.0,
    keep: Path | None = None,
    first: int = 0,
    reading: Reading = read_all,
) -> Iterator[Outcome]:
    """Damage and read ``count`` times; mutation ``n`` depends on the seed and ``n`` alone."""
    reader = Reader(seconds, megabytes, reading)
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number in range(first, first + count):
                choose = np.random.default_rng((seed, number))
                mutate = MUTATIONS[number % len(MUTATIONS)]
                file = files[choose.integers(len(files))]
                other = files[choose.integers(len(files))].read_bytes()
                data = bytearray(file.read_bytes())
                mutate(data, choose, other)
                damaged = Path(folder) / f"{number}-{mutate.__name__}{file.suffix}"
                damaged.write_bytes(data)
                outcome = reader.read(damaged, mutate.__name__, number % PREPARE_EVERY == 0)
                if outcome.is_fault and keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / damaged.name).write_bytes(data)
                damaged.unlink()
                outcome.detail = f"{number} {file.name}: {outcome.detail}"
                yield outcome
        finally:
            reader.close()


def main() -> None:
    """Run from the command line; exits with 1 where there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path, help="media files, or folders of them")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation, to repeat one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0, help="of processor time; longer is a hang")
    parser.add_argument("--megabytes", type=float, default=2048.0, help="more is too much memory")
    parser.add_argument("--keep", type=Path, help="folder for damaged files that show a fault")
    options = parser.parse_args()
    files = sorted(
        file for path in options.paths for file in (path.rglob("*") if path.is_dir() else [path])
        if file.is_file() and file.suffix not in (".md", ".tsv", ".txt")
    )  # fmt: skip
    outcomes = []
    for outcome in fuzz(
        files, options.count, options.seed, options.seconds, options.megabytes, options.keep, options.first
    ):
        outcomes.append(outcome)
        if outcome.is_fault:
            print(f"{outcome.result} after {outcome.mutation} {outcome.detail}", flush=True)
    print(table(outcomes, KINDS))
    sys.exit(any(outcome.is_fault for outcome in outcomes))


if __name__ == "__main__":
    main()
