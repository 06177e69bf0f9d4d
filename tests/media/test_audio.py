from __future__ import annotations

import numpy as np
import pytest

from fada.media import MediaError
from fada.media.audio import decode_wav, encode_wav, read_audio, write_wav


def test_wav_round_trip_is_exact_on_16_bit_values(tmp_path) -> None:
    samples = (np.random.default_rng(0).integers(-32768, 32768, 5000) / 32768).astype(np.float32)
    write_wav(tmp_path / "a.wav", samples)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), samples)
    np.testing.assert_array_equal(decode_wav(encode_wav(samples)), samples)


def test_wav_clips_what_is_too_loud() -> None:
    np.testing.assert_allclose(decode_wav(encode_wav(np.array([2.0, -2.0], np.float32))), [1.0, -1.0], atol=1e-4)


@pytest.mark.parametrize(("rate", "channels"), [(11025, 1), (44100, 2), (48000, 2), (8000, 1)])
def test_any_rate_and_channels_become_16_khz_mono(tmp_path, greys, tone, write_media, rate, channels) -> None:
    sound = tone(0.6, rate, channels)
    path = write_media(tmp_path / "v.mkv", greys([0] * 15), sound=sound, rate=rate, sound_codec="pcm_s16le")
    samples = read_audio(path)
    assert abs(len(samples) - 9600) < 40
    expected = tone(0.6, 16000)[0]
    np.testing.assert_allclose(samples[500:8500], expected[500:8500], atol=0.02)


def test_wav_that_is_an_mp3_is_read(tmp_path, tone) -> None:
    import av

    with av.open(str(tmp_path / "a.mp3"), "w") as container:
        stream = container.add_stream("libmp3lame", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(0.5, 44100), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    renamed = (tmp_path / "a.mp3").rename(tmp_path / "a.wav")
    assert abs(len(read_audio(renamed)) - 8000) < 1000


def test_late_sound_is_preceded_by_silence(tmp_path, greys, tone) -> None:
    from fractions import Fraction

    import av

    with av.open(str(tmp_path / "late.mkv"), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for index, pixels in enumerate(greys([0] * 15)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = (tone(0.2, 16000) * 32767).astype(np.int16)
        block = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        block.sample_rate, block.pts, block.time_base = 16000, 4000, Fraction(1, 16000)
        container.mux(sound.encode(block))
        container.mux(sound.encode(None))
    audio = read_audio(tmp_path / "late.mkv")
    assert np.abs(audio[:3900]).max() == 0
    assert np.abs(audio[4000:4100]).max() > 0.3


def test_video_without_sound_is_refused(tmp_path, greys, write_media) -> None:
    with pytest.raises(MediaError, match=r"no audio stream \(found: video\)"):
        read_audio(write_media(tmp_path / "v.mp4", greys([0, 0])))


def test_empty_sound_file_is_refused(tmp_path) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(MediaError, match="0 bytes"):
        read_audio(tmp_path / "a.wav")


def test_truncated_wav_is_refused(tmp_path) -> None:
    data = encode_wav(np.full(32000, 0.1, np.float32))
    (tmp_path / "a.wav").write_bytes(data[:20000])
    with pytest.raises(MediaError, match="truncated"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("form", "codec"), [("aiff", "pcm_s16be"), ("au", "pcm_s16be"), ("flac", "flac"), ("tta", "tta"), ("wv", "wavpack")]
)
def test_cut_sound_of_other_formats_is_refused(tmp_path, tone, form, codec) -> None:
    import av

    path = tmp_path / "a"
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=16000, layout="mono")
        resampler = av.AudioResampler(stream.codec_context.format.name, "mono", 16000)
        samples = tone(3.0, 16000) + np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32)
        for start in range(0, 48000, 1000):
            block = np.ascontiguousarray(samples[:, start : start + 1000], dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, start
            for piece in resampler.resample(frame):
                container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    assert len(read_audio(path)) == 48000
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match="truncated"):
        read_audio(path)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 5), np.float32), "mono samples"),
        (np.zeros(5, np.int16), "floating point"),
        (np.array([np.inf], np.float32), "not finite"),
    ],
)
def test_wrong_samples_are_refused(samples, message) -> None:
    with pytest.raises(MediaError, match=message):
        encode_wav(samples)


def test_senseless_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="sample_rate must be positive, got 0"):
        read_audio(b"x", 0)
