"""V-Express as a denoiser: frames without strong conditions, contexts, parts, encoders and inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_model import CONTEXT, NETWORK, SIDE, clip_inputs, small_model
from torch import Tensor

from fada.assembly.models import start_from
from fada.data.clips.keypoints import Keypoints, stack_keypoints
from fada.data.sampling.dataset import audio_windows as windows_of_frames
from fada.generation.chunk_loop import Told
from fada.student.copies import student_of
from fada.teacher.frame_dropout import KeptFrames
from fada.teacher.v_express.audio_projection import audio_windows
from fada.teacher.v_express.contexts import context_slices
from fada.teacher.v_express.keypoints import keypoint_pictures
from fada.teacher.v_express.model import VExpress

T = torch.tensor([0.5], dtype=torch.float64)
ALL = torch.ones(1, 4, dtype=torch.bool)
SOME = torch.tensor([[True, False, True, False]])


@pytest.fixture(scope="module")
def model() -> VExpress:
    return small_model()


@pytest.fixture(scope="module")
def noise() -> Tensor:
    return torch.randn(1, 4, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def predicted(model: VExpress, noise: Tensor, kept: KeptFrames | None, *, use_temporal: bool = False) -> Tensor:
    """Of every frame by itself (no motion modules), with the frames' strong conditions as `kept` says."""
    inputs = model.inputs_of(replace(clip_inputs(), kept=kept))
    return model(inputs, noise, T, use_temporal=use_temporal)


@torch.no_grad()
def with_zeros(model: VExpress, noise: Tensor, *, bank: bool, maps: bool) -> Tensor:
    """The same where the reference net's features, or the guider's maps, are zeros in all frames."""
    inputs = model.inputs_of(clip_inputs())
    features = [torch.zeros_like(each) for each in model.features(inputs)] if bank else None
    conditions = model.prepare(inputs, features)
    if maps:
        conditions = replace(conditions, keypoints=torch.zeros_like(conditions.keypoints))
    rows = model.expand(conditions, torch.tensor([0]), torch.tensor([2]))
    return model.evaluate(noise, T, rows, use_temporal=False)


@pytest.mark.parametrize(
    ("kept", "bank", "maps"), [(KeptFrames(SOME, ALL), True, False), (KeptFrames(ALL, SOME), False, True)]
)
def test_a_frame_that_is_not_kept_sees_zeros_in_place_of_the_condition_and_the_others_see_all(
    model: VExpress, noise: Tensor, kept: KeptFrames, bank: bool, maps: bool
) -> None:
    found, whole = predicted(model, noise, kept), predicted(model, noise, None)
    zeros = with_zeros(model, noise, bank=bank, maps=maps)
    assert float((zeros - whole).abs().min(dim=2)[0].max()) > 1e-3
    torch.testing.assert_close(found[:, ::2], whole[:, ::2])
    torch.testing.assert_close(found[:, 1::2], zeros[:, 1::2])


def test_a_frame_without_both_sees_neither(model: VExpress, noise: Tensor) -> None:
    found = predicted(model, noise, KeptFrames(SOME, SOME))
    torch.testing.assert_close(found[:, 1::2], with_zeros(model, noise, bank=True, maps=True)[:, 1::2])


def test_kept_frames_are_those_of_a_rows_clip_and_of_a_context(model: VExpress) -> None:
    kept = KeptFrames(torch.cat([SOME, ~SOME]), torch.ones(2, 4, dtype=torch.bool))
    conditions = model.prepare(model.inputs_of(replace(clip_inputs(2), kept=kept)))
    rows = conditions.expand(torch.tensor([1, 1, 0]), torch.tensor([0, 2, 1]))
    assert rows.kept is not None
    assert torch.equal(rows.kept, torch.cat([~SOME, ~SOME, SOME]))
    cut = rows.of_frames(slice(1, 3)).kept
    assert cut is not None
    assert cut.tolist() == [[True, False], [True, False], [False, True]]


