"""Generation in the Gaussian world: noise, steps, scales, motion frames, sound and samples against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gaussian_formulas import Formulas, combined, even_nodes
from gaussian_model import branch_means, calls_of, gaussian_student, gaussian_teacher
from torch import Tensor

from fada.data.audio.encoder import AudioEncoder
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.generation.avatar_pipeline import PipelineOutput
from fada.generation.pipelines import FadaPipeline
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.vae import new_vae

EPSILON, V, FLOW = (Formulas(form) for form in ("epsilon", "v_prediction", "flow_prediction"))
FRAMES, CONTEXT, SEED = 4, 2, 7
PORTRAIT = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
REFERENCE_SCALE, AUDIO_SCALE = 2.0, 6.5
TOTAL = 11
"""Frames: two whole chunks and one of three."""


class FrameNumbers(AudioEncoder):
    """Hears of a frame the mean of its own samples alone."""

    frames_around = 0
    layers, states_dim = 1, 6

    def fingerprint(self) -> str:
        return "numbers"

    def forward(self, audio: Tensor, frames: int) -> Tensor:
        return audio[:, : frames * 640].view(len(audio), frames, 1, 640).mean(-1, keepdim=True).expand(-1, -1, -1, 6)


def sound(frames: int = TOTAL) -> np.ndarray:
    """Every frame's samples are a tenth of its number."""
    return np.repeat(np.arange(frames) / 10, 640).astype(np.float32)


def heard(chunk: int, total: int = TOTAL) -> Tensor:
    """Windows (1, F, 5, 1, 6) that belong to a chunk's frames; beyond the sound's ends frames repeat."""
    numbers = np.arange(chunk * FRAMES, (chunk + 1) * FRAMES)[:, None] + np.arange(-CONTEXT, CONTEXT + 1)
    values = torch.from_numpy(numbers.clip(0, total - 1) / 10)
    return values[None, :, :, None, None].expand(-1, -1, -1, 1, 6)


def pipeline(model: AvatarDenoiser, is_student: bool, windows: int = 4, **config: Any) -> FadaPipeline:
    """A pipeline around Gaussian networks; the VAE is a real one, of random weights."""
    torch.manual_seed(0)
    scheduler = PeRFlowScheduler(
        **model.path.to_config(), num_windows=windows, extra_steps=config.pop("extra", "first")
    )
    shape = {"frames": FRAMES, "motion_frames": 2, "context": CONTEXT, "size": 16}
    usual = {"steps": 6, "audio_scale": AUDIO_SCALE, "reference_scale": REFERENCE_SCALE, "is_student": is_student}
    values: dict[str, Any] = {**shape, **usual, **config}
    vae = new_vae((8, 16), 4).eval().requires_grad_(False)
    vae.register_to_config(scaling_factor=1.7, shift_factor=0.1)
    return FadaPipeline(
        vae,
        model.reference_unet,
        model.denoising_unet,
        model.audio_projection,
        FrameNumbers(),
        scheduler,
        guidance_layers=model.guidance_layers,
        **values,
    )


def student_pipeline(formulas: Formulas, is_told: bool, windows: int = 4, **config: Any) -> FadaPipeline:
    return pipeline(gaussian_student(gaussian_teacher(formulas), windows, is_told), True, windows, **config)


def made(built: FadaPipeline, frames: int = TOTAL, **options: Any) -> PipelineOutput:
    for net in (built.reference_unet, built.audio_projection):
        net.__dict__.setdefault("calls", []).clear()
    built.denoising_unet.calls.clear()
    built.denoising_unet.told_motion.clear()
    return built(PORTRAIT, sound(frames), **{"seed": SEED, "decode": False, **options})


def initial_noise(chunk: int, seed: int = SEED) -> Tensor:
    """The chunk's part of one stream of numbers."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, FRAMES, 4, 8, 8, generator=generator) for _ in range(chunk + 1)][-1]


def portrait_latents(built: FadaPipeline) -> Tensor:
    """As the networks were given them; what they should be `encoded_portrait` says."""
    return built.reference_unet.__dict__["calls"][0][0].double()  # type: ignore[no-any-return]


def encoded_portrait(built: FadaPipeline) -> Tensor:
    pixels = torch.from_numpy(PORTRAIT).permute(2, 0, 1)[None].double() / 127.5 - 1
    mean = built.vae.encode(pixels.float()).latent_dist.mean
    return (mean.double() - 0.1) * 1.7


def chunk_means(built: FadaPipeline, chunk: int, latents: Tensor) -> Tensor:
    """Means (1, F, 3) of a chunk's branches: from the portrait, its sound, and the last two frames made before it."""
    before = latents[chunk * FRAMES - 2 : chunk * FRAMES][None] if chunk else None
    return branch_means(portrait_latents(built), heard(chunk, total=len(latents)), before)


