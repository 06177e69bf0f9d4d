"""Videos of a V-Express: contexts are denoised together, streams go one by one, evaluations are counted for one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from small_model import CONTEXT, NOISE, SIDE, keypoints, small_model
from torch import Tensor

from fada.data.audio.features import LogMelEncoder
from fada.data.clips.keypoints import stack_keypoints
from fada.data.sampling.dataset import audio_windows
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.diffusion.solvers import solve
from fada.eval.bench.systems import BenchClip
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.generation.fitting import check_parts
from fada.generation.pipelines import PIPELINES
from fada.media.image import square_resize
from fada.pretrained.errors import ModelFolderError
from fada.student.copies import student_of
from fada.studies.systems import Setting, generator
from fada.teacher.inputs import ClipInputs
from fada.teacher.v_express.model import VExpress
from fada.teacher.vae import encode_frames, new_vae

SIZE, CLIP, FRAMES, STEPS = 8 * SIDE, 4, 8, 2
"""Side of a picture; frames of a context, of which two are shared, and of a video of three; steps of a call."""
SCALES = {"reference": 1.5, "audio": 3.0}
PORTRAIT = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
SOUND = np.random.default_rng(1).uniform(-0.5, 0.5, FRAMES * 640).astype(np.float32)


def pipeline(model: VExpress, **settings: object) -> AvatarPipeline:
    torch.manual_seed(4)
    return PIPELINES["VExpressPipeline"](
        **model.components(), vae=new_vae((8, 8, 8, 8), 4).eval(), audio_encoder=LogMelEncoder(3),
        scheduler=PeRFlowScheduler(**NOISE), frames=CLIP, overlap=2, context=CONTEXT, size=SIZE, steps=STEPS,
        reference_weight=1.0, audio_weight=1.0, **{"fps": 25.0, **settings},
    )  # fmt: skip


@pytest.fixture(scope="module")
def teacher() -> AvatarPipeline:
    return pipeline(small_model())


def called(built: AvatarPipeline, frames: int = FRAMES) -> Tensor:
    sound = SOUND[: frames * 640]
    made = built(PORTRAIT, sound, keypoints=keypoints(frames), steps=STEPS, scales=SCALES, seed=7, decode=False)
    return made.latents


@torch.no_grad()
def by_hand(built: AvatarPipeline, scales: Mapping[str, float]) -> Tensor:
    """All contexts in every step: each is prepared by itself, its branches are combined, shared frames are averaged."""
    model = built.model
    reference = encode_frames(built.vae, square_resize(PORTRAIT, SIZE)[None])
    states = built.audio_encoder(torch.from_numpy(SOUND)[None], FRAMES)[0]
    noise = torch.randn(1, FRAMES, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(7))
    contexts = [slice(0, 4), slice(2, 6), slice(4, 8)]

    def predict(latents: Tensor, t: Tensor) -> Tensor:
        total, seen = torch.zeros_like(latents, dtype=torch.float64), torch.zeros(FRAMES)
        for part in contexts:
            windows = audio_windows(states, part.start, CLIP, CONTEXT)[None]
            shown = stack_keypoints([keypoints(FRAMES).of_frames(part)])
            conditions = model.prepare(model.inputs_of(ClipInputs(reference, windows, keypoints=shown)))
            rows = conditions.expand(torch.zeros(3, dtype=torch.long), torch.arange(3))
            asked = latents[:, part].expand(3, -1, -1, -1, -1)
            nothing, seen_only, heard = model.evaluate(asked, t.expand(3), rows)
            total[:, part] += (
                nothing + scales["reference"] * (seen_only - nothing) + scales["audio"] * (heard - seen_only)
            )
            seen[part] += 1
        return (total / seen[:, None, None, None]).to(latents)

    ones = torch.ones(1, dtype=torch.float64)
    return solve(predict, model.path, noise, ones, 0 * ones, STEPS, "ddim")[0]


def test_a_call_denoises_all_contexts_of_a_video_together(teacher: AvatarPipeline) -> None:
    found = called(teacher)
    assert found.shape == (FRAMES, 4, SIDE, SIDE)
    torch.testing.assert_close(found, by_hand(teacher, SCALES).float(), atol=2e-4, rtol=1e-4)


def test_a_video_that_contexts_do_not_fill_is_cut_from_one_that_they_do(teacher: AvatarPipeline) -> None:
    made = teacher(PORTRAIT, SOUND[: 7 * 640], keypoints=keypoints(7), steps=1, decode=False)
    assert (len(made.latents), made.clips) == (7, 3)


def test_a_stream_goes_context_by_context_and_equals_a_call_of_one(teacher: AvatarPipeline) -> None:
    options = {"steps": 1, "scales": SCALES, "seed": 7}
    streamed = list(teacher.stream(PORTRAIT, [SOUND], keypoints=keypoints(FRAMES), **options))
    assert [len(chunk) for chunk in streamed] == [CLIP, CLIP]
    short = SOUND[: CLIP * 640]
    (only,) = teacher.stream(PORTRAIT, [short], keypoints=keypoints(FRAMES), **options)
    assert np.array_equal(only, teacher(PORTRAIT, short, keypoints=keypoints(FRAMES), **options).frames)


def bench_clip(frames: int) -> BenchClip:
    return BenchClip("clip", "someone", PORTRAIT, SOUND[: frames * 640], keypoints=keypoints(frames))


@pytest.mark.parametrize(("frames", "contexts"), [(4, 1), (8, 3)])
def test_evaluations_are_counted_for_a_context_however_many_there_are(
    teacher: AvatarPipeline, frames: int, contexts: int
) -> None:
    torch.manual_seed(0)
    student = pipeline(student_of(teacher.model, "tokens", 2), is_student=True)
    for built, steps, nfe in ((teacher, 25, 75), (teacher, 6, 18), (student, 6, 6)):
        made = generator(built, Setting(steps, (1.5, 3.0), ("reference", "audio")))(bench_clip(frames), 0)
        assert (made.nfe, made.clips) == (nfe, contexts)


def test_a_call_without_keypoints_says_where_they_come_from(teacher: AvatarPipeline) -> None:
    with pytest.raises(ValueError, match="or generate with the keypoints of the portrait or of a driving video"):
        teacher(PORTRAIT, SOUND, steps=1)


def test_frames_behind_the_last_keypoints_and_a_still_portrait_are_generated(teacher: AvatarPipeline) -> None:
    still = keypoints(1).of_frames(0)
    made = [teacher(PORTRAIT, SOUND, keypoints=each, steps=1, decode=False).latents for each in (still, keypoints(1))]
    assert torch.equal(*made)


def test_an_encoder_that_hears_at_another_rate_than_the_videos_is_refused(teacher: AvatarPipeline) -> None:
    check_parts(teacher, "folder")
    with pytest.raises(ModelFolderError, match=r"audio_encoder's fps is 25\.0, by the other parts 30\.0"):
        check_parts(pipeline(teacher.model, fps=30.0), "folder")