def test_without_its_neighbours_a_frame_hears_and_sees_its_own_alone(model: VExpress, noise: Tensor) -> None:
    """Motion modules are what ties frames: without them another sound of frame 2 changes frame 2 alone."""
    other = clip_inputs()
    other.audio[:, 2] += 1.0
    with torch.no_grad():
        for use_temporal, changed in ((False, [2]), (True, [0, 1, 2, 3])):
            pair = [
                model(model.inputs_of(each), noise, T, use_temporal=use_temporal) for each in (clip_inputs(), other)
            ]
            differs = (pair[0] - pair[1]).abs().amax(dim=(0, 2, 3, 4)) > 1e-6
            assert differs.nonzero().flatten().tolist() == changed


def test_inputs_hold_a_windows_states_in_the_order_of_time(model: VExpress) -> None:
    states = torch.arange(4.0)[:, None, None].expand(4, 2, 3) + torch.tensor([0.0, 0.5])[None, :, None]
    inputs = model.inputs_of(replace(clip_inputs(), audio=windows_of_frames(states, 0, 4, CONTEXT)[None]))
    assert inputs.audio.shape == (1, 4, 6, 3)
    assert inputs.audio[0, 1, :, 0].tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    # V-Express's own windows of the same states, where they do not reach over an end; there its have zeros.
    theirs = audio_windows(states.flatten(0, 1)[None], 4, pad=CONTEXT)
    torch.testing.assert_close(inputs.audio[:, 1:3], theirs[:, 1:3])
    assert inputs.audio[0, 0, :, 0].tolist() == [0.0, 0.5, 0.0, 0.5, 1.0, 1.5]
    assert theirs[0, 0, :, 0].tolist() == [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]


def test_inputs_hold_keypoints_as_pictures_of_eight_pixels_per_cell(model: VExpress) -> None:
    clips = clip_inputs()
    assert clips.keypoints is not None
    found = model.inputs_of(clips).keypoints
    assert torch.equal(found, keypoint_pictures(clips.keypoints, 8 * SIDE, 8 * SIDE))
    assert found.shape == (1, 4, 3, 16, 16)


def test_inputs_without_keypoints_say_where_they_come_from(model: VExpress) -> None:
    with pytest.raises(ValueError, match=r"keypoints are missing: shard clips that have landmarks \(fada data prepare"):
        model.inputs_of(replace(clip_inputs(), keypoints=None))


def test_sound_of_another_encoder_is_refused(model: VExpress) -> None:
    clips = clip_inputs()
    inputs = model.inputs_of(replace(clips, audio=torch.cat([clips.audio, clips.audio], dim=3)))
    with pytest.raises(ValueError, match=r"have \(states, dim\) = \(6, 12\), the projection was made for \(3, 12\)"):
        model.prepare(inputs)


def test_parts_of_a_folder_say_where_they_do_not_meet(model: VExpress) -> None:
    assert [(given, wanted) for _, given, wanted in model.meetings(CONTEXT) if given != wanted] == []
    other = small_model(NETWORK.model_copy(update={"channels": (64, 32), "layers_per_block": 2, "audio_dim": 8}))
    mixed = VExpress(
        other.reference_unet, model.denoising_unet, other.audio_projection, other.keypoint_guider, model.path,
        frames=4, overlap=2,
    )  # fmt: skip
    faults = {name for name, given, wanted in mixed.meetings(2) if given != wanted}
    assert faults == {
        "reference_unet's channels",
        "reference_unet's layers_per_block",
        "audio_projection's token_dim",
        "keypoint_guider's out_channels",
        "rest of audio_projection's 3 states by frame",
    }


def test_training_starts_from_all_networks_of_a_folder(model: VExpress, tmp_path: Path) -> None:
    for name, network in model.components().items():
        network.save_pretrained(tmp_path / name)
    other = small_model()
    for parameter in other.parameters():
        parameter.data += 1.0
    start_from(other, tmp_path)
    theirs = model.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in other.state_dict().items())


