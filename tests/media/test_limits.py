"""What damaged headers may claim has an end, and the message says which."""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np
import pytest

from fada.media import MediaError, container, decoding
from fada.media.audio import encode_wav, read_audio
from fada.media.video import probe, read_video


def test_pictures_over_the_limit_are_refused(tmp_path, greys, write_media, monkeypatch) -> None:
    path = write_media(tmp_path / "v.mp4", greys([0] * 3))
    monkeypatch.setattr(container, "MOST_PIXELS", 1000)
    with pytest.raises(MediaError, match=r"claims pictures of 48x32, at most 1000 pixels .* are read"):
        probe(path)


def test_decoders_know_the_limit_too(tmp_path, greys, write_media, monkeypatch) -> None:
    # As where the size changes within a stream, after the header was found to be in order.
    path = write_media(tmp_path / "v.mp4", greys([0] * 3))
    monkeypatch.setattr("fada.media.decoding.DECODER_OPTIONS", {"max_pixels": "1000"})
    with pytest.raises(MediaError, match="holds nothing that can be decoded"):
        probe(path)


class Undecodable:
    """A packet whose decoder will not begin, in the words of PyAV 19, which has no error of FFmpeg's for it."""

    def __init__(self, packet: Any) -> None:
        self._packet = packet

    def __getattr__(self, name: str) -> Any:
        return getattr(self._packet, name)

    def decode(self) -> None:
        raise ValueError("cannot decode unknown codec")


def test_a_decoder_that_will_not_begin_is_damage_whatever_says_so(tmp_path, greys, write_media, monkeypatch) -> None:
    path = write_media(tmp_path / "v.mp4", greys([0] * 3))
    known = decoding.read_packets
    monkeypatch.setattr(decoding, "read_packets", lambda container: map(Undecodable, known(container)))
    with pytest.raises(MediaError, match="holds nothing that can be decoded"):
        probe(path)


@pytest.mark.parametrize("rate", [12, 1_000_000])
def test_absurd_sample_rates_are_refused(tmp_path, rate) -> None:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(bytes(2000))
    with pytest.raises(MediaError, match=rf"claims {rate} samples per second, known are 1000 to 768000"):
        read_audio(buffer.getvalue())


def test_sound_longer_than_memory_allows_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(container, "MOST_SECONDS", 0.5)
    with pytest.raises(MediaError, match=r"longer than 0.000138889 hours"):
        read_audio(encode_wav(np.zeros(32000, np.float32)))


def test_pictures_that_jump_in_time_are_refused(tmp_path, greys, write_media) -> None:
    path = write_media(tmp_path / "v.mkv", greys([0, 1, 2]), milliseconds=[0, 40, 700_000])
    with pytest.raises(MediaError, match=r"time stamps jump by 700 s to 700 s, at most 600 s are bridged"):
        read_video(path)


def test_sound_that_begins_long_after_the_picture_is_refused(tmp_path, greys, tone, write_media, monkeypatch) -> None:
    path = write_media(tmp_path / "v.mkv", greys([0] * 10), sound=tone(0.4, 16000), sound_codec="pcm_s16le")
    monkeypatch.setattr("fada.media.sound_timeline.origin_seconds", lambda container: -1000.0)
    with pytest.raises(MediaError, match=r"time stamps jump by 1000 s"):
        read_audio(path)
