"""The pipeline: one generator behind a call and a stream, memory that does not grow with the length."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2Model

from fada.data.audio.features import AudioEncoder, LogMelEncoder, Wav2Vec2Encoder
from fada.data.audio.stream import AudioStates
from fada.data.sampling.dataset import audio_windows
from fada.diffusion.paths import NoisePath
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.generation.pipelines import FadaPipeline, open_pipeline
from fada.student.copies import student_of
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.dual_unet.unets import DenoisingUNet, ReferenceUNet
from fada.teacher.vae import new_vae

FRAMES = 12
PORTRAIT = np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)


def small_wav2vec2() -> Wav2Vec2Encoder:
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        conv_dim=(8, 8, 8, 8, 8, 8, 8), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    return Wav2Vec2Encoder(Wav2Vec2Model(config))


def student_pipeline(
    encoder: AudioEncoder | None = None, motion_frames: int = 2, windows: int = 4, **scheduling: Any
) -> FadaPipeline:
    """A student's pipeline of random weights, with zero outputs shaken so that every condition has an effect."""
    encoder = LogMelEncoder(4) if encoder is None else encoder
    shape = {"channels": (8, 16), "layers_per_block": 1, "heads": 2, "norm_groups": 4,
             "attention_levels": (False, True), "temporal_levels": (True, True)}  # fmt: skip
    torch.manual_seed(0)
    scheduler = PeRFlowScheduler(
        prediction_type="v_prediction",
        beta_schedule="linear",
        rescale_betas_zero_snr=True,
        num_windows=windows,
        **scheduling,
    )
    projection = AudioProjection(5, encoder.layers, encoder.states_dim, 16, 2, 8)
    teacher = DualUNet(
        ReferenceUNet(**shape), DenoisingUNet(**shape, audio_dim=8, max_frames=16), projection,
        NoisePath.from_config(scheduler.config),
    )  # fmt: skip
    student = student_of(teacher, "tokens", 2)
    for parameter in student.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    student.eval().requires_grad_(False)
    return FadaPipeline(
        new_vae((8, 16), 4).eval().requires_grad_(False), student.reference_unet, student.denoising_unet,
        student.audio_projection, encoder, scheduler, frames=FRAMES, motion_frames=motion_frames, size=16,
        steps=windows, is_student=True, guidance_layers=student.guidance_layers,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pipeline() -> FadaPipeline:
    return student_pipeline()


def speech(seconds: float) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, round(seconds * 16000)).astype(np.float32)


def cut(sound: np.ndarray, length: int) -> Iterator[np.ndarray]:
    return (sound[start : start + length] for start in range(0, len(sound), length))


@pytest.mark.parametrize("length", [777, 16000, 10**6])
def test_a_stream_equals_the_call_however_the_sound_is_cut(pipeline: FadaPipeline, length: int) -> None:
    # 31 frames and a part of one: two whole clips, a partial one, and sound that is too short for a frame.
    sound = speech(1.262)
    clips = list(pipeline.stream(PORTRAIT, cut(sound, length), seed=5))
    called = pipeline(PORTRAIT, sound, seed=5)
    assert [len(clip) for clip in clips] == [12, 12, 7]
    assert np.array_equal(np.concatenate(clips), called.frames)
    assert called.frames.std() > 5


def test_a_call_equals_one_encoding_of_the_whole_sound(pipeline: FadaPipeline) -> None:
    sound = speech(1.262)
    whole = pipeline.audio_encoder(torch.from_numpy(sound)[None], 31)[0]
    stream = AudioStates(pipeline.audio_encoder, cut(sound, 100), 25.0)
    for start in (0, 12, 24):
        found = stream.windows(start, 12, 2)
        assert found is not None
        torch.testing.assert_close(found, audio_windows(whole, start, 12, 2), atol=1e-5, rtol=1e-5)
    assert stream.windows(36, 12, 2) is None