def test_parts_are_all_parameters_once(model: VExpress) -> None:
    names = ("reference", "keypoints", "spatial", "audio", "temporal")
    found = [id(parameter) for name in names for parameter in model.part(name)]
    assert sorted(found) == sorted(id(parameter) for parameter in model.parameters())
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    of = {name: [named[id(parameter)] for parameter in model.part(name)] for name in names}
    assert {key.partition(".")[0] for key in of["reference"]} == {"reference_unet"}
    assert {key.partition(".")[0] for key in of["keypoints"]} == {"keypoint_guider"}
    # The paper's second stage: audio projection, the audio attention with its norm, and the motion modules.
    own = {key.split("transformer_blocks.0.")[1].partition(".")[0] for key in of["audio"] if "transformer_" in key}
    assert own == {"norm2", "attn2"}
    assert any(key.startswith("audio_projection.") for key in of["audio"])
    assert all(".motion_modules." in key for key in of["temporal"])
    assert any(".attn1_5." in key for key in of["spatial"])
    with pytest.raises(ValueError, match="no part named 'mouth'; choose from reference, keypoints, spatial"):
        model.part("mouth")


def test_a_video_is_denoised_in_as_many_contexts_as_fill_it() -> None:
    model = small_model(NETWORK.model_copy(update={"max_frames": 24, "overlap": 4}))
    expected = {None: 24, 10: 24, 24: 24, 25: 44, 44: 44, 45: 64}
    assert {total: model.chunk_frames(total, 24) for total in expected} == expected
    assert [model.passes(frames) for frames in (10, 24, 44, 64)] == [1, 1, 2, 3]
    for total in range(25, 110):
        chunk = model.chunk_frames(total, 24)
        assert chunk - 20 < total <= chunk
        assert context_slices(chunk, 24, 4)[-1].stop == chunk


@pytest.mark.parametrize(
    ("frames", "overlap", "message"),
    [
        (4, 4, "contexts of 4 frames cannot share 4; overlap is 0 to frames - 1"),
        (5, 2, "contexts of 5 frames: the motion modules number 4"),
    ],
)
def test_contexts_that_cannot_be_are_refused(model: VExpress, frames: int, overlap: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VExpress(**model.components(), path=model.path, frames=frames, overlap=overlap)


def test_a_student_shares_what_only_prepares_conditions(model: VExpress) -> None:
    student = student_of(model, "tokens", 2)
    assert isinstance(student, VExpress)
    assert student.settings() == model.settings()
    shared = {name for name in model.names if getattr(student, name) is getattr(model, name)}
    assert shared == {"reference_unet", "keypoint_guider"}


@pytest.mark.parametrize("mode", ["none", "time_embed", "layer", "tokens"])
@torch.no_grad()
def test_an_untouched_student_is_its_teachers_conditional_prediction(model: VExpress, noise: Tensor, mode: str) -> None:
    student = student_of(model, mode, 2)  # type: ignore[arg-type]
    inputs = model.inputs_of(clip_inputs())
    expected = model(inputs, noise, T)
    found = student(inputs, noise, T, scales=torch.tensor([[2.0, 5.0]]))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    if mode == "none":
        return
    for parameter in student.guidance_layers.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.5)
    found, other = (student(inputs, noise, T, scales=torch.tensor([each])) for each in ([2.0, 5.0], [1.0, 1.0]))
    assert not torch.allclose(found, other, atol=1e-3)


def of(place: float) -> Keypoints:
    """Keypoints of one frame, all of them at one place."""
    return Keypoints(torch.full((5, 2), place), torch.ones(5, dtype=torch.bool), torch.full((4,), place))


def test_a_still_portraits_keypoints_are_those_of_all_frames() -> None:
    found = Told(keypoints=of(0.5)).keypoints_of(7, 3)
    assert found is not None
    assert [tuple(each.shape) for each in found.tensors().values()] == [(3, 5, 2), (3, 5), (3, 4)]
    assert (found.points == 0.5).all()
    assert Told().keypoints_of(0, 3) is None


def test_keypoints_of_a_video_are_cut_out_and_its_last_ones_hold_behind_its_end() -> None:
    told = Told(keypoints=stack_keypoints([of(place / 10) for place in range(5)]))
    for start, frames, expected in ((0, 3, [0, 1, 2]), (3, 4, [3, 4, 4, 4]), (8, 2, [4, 4])):
        found = told.keypoints_of(start, frames)
        assert found is not None
        assert [round(10 * float(place)) for place in found.points[:, 0, 0]] == expected
        assert [round(10 * float(place)) for place in found.lip_box[:, 0]] == expected
        assert found.visible.all()