def expected_latents(built: FadaPipeline, found: PipelineOutput, end: Any, scales: Tensor | None = None) -> Tensor:
    """All frames: each chunk's end from its noise and the means that its conditions say, by the frames found before."""
    scales = torch.tensor([[REFERENCE_SCALE, AUDIO_SCALE]]).double() if scales is None else scales
    parts = [
        end(initial_noise(chunk), combined(chunk_means(built, chunk, found.latents), scales))
        for chunk in range(found.clips)
    ]
    return torch.cat([part[0] for part in parts])[: len(found.latents)]


def exact(formulas: Formulas) -> Any:
    one, zero = torch.ones(1).double(), torch.zeros(1).double()
    return lambda z, means: formulas.exact_end(z, one, zero, means)


def by_ddim(formulas: Formulas, steps: int) -> Any:
    nodes = even_nodes(torch.ones(1).double(), torch.zeros(1).double(), steps)
    return lambda z, means: formulas.ddim_end(z, nodes, means)


def near(found: Tensor, expected: Tensor, within: float = 1e-4) -> None:
    torch.testing.assert_close(found.double(), expected.double(), rtol=within, atol=within)


@pytest.mark.parametrize("formulas", [EPSILON, V, FLOW], ids=lambda each: each.form)
@pytest.mark.parametrize(("is_told", "nfe"), [(True, 6), (False, 18)])
def test_six_steps_of_a_perfect_student_are_the_exact_ode_at_the_scales_asked(
    formulas: Formulas, is_told: bool, nfe: int
) -> None:
    built = student_pipeline(formulas, is_told)
    found = made(built)
    assert (found.nfe, found.clips, len(found.latents)) == (nfe, 3, TOTAL)
    near(found.latents, expected_latents(built, found, exact(formulas)))


def test_the_six_steps_lie_two_two_one_one_in_four_windows() -> None:
    for extra, times in (("first", [1, 0.875, 0.75, 0.625, 0.5, 0.25]), ("last", [1, 0.75, 0.5, 0.375, 0.25, 0.125])):
        built = student_pipeline(EPSILON, True, extra=extra)
        found = made(built)
        assert [float(call.t[0]) for call in calls_of(built)] == pytest.approx(times * 3, abs=1e-6)
        near(found.latents, expected_latents(built, found, exact(EPSILON)))


def test_a_fast_student_is_told_reference_before_audio_once_a_step_on_the_full_branch() -> None:
    built = student_pipeline(EPSILON, True)
    made(built)
    assert len(calls_of(built)) == 18
    for call in calls_of(built):
        assert (call.branches, call.clips) == ([2], [0])
        near(call.scales, torch.tensor([[REFERENCE_SCALE, AUDIO_SCALE]]), 1e-6)
    made(built, reference_scale=3.0, audio_scale=5.0)
    near(calls_of(built)[0].scales, torch.tensor([[3.0, 5.0]]), 1e-6)
    made(built, reference_scale=3.0)
    near(calls_of(built)[0].scales, torch.tensor([[3.0, AUDIO_SCALE]]), 1e-6)


def test_other_scales_of_a_call_are_those_of_the_samples() -> None:
    for is_told in (True, False):
        built = student_pipeline(V, is_told)
        found = made(built, reference_scale=3.0, audio_scale=1.5)
        near(found.latents, expected_latents(built, found, exact(V), torch.tensor([[3.0, 1.5]]).double()))


def test_a_balanced_student_runs_the_branches_that_its_scales_need_in_one_pass() -> None:
    built = student_pipeline(EPSILON, False)
    for scales, branches in (((2.0, 6.5), [0, 1, 2]), ((3.0, 3.0), [0, 2]), ((1.0, 4.0), [1, 2]), ((1.0, 1.0), [2])):
        found = made(built, reference_scale=scales[0], audio_scale=scales[1])
        assert {tuple(call.branches) for call in calls_of(built)} == {tuple(branches)}
        assert found.nfe == 6 * len(branches)
        near(found.latents, expected_latents(built, found, exact(EPSILON), torch.tensor([scales]).double()))


@pytest.mark.parametrize("is_told", [True, False])
def test_without_guidance_a_student_is_asked_plainly_at_the_full_branch(is_told: bool) -> None:
    built = student_pipeline(EPSILON, is_told)
    found = made(built, guidance="none")
    assert all(call.scales is None and call.branches == [2] for call in calls_of(built))
    assert found.nfe == 6
    near(found.latents, expected_latents(built, found, exact(EPSILON), torch.ones(1, 2).double()))


def test_a_student_that_is_told_its_scales_can_be_guided_outside_too() -> None:
    built = student_pipeline(EPSILON, True)
    found = made(built, guidance="ladder")
    assert all(call.scales is None and call.branches == [0, 1, 2] for call in calls_of(built))
    near(found.latents, expected_latents(built, found, exact(EPSILON)))