def test_a_clip_comes_before_the_sound_has_ended(pipeline: FadaPipeline) -> None:
    taken = 0

    def microphone() -> Iterator[np.ndarray]:
        nonlocal taken
        for chunk in cut(speech(3.0), 640):
            taken += 1
            yield chunk

    frames = next(pipeline.stream(PORTRAIT, microphone()))
    assert len(frames) == FRAMES
    # Its own twelve frames, two of context, and one that the encoder looks ahead.
    assert taken == 15


def test_a_stream_stops_at_the_frames_asked_for(pipeline: FadaPipeline) -> None:
    endless = (np.zeros(640, np.float32) for _ in iter(int, 1))
    clips = list(pipeline.stream(PORTRAIT, endless, max_frames=14))
    assert [len(clip) for clip in clips] == [12, 2]


def test_without_motion_frames_clips_follow_one_another_too() -> None:
    clips = list(student_pipeline(motion_frames=0).stream(PORTRAIT, [speech(0.6)]))
    assert sum(len(clip) for clip in clips) == 15


def test_progress_counts_the_steps_of_all_clips(pipeline: FadaPipeline) -> None:
    seen: list[tuple[int, int]] = []
    pipeline(PORTRAIT, speech(1.0), on_step=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 12) for done in range(1, 13)]


def test_wrong_arguments_show_when_the_stream_is_made(pipeline: FadaPipeline) -> None:
    with pytest.raises(ValueError, match="guidance: got 'mine'; choose from auto"):
        pipeline.stream(PORTRAIT, [], guidance="mine")  # type: ignore[arg-type]


