"""What the header of a WAV file says of its length, and whether it can be believed.

FFmpeg takes a cut WAV for a shorter one; the header knows better. But a writer that cannot seek back (a pipe, a server
that streams speech while it is made) does not know the length when it writes the header, and leaves a number that was
not measured. Such numbers can be told by rule:

- nothing: 0;
- the largest: within 64 KB of 2**31, 2**32, 2**63 or 2**64 (7FFFFFFF, 7FFFF000 and 24 more with the header, 80000024,
  FFFFFFFF);
- a round one: a hundred million or more, in bytes or samples, within the few bytes of a header of a whole multiple of
  ten million or of 16 MiB (2000000000 and 2000000036, 3FFFFFFF);
- an endless one: longer than the longest sound that fada reads, with less than a hundredth of it there.

Every other number counts as measured: where the file is shorter, its end is missing. By chance a measured length is
round or large once in 30,000 files, and then only its being cut would go unnoticed.
"""

from __future__ import annotations

from dataclasses import dataclass

from fada.media.error import MediaError
from fada.media.formats import InputFile

_MOST_CHUNKS = 1000
_TOLERANCE_BYTES, _TOLERANCE_SHARE = 4096, 0.05
"""So much may be missing, whichever is less: some writers count their header twice, or round up."""
_NEAR_LIMIT = 1 << 16
_LIMITS = (1 << 31, 1 << 32, 1 << 63, 1 << 64)
_LEAST_ROUND = 100_000_000
_ROUND = (10_000_000, 1 << 24)
_NEAR_ROUND = 128
_HARDLY_THERE = 0.01


@dataclass(frozen=True)
class WavHeader:
    """The sizes that a WAV file states, in bytes; 0 where it states none."""

    whole: int
    """Of the whole file."""
    samples: int
    samples_start: int
    """Where the samples begin."""
    bytes_per_sample: int
    """Of all channels."""
    bytes_per_second: int


def read_wav_header(file: InputFile) -> WavHeader | None:
    """The sizes that a RIFF or RF64 file states; None where it is no such file, or its samples are not found."""
    file.seek(0)
    start = file.read(12)
    if start[:4] not in (b"RIFF", b"RF64", b"BW64"):
        return None
    whole = _number(start[4:8])
    large = b""
    per_sample = per_second = 1
    place = len(start)
    for _ in range(_MOST_CHUNKS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return None
        name, size = head[:4], _number(head[4:])
        if name == b"data":
            # A file of more than 4 GB keeps its sizes in ds64 and the largest number in their old places.
            if large:
                whole = _number(large[:8]) if whole == 0xFFFFFFFF else whole
                size = _number(large[8:16]) if size == 0xFFFFFFFF else size
            return WavHeader(whole + 8 if whole else 0, size, place + 8, per_sample, per_second)
        if name == b"ds64":
            large = file.read(16)
        elif name == b"fmt ":
            form = file.read(14)
            per_second, per_sample = max(1, _number(form[8:12])), max(1, _number(form[12:14]))
        place += 8 + size + size % 2
    return None


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def is_placeholder(stated: int, there: int, header: WavHeader, longest_seconds: float) -> bool:
    """Whether a stated size was not measured; the rule stands above.

    Args:
        stated: bytes, as the header says.
        there: bytes of the file.
        header: for the size of a sample and of a second.
        longest_seconds: the longest sound that is read.
    """
    if stated == 0 or any(abs(stated - limit) <= _NEAR_LIMIT for limit in _LIMITS):
        return True
    is_endless = stated > longest_seconds * header.bytes_per_second and there < _HARDLY_THERE * stated
    return is_endless or _is_round(stated) or _is_round(stated // header.bytes_per_sample)


def _is_round(number: int) -> bool:
    return number >= _LEAST_ROUND and any(min(number % step, -number % step) <= _NEAR_ROUND for step in _ROUND)


def check_wav_length(file: InputFile, name: str, longest_seconds: float) -> bool:
    """Know that a WAV file is all there, as far as its header tells; leaves the file at its beginning.

    Returns:
        Whether its samples go on to the end of the file, whatever the header says.

    Raises:
        MediaError: bytes are missing at the end.
    """
    header = read_wav_header(file)
    size = file.seek(0, 2)
    file.seek(0)
    if header is None:
        return False
    ends = ((header.whole, header.whole), (header.samples, header.samples_start + header.samples))
    promised = max(
        (end for stated, end in ends if not is_placeholder(stated, size, header, longest_seconds)), default=0
    )
    if size < promised - min(_TOLERANCE_BYTES, _TOLERANCE_SHARE * promised):
        raise MediaError(
            f"{name}: truncated: {size} of the {promised} bytes its header promises are there; "
            "copy or download it again"
        )
    return is_placeholder(header.samples, size, header, longest_seconds)