@pytest.mark.parametrize("formulas", [EPSILON, V, FLOW], ids=lambda each: each.form)
def test_a_teacher_takes_even_ddim_steps_from_noise_to_data(formulas: Formulas) -> None:
    built = pipeline(gaussian_teacher(formulas), False, steps=7)
    found = made(built)
    assert found.nfe == 21
    nodes = even_nodes(torch.ones(1).double(), torch.zeros(1).double(), 7)
    assert [float(call.t[0]) for call in calls_of(built)] == pytest.approx([float(t) for t in nodes[:-1]] * 3, abs=1e-6)
    near(found.latents, expected_latents(built, found, by_ddim(formulas, 7)))


def test_a_teachers_solver_is_the_one_asked_and_its_error_falls_by_its_order() -> None:
    built = pipeline(gaussian_teacher(EPSILON), False)
    errors: dict[str, list[float]] = {}
    for solver in ("ddim", "dpmpp_2m"):
        for steps in (20, 40):
            found = made(built, frames=FRAMES, solver=solver, steps=steps, spacing="log_snr")
            best = expected_latents(built, found, exact(EPSILON))
            errors.setdefault(solver, []).append(float((found.latents - best).abs().max()))
    assert errors["ddim"][0] / errors["ddim"][1] == pytest.approx(2.0, abs=0.2)
    assert errors["dpmpp_2m"][0] / errors["dpmpp_2m"][1] == pytest.approx(4.0, abs=0.5)
    nodes = even_nodes(torch.ones(1).double(), torch.zeros(1).double(), 9)
    found = made(built, solver="dpmpp_2m", steps=9)
    near(found.latents, expected_latents(built, found, lambda z, means: EPSILON.second_order_end(z, nodes, means)))


@pytest.mark.parametrize("spacing", ["noise_share", "log_snr"])
def test_a_teachers_steps_are_equal_parts_of_the_clock_asked(spacing: str) -> None:
    built = pipeline(gaussian_teacher(EPSILON), False)
    found = made(built, frames=FRAMES, spacing=spacing)
    grid = torch.arange(1, 1001).double() / 1000
    a, c = EPSILON.levels(grid)
    clock = torch.log(c / a) if spacing == "log_snr" else c / (a + c)
    wanted = [clock[-1] + number / 6 * (clock[0] - clock[-1]) for number in range(6)]
    nodes = [grid[clock <= share + 1e-12].max() for share in wanted]
    assert [float(call.t[0]) for call in calls_of(built)] == pytest.approx([float(t) for t in nodes], abs=1e-6)
    every = [*(node[None] for node in nodes), torch.zeros(1).double()]
    near(found.latents, expected_latents(built, found, lambda z, means: EPSILON.ddim_end(z, every, means)))


def test_every_chunk_has_noise_of_its_own_that_depends_on_the_seed_alone() -> None:
    built = student_pipeline(EPSILON, True)
    noises = []
    for options in ({}, {"steps": 4}, {"guidance": "ladder"}, {"audio_scale": 3.0}, {"frames": 9}):
        made(built, **options)
        calls = calls_of(built)
        per_chunk = len(calls) // 3
        noises.append(torch.cat([calls[number * per_chunk].latents[:1] for number in range(3)]))
        assert torch.equal(noises[-1].float(), torch.cat([initial_noise(chunk) for chunk in range(3)]))
    assert all(torch.equal(noises[0], each) for each in noises)
    made(built, seed=8)
    assert torch.equal(calls_of(built)[0].latents.float(), initial_noise(0, seed=8))
    flat = noises[0].flatten(1)
    assert float((flat @ flat.T / flat.shape[1]).fill_diagonal_(0).abs().max()) < 0.15


def test_a_chunk_begins_with_the_last_frames_of_the_one_before_and_the_first_with_none() -> None:
    built = student_pipeline(EPSILON, True)
    found = made(built)
    told = built.denoising_unet.told_motion
    assert len(told) == 3
    motion, has_motion = told[0]
    assert has_motion.tolist() == [False]
    assert torch.equal(motion, torch.zeros(1, 2, 4, 8, 8))
    for chunk in (1, 2):
        motion, has_motion = told[chunk]
        assert has_motion.tolist() == [True]
        near(motion[0], found.latents[chunk * FRAMES - 2 : chunk * FRAMES], 1e-6)


def test_a_model_without_motion_frames_is_given_none() -> None:
    built = student_pipeline(EPSILON, True, motion_frames=0)
    made(built)
    assert [told for told in built.denoising_unet.told_motion if told != (None, None)] == []