@pytest.mark.parametrize("chunk", [np.zeros((2, 100), np.float32), np.zeros(100, np.int16)])
def test_a_chunk_that_is_no_mono_sound_is_refused(pipeline: FadaPipeline, chunk: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a chunk must be mono float samples"):
        next(pipeline.stream(PORTRAIT, [chunk]))


def test_a_sound_shorter_than_a_frame_is_refused(pipeline: FadaPipeline) -> None:
    with pytest.raises(ValueError, match=r"audio: 0.006 s is shorter than one frame; give longer audio"):
        next(pipeline.stream(PORTRAIT, [np.zeros(100, np.float32)]))


def test_wav2vec2_in_a_stream_comes_close_to_the_whole_sound_and_does_not_depend_on_the_chunks() -> None:
    encoder = small_wav2vec2()
    pipeline, sound = student_pipeline(encoder), speech(3.0)
    first, second = (np.concatenate(list(pipeline.stream(PORTRAIT, cut(sound, n)))) for n in (500, 7000))
    called = pipeline(PORTRAIT, sound).frames
    assert np.array_equal(first, second)
    assert first.shape == called.shape
    assert np.abs(first.astype(float) - called).mean() < 2.0


def test_wav2vec2_with_all_of_the_sound_ahead_equals_the_call() -> None:
    pipeline, sound = student_pipeline(small_wav2vec2()), speech(0.9)
    clips = list(pipeline.stream(PORTRAIT, cut(sound, 640), look_ahead=10.0))
    assert np.abs(np.concatenate(clips).astype(int) - pipeline(PORTRAIT, sound).frames).max() <= 1


def held_bytes() -> int:
    """Bytes of the tensors that are alive."""
    storages = {
        each.untyped_storage().data_ptr(): each.untyped_storage().nbytes()
        for each in gc.get_objects()
        if type(each) is torch.Tensor
    }
    return sum(storages.values())


def silence(seconds: float) -> Iterator[np.ndarray]:
    return (np.zeros(640, np.float32) for _ in range(round(seconds * 25)))


def test_memory_is_flat_in_length() -> None:
    pipeline = student_pipeline(windows=1)

    def peak(seconds: float) -> int:
        """Most bytes in tensors that the stream made, of every fifth clip."""
        most = 0
        gc.freeze()  # What was there before is looked at neither for garbage nor for tensors.
        for index, _ in enumerate(pipeline.stream(PORTRAIT, silence(seconds))):
            if index % 5 == 4:
                gc.collect()
                most = max(most, held_bytes())
        gc.unfreeze()
        gc.freeze()  # As other tests have it.
        assert most > 0
        return most

    assert peak(60.0) <= 1.1 * peak(10.0)


def test_no_more_of_the_sound_is_kept_of_a_long_one() -> None:
    def peak(seconds: float) -> int:
        """Most bytes that Python and NumPy held."""
        states = AudioStates(LogMelEncoder(4), silence(seconds), 25.0)
        tracemalloc.start()
        for start in range(0, round(seconds * 25), FRAMES):
            states.windows(start, FRAMES, 2)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    peak(1.0)
    assert peak(60.0) <= 1.1 * peak(10.0)


def test_a_loaded_pipeline_samples_at_matched_points_as_the_saved_one_did(tmp_path: Path) -> None:
    made = student_pipeline(matched=True, spacing="noise_share", extra_steps="last")
    made.save_pretrained(tmp_path)
    loaded = open_pipeline(tmp_path)
    assert loaded.scheduler.windows == made.scheduler.windows
    audio = np.sin(np.arange(8000) / 30).astype(np.float32)
    latents = [each(PORTRAIT, audio, steps=6, decode=False).latents for each in (made, loaded, student_pipeline())]
    # Equal weights elsewhere in memory: on some processors products then differ in their last bits.
    torch.testing.assert_close(latents[0], latents[1], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(latents[0], latents[2], atol=1e-3)


def test_chunks_are_a_calls_frames_with_an_encoder_that_hears_the_whole_sound() -> None:
    pipeline, sound = student_pipeline(small_wav2vec2()), speech(1.262)
    made = pipeline.in_chunks(PORTRAIT, sound, seed=5)
    assert made.frames == 31
    chunks = list(made)
    assert [len(chunk.frames) for chunk in chunks] == [12, 12, 7]
    called = pipeline(PORTRAIT, sound, seed=5)
    assert np.array_equal(np.concatenate([chunk.frames for chunk in chunks]), called.frames)
    assert torch.equal(torch.cat([chunk.latents for chunk in chunks]), called.latents)
    assert (made.chunks, made.nfe) == (called.clips, called.nfe) == (3, 4)
    assert set(made.stage_seconds) == {"audio", "reference", "denoise", "decode"}
    assert made.seconds_to_first_frame > 0


def test_exactly_29_frames_of_sound_are_29_frames(pipeline: FadaPipeline) -> None:
    sound = np.zeros(29 * 640, np.float32)
    seen: list[tuple[int, int]] = []
    assert len(pipeline(PORTRAIT, sound, on_step=lambda *done: seen.append(done)).frames) == 29
    assert seen[-1] == (12, 12)
    assert sum(map(len, pipeline.stream(PORTRAIT, cut(sound, 1000)))) == 29


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_sound_that_is_not_finite_is_refused(pipeline: FadaPipeline, value: float) -> None:
    sound = speech(0.5)
    sound[100] = value
    with pytest.raises(ValueError, match="audio: holds samples that are not finite"):
        pipeline(PORTRAIT, sound)


def test_numbers_are_checked_before_anything_is_computed(pipeline: FadaPipeline) -> None:
    for make in (pipeline, pipeline.in_chunks, pipeline.stream):
        with pytest.raises(ValueError, match="audio_scale: must be a number from 0 to 100, got nan"):
            make(PORTRAIT, speech(0.5), audio_scale=float("nan"))


def test_the_type_of_a_pipeline_is_its_networks_not_its_audio_encoder_s() -> None:
    built = student_pipeline(small_wav2vec2()).to(torch.bfloat16)
    assert built.audio_encoder.dtype == torch.float32
    assert built.dtype == torch.bfloat16
