from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DConditionModel

from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.dual_unet.layers import Attention, TemporalTransformer
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.dual_unet.unets import Conditions, DenoisingUNet
from fada.teacher.guidance import BatchedBranches, at_branch
from fada.teacher.inputs import ClipInputs

T = torch.tensor([0.3, 0.8], dtype=torch.float64)


def predict(
    model: DualUNet, latents: torch.Tensor, conditions: Conditions, branches: tuple[int, ...]
) -> list[torch.Tensor]:
    return BatchedBranches(model, conditions, branches).predict(latents, T)


def test_branches_in_one_batched_pass_equal_one_pass_each(
    dual_unet: DualUNet, inputs: ClipInputs, latents: torch.Tensor
) -> None:
    conditions = dual_unet.prepare(inputs)
    together = predict(dual_unet, latents, conditions, (0, 1, 2))
    apart = [predict(dual_unet, latents, conditions, (branch,))[0] for branch in (0, 1, 2)]
    torch.testing.assert_close(torch.stack(together), torch.stack(apart))


def test_samples_at_their_own_branches_equal_whole_batches(
    dual_unet: DualUNet, inputs: ClipInputs, latents: torch.Tensor
) -> None:
    conditions = dual_unet.prepare(inputs)
    mixed = at_branch(dual_unet, conditions, torch.tensor([0, 1]))(latents, T)
    nothing, reference = predict(dual_unet, latents, conditions, (0, 1))
    torch.testing.assert_close(mixed, torch.stack([nothing[0], reference[1]]))


@pytest.mark.parametrize(("branch", "changes"), [(0, set()), (1, {"reference"}), (2, {"reference", "audio"})])
def test_a_branch_sees_exactly_its_conditions(
    dual_unet: DualUNet, inputs: ClipInputs, latents: torch.Tensor, branch: int, changes: set[str]
) -> None:
    before = predict(dual_unet, latents, dual_unet.prepare(inputs), (branch,))[0]
    for name in ("reference", "audio"):
        other = replace(inputs, **{name: getattr(inputs, name).flip(-1) + 1})
        # Features of the motion frames do not depend on the reference image: images pass the net one by one.
        after = predict(dual_unet, latents, dual_unet.prepare(other), (branch,))[0]
        assert (not torch.allclose(before, after)) == (name in changes)


def test_motion_frames_belong_to_every_branch(dual_unet: DualUNet, inputs: ClipInputs, latents: torch.Tensor) -> None:
    other = replace(inputs, motion=inputs.motion + 1)
    for branch in (0, 1, 2):
        before = predict(dual_unet, latents, dual_unet.prepare(inputs), (branch,))[0]
        assert not torch.allclose(before, predict(dual_unet, latents, dual_unet.prepare(other), (branch,))[0])


def test_without_motion_the_motion_frames_do_not_matter(
    dual_unet: DualUNet, inputs: ClipInputs, latents: torch.Tensor
) -> None:
    none = torch.zeros(2).bool()
    first = dual_unet.prepare(replace(inputs, has_motion=none))
    second = dual_unet.prepare(replace(inputs, has_motion=none, motion=inputs.motion + 1))
    torch.testing.assert_close(predict(dual_unet, latents, first, (2,)), predict(dual_unet, latents, second, (2,)))


def test_frames_hear_only_their_own_audio_when_temporal_layers_are_off(
    dual_unet: DualUNet, inputs: ClipInputs, latents: torch.Tensor
) -> None:
    audio = inputs.audio.clone()
    audio[:, 1] += 1
    branch = torch.tensor([2, 2])
    before = dual_unet(inputs, latents, T, branch, use_temporal=False)
    after = dual_unet(replace(inputs, audio=audio), latents, T, branch, use_temporal=False)
    changed = [not torch.allclose(before[:, frame], after[:, frame]) for frame in range(3)]
    assert changed == [False, True, False]


def test_training_call_equals_prepare_then_predict(
    dual_unet: DualUNet, inputs: ClipInputs, latents: torch.Tensor
) -> None:
    branch = torch.tensor([1, 2])
    torch.testing.assert_close(
        dual_unet(inputs, latents, T, branch), at_branch(dual_unet, dual_unet.prepare(inputs), branch)(latents, T)
    )


def test_names_and_shapes_are_those_of_stable_diffusion_where_it_has_the_layer() -> None:
    with torch.device("meta"):
        ours = DenoisingUNet()
        theirs = UNet2DConditionModel(cross_attention_dim=768)
    expected = {key: value.shape for key, value in theirs.state_dict().items()}
    found = {key: value.shape for key, value in ours.state_dict().items()}
    assert len(expected) == 686
    assert {key: found.get(key) for key in expected} == expected
    assert all("motion_modules" in key for key in set(found) - set(expected))


def test_attention_equals_diffusers_attention() -> None:
    from diffusers.models.attention_processor import Attention as Theirs

    theirs = Theirs(16, cross_attention_dim=12, heads=2, dim_head=8)
    ours = Attention(16, 2, context_dim=12)
    ours.load_state_dict(theirs.state_dict())
    hidden, context = torch.randn(2, 5, 16), torch.randn(2, 7, 12)
    torch.testing.assert_close(ours(hidden, ours.context(context)), theirs(hidden, context), atol=1e-6, rtol=1e-5)


def test_a_new_temporal_layer_changes_nothing() -> None:
    layer = TemporalTransformer(8, 2, 4, max_frames=8)
    hidden = torch.randn(6, 8, 4, 4)
    assert torch.equal(layer(hidden, 3, None), hidden)


def test_new_audio_layers_change_nothing(inputs: ClipInputs, latents: torch.Tensor) -> None:
    from fada.diffusion.paths import NoisePath
    from fada.teacher.dual_unet.unets import ReferenceUNet

    shape = {"channels": (8, 16), "layers_per_block": 1, "heads": 2, "norm_groups": 4}
    levels = {"attention_levels": (False, True), "temporal_levels": (True, True)}
    fresh = DualUNet(
        ReferenceUNet(**shape, **levels),
        DenoisingUNet(**shape, **levels, audio_dim=8, max_frames=8),
        AudioProjection(5, 1, 12, 16, 2, 8),
        NoisePath.from_config({"prediction_type": "v_prediction"}),
    ).double()
    with torch.no_grad():
        reference, audio = predict(fresh, latents, fresh.prepare(inputs), (1, 2))
    assert torch.equal(reference, audio)


def test_parts_cover_every_parameter_once(dual_unet: DualUNet) -> None:
    parts = [id(p) for part in ("reference", "spatial", "audio", "temporal") for p in dual_unet.part(part)]
    assert sorted(parts) == sorted(id(p) for p in dual_unet.parameters())


def test_unknown_part_is_refused(dual_unet: DualUNet) -> None:
    with pytest.raises(ValueError, match="no part named 'vae'; choose from reference, spatial, audio, temporal"):
        dual_unet.part("vae")


def test_audio_of_another_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(5, 12, 768\).*use the audio encoder that the model was trained with"):
        AudioProjection(5, 1, 12, 16, 2, 8)(torch.zeros(1, 3, 5, 12, 768))


def test_folder_round_trip_keeps_every_weight(dual_unet: DualUNet, tmp_path: object) -> None:
    dual_unet.denoising_unet.save_pretrained(str(tmp_path))
    again = DenoisingUNet.from_pretrained(str(tmp_path), torch_dtype=torch.float64)
    for key, value in dual_unet.denoising_unet.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)
