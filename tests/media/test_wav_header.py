"""WAV files of writers that cannot seek back are read whole; cut ones are refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from fada.media import MediaError
from fada.media.audio import encode_wav, read_audio
from fada.media.wav_header import WavHeader, is_placeholder

SOUND = (0.3 * np.sin(np.arange(32000))).astype(np.float32)
WHOLE = encode_wav(SOUND)


def stating(riff: int, samples: int, data: bytes = WHOLE) -> bytes:
    return data[:4] + struct.pack("<I", riff) + data[8:40] + struct.pack("<I", samples) + data[44:]


@pytest.mark.parametrize(
    ("riff", "samples"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF - 8, 0xFFFFFFFF - 44),
        (0, 0),
        (36, 0),
        (0x7FFFFFFF, 0x7FFFFFFF),
        (0x7FFFF024, 0x7FFFF000),
        (0x7FFFFFFF + 36, 0x7FFFFFFF),
        (0x80000024, 0x80000000),
        (2_000_000_036, 2_000_000_000),
        (2_000_000_000, 2_000_000_000 - 36),
        (1_000_000_036, 1_000_000_000),
        (200_000_036, 200_000_000),
        (0x40000024, 0x40000000),
        (0x3FFFFFFF + 36, 0x3FFFFFFF),
        (1_234_567_890 + 36, 1_234_567_890),  # 10.7 hours at 32 kB/s, of which two seconds are there.
        (len(WHOLE) - 8, 0xFFFFFFFF),
        (0, len(WHOLE) - 44),
        (len(WHOLE) - 8, 0),
    ],
)
def test_sound_behind_sizes_that_were_never_filled_in_is_read(tmp_path: Path, riff: int, samples: int) -> None:
    data = stating(riff, samples)
    (tmp_path / "a.wav").write_bytes(data)
    for source in (data, tmp_path / "a.wav"):
        np.testing.assert_allclose(read_audio(source), SOUND, atol=1e-4)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
@pytest.mark.parametrize(
    "make",
    [lambda data: data, lambda data: stating(0, len(data) - 44, data), lambda data: stating(len(data) - 8, 0, data)],
)
def test_cut_sound_is_refused_by_either_size(share: float, make) -> None:
    data = make(WHOLE)
    with pytest.raises(MediaError, match=rf"truncated: {int(share * 64044)} of the 64044 bytes its header promises"):
        read_audio(data[: int(share * len(data))])


def test_a_cut_of_a_few_per_cent_of_a_long_sound_is_noticed() -> None:
    data = encode_wav(np.zeros(16000 * 30, np.float32))
    with pytest.raises(MediaError, match="truncated"):
        read_audio(data[:-16000])


@pytest.mark.parametrize(("seconds", "share"), [(3600, 0.5), (3 * 3600, 0.02), (5.9 * 3600, 0.001), (8 * 3600, 0.3)])
@pytest.mark.parametrize(("rate", "per_sample"), [(16000, 2), (44100, 4), (48000, 2), (24000, 3)])
def test_lengths_of_real_recordings_are_believed(seconds: float, share: float, rate: int, per_sample: int) -> None:
    stated = round(seconds * rate) * per_sample
    header = WavHeader(stated + 44, stated, 44, per_sample, rate * per_sample)
    assert not is_placeholder(stated, int(share * stated), header, 6 * 3600)


def large(whole: int, samples: int) -> bytes:
    """RF64: sizes in a chunk of their own, as recorders write files that may pass 4 GB."""
    sizes = struct.pack("<QQQI", whole, samples, 0, 0)
    start = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<I", len(sizes)) + sizes
    return start + WHOLE[12:40] + b"\xff\xff\xff\xff" + WHOLE[44:]


def test_large_files_state_their_sizes_elsewhere() -> None:
    data = large(len(large(0, 0)) - 8, 64000)
    np.testing.assert_allclose(read_audio(data), SOUND, atol=1e-4)
    with pytest.raises(MediaError, match="truncated: 40000 of the 64080 bytes"):
        read_audio(data[:40000])
    np.testing.assert_allclose(read_audio(large(0, 0)), SOUND, atol=1e-4)


def test_notes_before_the_samples_hide_nothing() -> None:
    notes = b"LIST" + struct.pack("<I", 100_001) + bytes(100_002)
    data = WHOLE[:4] + struct.pack("<I", len(WHOLE) + len(notes) - 8) + WHOLE[8:36] + notes + WHOLE[36:]
    np.testing.assert_allclose(read_audio(data), SOUND, atol=1e-4)
    with pytest.raises(MediaError, match="truncated"):
        read_audio(data[:-20000])


def test_a_header_without_samples_is_no_sound() -> None:
    with pytest.raises(MediaError, match=r"cannot be opened|no audio stream|nothing that can be decoded"):
        read_audio(WHOLE[:36])
