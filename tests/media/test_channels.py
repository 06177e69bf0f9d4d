"""Sound of any number of channels as one: its level, nothing clipped, nothing cancelled."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import numpy as np
import pytest

from fada.media import MediaError
from fada.media.audio import read_audio
from fada.media.channels import SampleReader, mix_weights

RATE = 48000
LAYOUT_5_1 = ("FL", "FR", "FC", "LFE", "BL", "BR")


def sine(level: float = 0.5, hertz: float = 440.0, seconds: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def noise(seed: int, level: float = 0.1, seconds: float = 0.5) -> np.ndarray:
    """Speech-like: below 4 kHz, so that bringing it to 16 kHz keeps its energy."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=round(seconds * RATE)))
    spectrum[len(spectrum) // 6 :] = 0
    sound = np.fft.irfft(spectrum)
    return level * sound / sound.std()


def write_wav(path: Path, channels: list[np.ndarray]) -> Path:
    """A plain WAV, which does not say where its channels belong."""
    samples = np.clip(np.round(np.stack(channels, axis=1) * 32767), -32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return path


def write_named(path: Path, channels: list[np.ndarray], layout: str, codec: str = "flac") -> Path:
    """A file whose channels have names."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout=layout)
        packed = np.stack(channels, axis=1).astype(np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate = RATE
        resampler = av.AudioResampler(format=stream.codec_context.format.name, layout=layout, rate=RATE)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            part.pts = None
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def level(sound: np.ndarray) -> float:
    """Root of the mean square, without the ends, where filters settle."""
    inner = np.asarray(sound, np.float64)[len(sound) // 8 : -len(sound) // 8]
    return float(np.sqrt(np.mean(inner**2)))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 17, 24, 32, 64])
def test_the_same_sound_in_all_channels_keeps_its_level(tmp_path: Path, count: int) -> None:
    audio = read_audio(write_wav(tmp_path / "a.wav", [sine()] * count))
    assert len(audio) == 8000
    assert level(audio) == pytest.approx(0.5 / 2**0.5, rel=0.01)
    assert np.abs(audio).max() < 0.505


def test_bytes_are_mixed_as_files_are(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", [sine(), -sine(), *[0 * sine()] * 9])
    np.testing.assert_array_equal(read_audio(path.read_bytes()), read_audio(path))


def test_the_mix_of_loud_5_1_does_not_clip(tmp_path: Path) -> None:
    audio = read_audio(write_named(tmp_path / "a.flac", [sine(0.99)] * 6, "5.1"))
    # A clipped sine is louder: its tops are flat.
    assert level(audio) == pytest.approx(0.99 / 2**0.5, rel=0.01)


@pytest.mark.parametrize("channel", [0, 2, 4])
def test_speech_in_one_channel_of_5_1_keeps_its_level(tmp_path: Path, channel: int) -> None:
    channels = [0 * sine()] * 6
    channels[channel] = noise(0)
    audio = read_audio(write_named(tmp_path / "a.flac", channels, "5.1"))
    assert level(audio) == pytest.approx(0.1, rel=0.02)


def test_unrelated_channels_of_5_1_keep_the_level_of_the_loudest(tmp_path: Path) -> None:
    channels = [noise(seed, 0.05 if seed else 0.1) for seed in range(6)]
    audio = read_audio(write_named(tmp_path / "a.flac", channels, "5.1"))
    assert level(audio) == pytest.approx(0.1, rel=0.02)


def test_the_level_is_not_restored_beyond_full_scale(tmp_path: Path) -> None:
    # The loudest channel is a square wave; the mix has a sine on its tops that no gain may push over.
    square = np.sign(sine())
    channels = [0.99 * square, *(0.99 * sine(1.0, 3000.0 + 100 * index) for index in range(5))]
    audio = read_audio(write_named(tmp_path / "a.flac", channels, "5.1"))
    assert np.mean(np.abs(audio) >= 1.0) < 1e-3


def test_weights_of_5_1_are_those_of_bs_775() -> None:
    weights = mix_weights(LAYOUT_5_1)
    np.testing.assert_allclose(weights / weights[0], [1, 1, 2**0.5, 0, 0.5**0.5, 0.5**0.5], rtol=1e-6)
    assert weights.sum() == pytest.approx(1.0)


def test_a_low_frequency_channel_is_left_out_where_it_is_known(tmp_path: Path) -> None:
    channels = [0 * sine()] * 6
    channels[3] = sine()
    assert np.abs(read_audio(write_named(tmp_path / "a.flac", channels, "5.1"))).max() < 1e-3


@pytest.mark.parametrize("codec", ["aac", "libopus"])
def test_eight_planes_are_read(tmp_path: Path, codec: str) -> None:
    path = write_named(tmp_path / "a.mka", [noise(0)] * 8, "7.1", codec)
    audio = read_audio(path)
    assert level(audio[:8000]) == pytest.approx(0.1, rel=0.15)


def test_stereo_is_the_average_of_both(tmp_path: Path) -> None:
    audio = read_audio(write_wav(tmp_path / "a.wav", [noise(0), noise(1)]))
    expected = read_audio(write_wav(tmp_path / "b.wav", [(noise(0) + noise(1)) / 2]))
    np.testing.assert_allclose(audio, expected, atol=1e-4)


def test_a_silent_side_halves_the_other(tmp_path: Path) -> None:
    assert level(read_audio(write_wav(tmp_path / "a.wav", [noise(0), 0 * noise(0)]))) == pytest.approx(0.05, rel=0.02)


@pytest.mark.parametrize(("left", "right"), [(1.0, -1.0), (1.0, -0.8), (0.8, -1.0)])
def test_antiphase_stereo_is_its_louder_channel(tmp_path: Path, left: float, right: float) -> None:
    audio = read_audio(write_wav(tmp_path / "a.wav", [left * noise(0), right * noise(0)]))
    expected = read_audio(write_wav(tmp_path / "b.wav", [noise(0) if left == 1.0 else -noise(0)]))
    np.testing.assert_allclose(audio, expected, atol=1e-4)


def test_antiphase_under_some_noise_is_one_channel_too(tmp_path: Path) -> None:
    audio = read_audio(write_wav(tmp_path / "a.wav", [noise(0) + noise(1, 0.02), -noise(0) + noise(2, 0.02)]))
    assert level(audio) == pytest.approx(0.102, rel=0.03)


def test_antiphase_in_5_1_with_speech_in_the_centre_keeps_the_speech(tmp_path: Path) -> None:
    zero = 0 * noise(0)
    channels = [noise(1), -noise(1), noise(0), zero, zero, zero]
    audio = read_audio(write_named(tmp_path / "a.flac", channels, "5.1"))
    expected = read_audio(write_wav(tmp_path / "b.wav", [noise(0)]))
    assert np.corrcoef(audio[100:-100], expected[100:-100])[0, 1] > 0.999
    assert level(audio) == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize(
    ("format", "dtype", "scale", "offset"),
    [("u8", np.uint8, 128, 128), ("s16", np.int16, 32768, 0), ("s32", np.int32, 2**31, 0), ("flt", np.float32, 1, 0),
     ("dbl", np.float64, 1, 0)],
)  # fmt: skip
@pytest.mark.parametrize("is_planar", [False, True])
def test_samples_of_every_kind_are_read_alike(format: str, dtype, scale: float, offset: int, is_planar: bool) -> None:
    values = np.array([[0.0, 0.5, -0.5], [0.25, -0.25, -1.0]])
    stored = (values * scale + offset).astype(dtype)
    stored = stored if is_planar else stored.T.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(stored), format=format + "p" * is_planar, layout="stereo")
    np.testing.assert_array_equal(SampleReader()(frame), values.astype(np.float32))


def test_what_is_not_finite_becomes_silence_and_full_scale() -> None:
    frame = av.AudioFrame.from_ndarray(np.array([[np.nan, np.inf, -np.inf]], np.float32), format="flt", layout="mono")
    np.testing.assert_array_equal(SampleReader()(frame), [[0.0, 1.0, -1.0]])


def test_channels_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refuses:
        def __init__(self, **_: object) -> None: ...

        def resample(self, frame: object) -> None:
            raise ValueError("no such layout")

    path = write_named(tmp_path / "a.mka", [sine()] * 8, "7.1", "aac")
    monkeypatch.setattr("fada.media.channels.av.AudioResampler", Refuses)
    with pytest.raises(MediaError, match=r"a\.mka: its sound of 8 channels as fltp cannot be read; mix it to stereo"):
        read_audio(path)


def test_a_gap_is_silent_between_two_sounds_at_another_rate(tmp_path: Path) -> None:
    """What the resampler still holds belongs before the gap, not behind it."""
    from fractions import Fraction

    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for begin in (0.0, 1.0):
            block = np.full((1, RATE // 2), 16000, np.int16)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, round(begin * RATE), Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    audio = read_audio(path)
    assert len(audio) == 24000
    assert np.abs(audio[8000:16000]).max() == 0.0
    assert np.abs(audio[100:7900] - 16000 / 32768).max() < 0.01