def test_each_frame_hears_its_own_sound_with_its_neighbours() -> None:
    built = student_pipeline(EPSILON, True)
    made(built)
    calls = built.audio_projection.__dict__["calls"]
    assert len(calls) == 3
    for chunk, windows in enumerate(calls):
        near(windows, heard(chunk), 1e-5)


def test_the_portrait_is_seen_once_a_chunk_as_its_scaled_latents() -> None:
    built = student_pipeline(EPSILON, True)
    made(built)
    calls = built.reference_unet.__dict__["calls"]
    assert len(calls) == 3
    expected = encoded_portrait(built)
    for reference, _ in calls:
        # The encoder may run in bfloat16.
        assert float((reference - expected).std() / expected.std()) < 0.02
        assert abs(float((reference - expected).mean())) < 0.01


def test_frames_that_are_asked_for_are_the_first_of_the_video_and_the_last_chunk_is_trimmed() -> None:
    built = student_pipeline(EPSILON, True)
    whole = made(built)
    part = made(built, max_frames=6)
    assert (len(part.latents), part.clips) == (6, 2)
    near(part.latents[:4], whole.latents[:4], 1e-6)
    # Frames behind the last are not heard: the sound ends with it, and repeats.
    near(built.audio_projection.__dict__["calls"][1], heard(1, total=6), 1e-5)


@pytest.mark.parametrize("overlap", [False, True])
def test_chunks_streams_and_calls_are_the_same_video(overlap: bool) -> None:
    built = student_pipeline(EPSILON, True)
    called = made(built, decode=True)
    chunks = list(built.in_chunks(PORTRAIT, sound(), seed=SEED, overlap=overlap))
    assert [len(chunk.frames) for chunk in chunks] == [4, 4, 3]
    assert torch.equal(torch.cat([chunk.latents for chunk in chunks]), called.latents)
    assert np.array_equal(np.concatenate([chunk.frames for chunk in chunks]), called.frames)
    streamed = list(built.stream(PORTRAIT, iter(np.split(sound(), 11)), seed=SEED, overlap=overlap))
    assert np.array_equal(np.concatenate(streamed), called.frames)
    pixels = built.vae.decode(called.latents / 1.7 + 0.1).sample
    expected = ((pixels + 1) * 127.5).round().clamp(0, 255).permute(0, 2, 3, 1)
    assert float((expected - torch.from_numpy(called.frames)).abs().max()) <= 1


def test_steps_are_counted_over_all_chunks() -> None:
    seen: list[tuple[int, int]] = []
    made(student_pipeline(EPSILON, True), on_step=lambda *told: seen.append(told))
    assert seen == [(done, 18) for done in range(1, 19)]


def test_a_consistent_student_without_noise_jumps_along_the_ode() -> None:
    built = pipeline(gaussian_student(gaussian_teacher(EPSILON), 4, True), True, gamma=0.0, steps=4)
    found = made(built)
    near(found.latents, expected_latents(built, found, exact(EPSILON)))
    assert [float(call.t[0]) for call in calls_of(built)[:4]] == pytest.approx([1.0, 0.75, 0.5, 0.25], abs=1e-6)


@pytest.mark.parametrize("seed", [SEED, 0])
def test_a_consistent_students_fresh_noise_is_neither_the_initial_one_nor_alike_in_chunks(seed: int) -> None:
    built = pipeline(gaussian_student(gaussian_teacher(EPSILON), 4, True), True, gamma=0.3, steps=4)
    first, second = made(built, seed=seed), made(built, seed=seed)
    assert torch.equal(first.latents, second.latents)
    calls = calls_of(built)
    initial = torch.cat([initial_noise(chunk, seed) for chunk in range(3)])
    assert torch.equal(torch.cat([calls[4 * chunk].latents for chunk in range(3)]).float(), initial)
    added = torch.cat([_added(calls[index].latents, calls[index + 1].latents, calls[index]) for index in (0, 4, 8)])
    assert float(added.std()) == pytest.approx(1.0, abs=0.06)
    flat = torch.cat([added.flatten(1), initial.flatten(1)])
    assert float((flat @ flat.T / flat.shape[1]).fill_diagonal_(0).abs().max()) < 0.15


def _added(z: Tensor, following: Tensor, call: Any) -> Tensor:
    """The noise between two jumps: from s = 0.7 * 0.75 back to 0.75."""
    t, s, start = (torch.tensor([value]).double() for value in (0.75, 0.525, 1.0))
    prediction = EPSILON.perfect_student(z, start, start, t, call.means)
    (a_s, c_s), (a_t, c_t) = EPSILON.levels(s), EPSILON.levels(t)
    slope, gain = EPSILON.line(start, s)
    landed = slope * z + gain * prediction
    keep = a_t / a_s
    return (following - keep * landed) / (c_t**2 - (keep * c_s) ** 2).sqrt()
