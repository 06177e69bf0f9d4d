"""Training of the motion autoencoder: what each loss reaches, and that a resumed training is the unbroken one."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fada.data.sampling.dataset import BatchShape
from fada.data.shards.format import Sample
from fada.data.world.draw import make_clip
from fada.engine.loop import LoopSettings, fit
from fada.engine.run_log import RunLog
from fada.recipe.loading import load_recipe
from fada.studies.meta_passes import codec_cost
from fada.teacher.float.codec_losses import patches, pyramid_distance
from fada.teacher.float.codec_patches import of_patches
from fada.teacher.float.codec_start import start_as_portrait, start_from_motion
from fada.teacher.float.codec_training import CodecAndJudges, CodecObjective, CodecWeights, finish
from fada.teacher.float.frame_pairs import FramePairs
from fada.teacher.float.motion_autoencoder import MotionAutoencoder

NONE = CodecWeights(l1=0.0)
ALL = CodecWeights(1.0, 1.0, 0.5, 0.5, 5.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.1, 10.0)


@pytest.fixture(scope="module")
def held() -> FramePairs:
    clips = (make_clip(1, number, size=32, frames=6) for number in range(3))
    return FramePairs((Sample(each.key, each.meta, each.frames) for each in clips), 32, 10**9, has_boxes=True)


def module(weights: CodecWeights, starts: bool = True, finds_face: bool = False) -> CodecAndJudges:
    torch.manual_seed(2)
    codec = MotionAutoencoder(
        size=32, style_dim=16, motion_dim=4, channels=(8, 8, 8, 6), edges="replicated", in_pixels=True, fills=True,
        finds_face=finds_face,
    )  # fmt: skip
    if starts:
        start_as_portrait(codec)
    return CodecAndJudges(codec, weights, pyramid_distance)


def objective(
    held: FramePairs,
    weights: CodecWeights,
    judges_from: int = 0,
    r1_every: int = 2,
    pictures_from: int = 0,
    finds_face: bool = False,
) -> CodecObjective:
    made = module(weights, finds_face=finds_face)
    return CodecObjective(
        made, held, BatchShape(2), 5, judges_from=judges_from, r1_every=r1_every, pictures_from=pictures_from
    )


def parts(held: FramePairs, weights: CodecWeights, step: int = 0) -> dict[str, float]:
    made = objective(held, weights)
    return {name: float(value) for name, value in made.loss(made.module, step, 0).scalars.items()}


NAMES = {
    "l1": {"l1"}, "squared": {"squared"}, "perceptual": {"perceptual"},
    "component": {"component_eye", "component_lip"}, "lip_squared": {"lip_squared"},
    "adversarial": {"global_adversarial", "global_judge", "global_r1"},
    "eye_adversarial": {"eye_adversarial", "eye_judge", "eye_r1"},
    "lip_adversarial": {"lip_adversarial", "lip_judge", "lip_r1"},
    "eye_statistics": {"eye_statistics", "eye_judge", "eye_r1"},
    "lip_statistics": {"lip_statistics", "lip_judge", "lip_r1"},
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_that_is_not_zero_computes_its_own_losses_and_no_others(held: FramePairs, name: str) -> None:
    found = parts(held, replace(NONE, **{name: 0.5}))
    assert found.keys() == NAMES[name]
    assert all(value > 0 for value in found.values())


MOTION = {"eye_motion", "lip_motion", "box_motion", "boxes"}


def test_motion_is_taught_alone_at_first_from_four_times_as_many_pairs_and_then_beside_pictures(
    held: FramePairs,
) -> None:
    made = objective(held, replace(NONE, l1=1.0, motion=0.5), pictures_from=3, finds_face=True)
    alone, beside = made.loss(made.module, 2, 0), made.loss(made.module, 3, 0)
    assert alone.scalars.keys() == MOTION
    assert [len(each.keys) for each in (alone, beside)] == [8, 8]
    # All of one step's pairs are others', and those of a second process too.
    assert held.batch(5, 2, range(8)).keys == alone.keys
    assert beside.scalars.keys() == {"l1", *MOTION}
    taught = of_patches({name: beside.scalars[name] for name in MOTION})
    assert beside.total.item() == pytest.approx(0.5 * taught.item() + beside.scalars["l1"].item(), rel=1e-5)
    # Of two pairs pictures are drawn, of a new codec still ones.
    first = held.batch(5, 3, range(8)).pixels[[0, 1, 8, 9]]
    assert beside.scalars["l1"].item() == pytest.approx(float((first - first[[2, 3, 0, 1]]).abs().mean()), rel=1e-2)
    alone.total.backward()
    learned = {name.split(".")[0] for name, each in made.module.named_parameters() if each.grad is not None}
    assert learned == {"patches", "codec"}
    drawing = {name for name, each in made.module.codec.named_parameters() if each.grad is not None}
    assert {name.split(".")[0] for name in drawing} == {"motion", "dec"}
    assert all(name.startswith(("motion.", "dec.painter.")) for name in drawing)


def test_a_codec_that_reads_motion_from_w_is_not_taught_it_by_patches(held: FramePairs) -> None:
    made = objective(held, replace(NONE, l1=1.0, motion=0.5), pictures_from=3)
    found = made.loss(made.module, 0, 0)
    assert found.scalars.keys() == {"l1"}
    assert len(found.keys) == 2


@pytest.mark.parametrize("finds_face", [True, False])
def test_a_dry_run_prices_what_steps_run(held: FramePairs, finds_face: bool) -> None:
    changes = [
        "clip.size=32", "teacher.codec.style_dim=16", "teacher.codec.motion_dim=4", "teacher.codec.channels=[8,8,8,6]",
        "teacher.codec.train.batch=2", "teacher.codec.train.motion_until=0.25",
        f"teacher.codec.finds_face={str(finds_face).lower()}",
    ]  # fmt: skip
    made = objective(held, replace(NONE, l1=1.0, motion=1.0), pictures_from=1, finds_face=finds_face)

    def counted(step: int) -> int:
        with FlopCounterMode(display=False) as counter:
            made.loss(made.module, step, 0)
        return counter.get_total_flops()

    alone, beside = counted(0), counted(1)
    assert (alone < beside) is finds_face
    _, flop = codec_cost(load_recipe("tiny/float", changes))
    # Of a codec that is not taught by patches, every step draws.
    assert flop == pytest.approx(0.25 * alone + 0.75 * beside)


def test_pictures_teach_the_motion_encoder_too(held: FramePairs) -> None:
    made = objective(held, replace(NONE, l1=1.0), finds_face=True)
    # Where the decoder moves something; a new one stands still.
    for each in made.module.codec.dec.to_flows:
        each.conv.weight.data.normal_()  # type: ignore[union-attr, operator]
    made.loss(made.module, 0, 0).total.backward()
    assert made.module.codec.motion is not None
    assert float(made.module.codec.motion.motion.weight.grad.abs().sum()) > 0  # type: ignore[union-attr]


def test_motion_is_learned_from_patches(held: FramePairs) -> None:
    made = objective(held, replace(NONE, motion=1.0), pictures_from=1000, finds_face=True)
    optimiser = torch.optim.Adam(made.module.parameters(), lr=3e-3)
    told = []
    for step in range(60):
        optimiser.zero_grad()
        loss = made.loss(made.module, step, 0)
        loss.total.backward()
        optimiser.step()
        told.append({name: float(value) for name, value in loss.scalars.items()})
    last = {name: sum(each[name] for each in told[-10:]) / 10 for name in MOTION}
    assert told[0]["lip_motion"] == pytest.approx(1.0, abs=1e-3)
    assert last["lip_motion"] < 0.8
    assert last["box_motion"] < 0.5
    assert last["boxes"] < 0.3 * told[0]["boxes"]


def test_squared_errors_at_the_lips_are_those_of_their_patches(held: FramePairs) -> None:
    batch = held.batch(5, 0, range(2))
    assert batch.mouth is not None
    lips = batch.mouth.roll(2, 0)
    still, real = (patches(each, lips, 16) for each in (batch.pixels, batch.pixels.roll(2, 0)))
    found = parts(held, replace(NONE, lip_squared=0.5))
    assert found["lip_squared"] == pytest.approx(float((still - real).square().mean()), rel=1e-3)


def test_the_penalty_is_paid_in_some_steps_and_counts_as_often_as_it_is_left_out(held: FramePairs) -> None:
    made = objective(held, replace(NONE, adversarial=0.5), r1_every=4)
    with_penalty, without = (made.loss(made.module, step, 0) for step in (4, 5))
    assert "global_r1" in with_penalty.scalars
    assert "global_r1" not in without.scalars
    told = {name: float(value) for name, value in with_penalty.scalars.items()}
    expected = 0.5 * told["global_adversarial"] + told["global_judge"] + 4 * 10 * told["global_r1"]
    assert with_penalty.total.item() == pytest.approx(expected, rel=1e-5)


def test_judges_are_heeded_and_learn_from_their_step_on(held: FramePairs) -> None:
    made = objective(held, replace(NONE, l1=1.0, adversarial=0.5), judges_from=3)
    assert set(made.loss(made.module, 2, 0).scalars) == {"l1"}
    assert "global_judge" in made.loss(made.module, 3, 0).scalars


def test_codec_and_judges_each_learn_from_their_own_losses(held: FramePairs) -> None:
    batch = held.batch(5, 1, range(2))
    made = module(replace(NONE, adversarial=1.0), starts=False)
    rows = torch.arange(4)
    made(batch.pixels, {}, has_judges=True, penalty=0.0)[0].backward()
    drawn = made.codec.driven(batch.pixels, rows, rows.roll(2))
    judge = made.judges["global"]
    expected = torch.autograd.grad(
        torch.nn.functional.softplus(-judge(drawn)[0]).mean(), made.codec.dec.conv1.conv.weight
    )[0]
    torch.testing.assert_close(made.codec.dec.conv1.conv.weight.grad, expected)
    real, fake = judge(batch.pixels.roll(2, 0))[0], judge(drawn.detach())[0]
    own = torch.nn.functional.softplus(-real).mean() + torch.nn.functional.softplus(fake).mean()
    expected = torch.autograd.grad(own, judge.verdict.weight)[0]  # type: ignore[arg-type, union-attr]
    torch.testing.assert_close(judge.verdict.weight.grad, expected)  # type: ignore[union-attr]


def test_the_first_loss_of_a_new_codec_is_that_of_the_portrait_standing_still(held: FramePairs) -> None:
    batch = held.batch(5, 0, range(2))
    still = (batch.pixels - batch.pixels.roll(2, 0)).abs().mean()
    assert parts(held, replace(NONE, l1=1.0))["l1"] == pytest.approx(float(still), rel=1e-3)


def train(held: FramePairs, folder: Path, steps: int = 4, stops_after: int | None = None) -> dict[str, Tensor]:
    """Trained weights by name; stopped once on the way, as by kill -9 right after a checkpoint."""
    made = objective(held, ALL, judges_from=1, pictures_from=2, finds_face=True)
    settings = LoopSettings(steps, 1e-2, warmup=1, checkpoint_every=2, log_every=1, seed=5, ema=0.9)
    log = RunLog(folder, "codec", Console(quiet=True))

    class Killed(BaseException):
        pass

    def look(step: int, *_: object) -> None:
        if step == stops_after:
            raise Killed

    try:
        return fit(made, replace(settings, preview_every=1), Accelerator(cpu=True), folder, log, look)
    except Killed:
        return {}
    finally:
        log.close()


def test_a_training_killed_after_a_checkpoint_ends_as_the_unbroken_one_bit_for_bit(
    held: FramePairs, tmp_path: Path
) -> None:
    unbroken = train(held, tmp_path / "unbroken")
    assert train(held, tmp_path / "broken", stops_after=3) == {}
    resumed = train(held, tmp_path / "broken")
    assert unbroken.keys() == resumed.keys()
    for part in ("judges.", "patches.", "codec.motion."):
        assert any(name.startswith(part) for name in unbroken)
    for name, value in unbroken.items():
        assert torch.equal(value, resumed[name]), name


def test_what_a_finished_codec_says_of_frames_has_unit_variance_within_clips_along_its_axes(held: FramePairs) -> None:
    codec = finish(module(NONE, starts=False).codec, held)
    assert not any(each.requires_grad for each in codec.parameters())
    found = torch.stack([codec.coordinates(codec.encode(frames)) for frames in held.by_clip(512)])
    assert float(found.var(1).mean()) == pytest.approx(1.0, abs=1e-3)
    torch.testing.assert_close(found.mean((0, 1)), torch.zeros(4), atol=1e-3, rtol=0)
    assert not codec.config.reach
    within = (found - found.mean(1, keepdim=True)).flatten(0, 1)
    covariance = within.T @ within / len(within)
    torch.testing.assert_close(covariance, covariance.diagonal().diag(), atol=1e-2, rtol=0)
    assert covariance.diagonal().tolist() == sorted(covariance.diagonal().tolist(), reverse=True)


def test_a_finished_codec_that_finds_faces_has_a_reach(held: FramePairs) -> None:
    codec = finish(module(NONE, starts=False, finds_face=True).codec, held)
    clips = [codec.factors(frames) for frames in held.by_clip(2048)]
    furthest = torch.stack([(each.max(0).values - each.min(0).values) for each in clips]).max(0).values
    reach = torch.tensor(codec.config.reach)
    assert bool((reach <= furthest + 1e-6).all())
    assert bool((reach > 0.5 * furthest).all())


def test_learning_to_move_beats_standing_still() -> None:
    clips = (make_clip(1, number, size=32, frames=30, version=2) for number in range(4))
    held = FramePairs((Sample(each.key, each.meta, each.frames[::5]) for each in clips), 32, 10**9, has_boxes=False)
    made = objective(held, CodecWeights(l1=1.0, squared=1.0))
    start_from_motion(made.module.codec, held.by_clip(100))
    before = copy.deepcopy(made.module)
    optimiser = torch.optim.Adam([each for each in made.module.parameters() if each.requires_grad])
    for step in range(50):
        optimiser.param_groups[0]["lr"] = 3e-3 * min(1.0, (step + 1) / 20)
        optimiser.zero_grad()
        made.loss(made.module, step, 0).total.backward()
        optimiser.step()
    ends = [sum(made.loss(each, 1000 + step, 0).total.item() for step in range(8)) for each in (before, made.module)]
    assert ends[1] < 0.9 * ends[0]
