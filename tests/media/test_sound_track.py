"""A file's sound at its own rate and with its own channels, in pieces, and in the videos it is written into."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fada.media import MediaError
from fada.media.fragments import open_fragmented
from fada.media.sound_encoder import SoundEncoder
from fada.media.sound_track import SoundTrack
from fada.media.whole_video import open_whole

BLACK = np.zeros((1, 32, 32, 3), np.uint8)


def write_sound(path: Path, channels: np.ndarray, rate: int, layout: str) -> Path:
    """A FLAC or WAV file."""
    codec = "flac" if path.suffix == ".flac" else "pcm_s16le"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        packed = np.round(channels.T.reshape(1, -1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def noise(channels: int, samples: int) -> np.ndarray:
    """Each channel another one, without the highest frequencies, which AAC may drop."""
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(size=(channels, samples)), axis=1)
    spectrum[:, spectrum.shape[1] // 6 :] = 0
    sound = np.fft.irfft(spectrum, samples, axis=1)
    return (0.1 * sound / sound.std()).astype(np.float32)


def stored(path: Path) -> tuple[int, str, np.ndarray]:
    """Rate, layout and samples (channels, N) of a file's sound, from the time of its first picture on."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="flt", layout=stream.layout, rate=stream.rate)
        parts, first = [], None
        for frame in container.decode(stream):
            first = frame.time if first is None else first
            frame.pts = None
            parts += [each.to_ndarray().reshape(-1, stream.channels).T for each in resampler.resample(frame)]
        samples = np.concatenate(parts, axis=1)
        shift = round(first * stream.rate)
        samples = samples[:, -shift:] if shift < 0 else np.pad(samples, ((0, 0), (shift, 0)))
        return stream.rate, stream.layout.name, samples


@pytest.mark.parametrize(
    ("rate", "layout"), [(48000, "stereo"), (44100, "stereo"), (44100, "mono"), (48000, "5.1"), (8000, "mono")]
)
def test_samples_come_as_they_are_in_pieces_of_any_size(tmp_path: Path, rate: int, layout: str) -> None:
    sound = noise(len(av.AudioLayout(layout).channels), rate)
    with SoundTrack(write_sound(tmp_path / "a.flac", sound, rate, layout)) as track:
        assert (track.sample_rate, track.layout) == (rate, layout)
        pieces = [track.take(count) for count in (1, 0, 700, 5000)]
        taken = np.concatenate(pieces, axis=1)
        np.testing.assert_allclose(taken, sound[:, :5701], atol=2 / 32767)
        behind = track.take(2 * rate)
    assert np.abs(behind[:, rate - 5701 :]).max() == 0


def test_a_rate_that_aac_does_not_know_becomes_the_next(tmp_path: Path) -> None:
    with SoundTrack(write_sound(tmp_path / "a.wav", noise(1, 37800), 37800, "mono")) as track:
        assert track.sample_rate == 44100
        assert np.abs(track.take(44100)[:, 43000:]).max() > 0.01
        assert np.abs(track.take(10)).max() == 0.0


def test_more_channels_than_aac_holds_become_one(tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(10)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(np.full((4800, 10), 3277, "<i2").tobytes())
    with SoundTrack(tmp_path / "a.wav") as track:
        assert (track.layout, track.sample_rate) == ("mono", 48000)
        np.testing.assert_allclose(track.take(4800), 3277 / 32768, atol=1e-4)


@pytest.mark.parametrize("opener", [open_whole, open_fragmented])
@pytest.mark.parametrize(("rate", "layout"), [(48000, "stereo"), (44100, "mono"), (48000, "5.1"), (48000, "7.1")])
def test_a_video_keeps_rate_channels_and_time_of_its_sound(tmp_path: Path, opener: Any, rate: int, layout: str) -> None:
    count = len(av.AudioLayout(layout).channels)
    sound = noise(count, 2 * rate)
    sound[3:4] = 0  # low-frequency effects, which AAC keeps low
    with (
        SoundTrack(write_sound(tmp_path / "a.flac", sound, rate, layout)) as track,
        opener(str(tmp_path / "v.mp4"), 25.0, track.sample_rate, track.layout) as video,
    ):
        for _ in range(25):
            video.add(BLACK, track.take(rate // 25))
    found_rate, found_layout, samples = stored(tmp_path / "v.mp4")
    assert (found_rate, found_layout) == (rate, layout)
    # Cut to the frames: an AAC block more at most.
    assert rate <= samples.shape[1] <= rate + 1024
    for channel in range(count):
        if channel != 3:
            inner = slice(rate // 10, rate - rate // 10)
            assert np.corrcoef(samples[channel, inner], sound[channel, inner])[0, 1] > 0.95, channel


def test_sound_without_a_stream_is_refused(tmp_path: Path, greys: Any, write_media: Any) -> None:
    with pytest.raises(MediaError, match="has no audio stream"):
        SoundTrack(write_media(tmp_path / "v.mp4", greys([0, 0])))


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros((3, 5), np.float32), r"audio must be samples of shape \(2, N\), got shape \(3, 5\)"),
        (np.zeros((2, 5), np.int16), "audio must be floating point"),
        (np.full((2, 5), np.nan, np.float32), "not finite"),
    ],
)
def test_wrong_samples_are_refused(tmp_path: Path, audio: np.ndarray, message: str) -> None:
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        encoder = SoundEncoder(container, 48000, "stereo")
        with pytest.raises(MediaError, match=message):
            encoder.add(audio)
        encoder.add(np.zeros((2, 5), np.float32))
        encoder.finish()


def test_a_whole_video_equals_one_written_at_once(tmp_path: Path) -> None:
    from fada.media.video import read_video, write_video

    frames = np.random.default_rng(0).integers(0, 256, (30, 33, 47, 3), dtype=np.uint8)
    write_video(tmp_path / "once.mp4", frames, 30000 / 1001)
    with open_whole(tmp_path / "parts.mp4", 30000 / 1001) as video:
        for start in range(0, 30, 7):
            video.add(frames[start : start + 7])
    once, parts = (read_video(tmp_path / f"{name}.mp4", fps=None) for name in ("once", "parts"))
    np.testing.assert_array_equal(once, parts)


def test_a_video_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"before")

    def fail() -> None:
        with open_whole(tmp_path / "v.mp4") as video:
            video.add(BLACK)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]
    assert (tmp_path / "v.mp4").read_bytes() == b"before"


@pytest.mark.parametrize(
    ("frames", "message"),
    [(BLACK.astype(np.float32), "must be uint8"), (np.zeros((1, 16, 16, 3), np.uint8), "those before were")],
)
def test_frames_of_another_kind_are_refused(tmp_path: Path, frames: np.ndarray, message: str) -> None:
    with open_whole(tmp_path / "v.mp4") as video:
        video.add(BLACK)
        with pytest.raises(MediaError, match=message):
            video.add(frames)


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="at least one frame, got none"), open_whole(tmp_path / "v.mp4"):
        pass
    assert not (tmp_path / "v.mp4").exists()
