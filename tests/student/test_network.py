import pytest
import torch

from fada.student.copies import neutral_scales, student_of
from fada.student.guidance import Folded, GuidanceLayers
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.guidance import at_branch
from fada.teacher.inputs import ClipInputs

MODES = ("none", "time_embed", "layer", "tokens")
T = torch.tensor([0.3, 0.8], dtype=torch.float64)
SCALES = torch.tensor([[1.0, 1.0], [2.5, 6.5]], dtype=torch.float64)


def shaken(student: AvatarDenoiser) -> AvatarDenoiser:
    """Give the layers that start at zero something to say."""
    for parameter in () if student.guidance_layers is None else student.guidance_layers.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.5)
    return student


@pytest.mark.parametrize("mode", MODES)
def test_untouched_student_is_the_teachers_conditional_prediction_bit_for_bit(
    teacher: DualUNet, inputs: ClipInputs, latents: torch.Tensor, mode: str
) -> None:
    student = student_of(teacher, mode, 4).double()
    expected = at_branch(teacher, teacher.prepare(inputs), torch.tensor([2, 2]))(latents, T)
    # Frozen as the teacher is: torch takes other kernels, with other rounding, where weights want gradients.
    student.requires_grad_(False)
    assert torch.equal(student(inputs, latents, T, scales=SCALES), expected)


@pytest.mark.parametrize("mode", ["time_embed", "layer", "tokens"])
def test_trained_guidance_layers_answer_to_the_scales(
    teacher: DualUNet, inputs: ClipInputs, latents: torch.Tensor, mode: str
) -> None:
    student = shaken(student_of(teacher, mode, 4).double())
    neutral = student(inputs, latents, T, scales=neutral_scales(2, 2).double())
    assert not torch.allclose(neutral[1], student(inputs, latents, T, scales=SCALES)[1])


def test_tokens_are_combined_by_the_ladder(teacher: DualUNet) -> None:
    tokens = student_of(teacher, "tokens", 4).guidance_layers.scale_tokens
    nothing, reference, audio = tokens.tokens
    expected = nothing + 2.0 * (reference - nothing) + 6.5 * (audio - reference)
    torch.testing.assert_close(tokens(torch.tensor([[2.0, 6.5]]))[0], expected)


def test_pair_of_points_shares_the_conditions_of_its_clips(
    teacher: DualUNet, inputs: ClipInputs, latents: torch.Tensor
) -> None:
    student = shaken(student_of(teacher, "tokens", 4).double())
    both = student(inputs, torch.cat([latents, -latents]), T.repeat(2), scales=SCALES.repeat(2, 1))
    apart = [student(inputs, sign * latents, T, scales=SCALES) for sign in (1, -1)]
    torch.testing.assert_close(both, torch.cat(apart))


def test_shared_features_give_the_same_prediction(teacher: DualUNet, inputs: ClipInputs, latents: torch.Tensor) -> None:
    student = student_of(teacher, "tokens", 4).double()
    student.requires_grad_(False)
    shared = student(inputs, latents, T, scales=SCALES, features=teacher.features(inputs))
    assert torch.equal(shared, student(inputs, latents, T, scales=SCALES))


def test_a_fast_student_starts_from_a_balanced_one(
    teacher: DualUNet, inputs: ClipInputs, latents: torch.Tensor
) -> None:
    balanced = student_of(teacher, "none", 4).double()
    torch.nn.init.normal_(balanced.denoising_unet.conv_out.weight)
    fast = student_of(balanced, "tokens", 4).double()
    torch.testing.assert_close(fast(inputs, latents, T, scales=SCALES), balanced(inputs, latents, T))


def test_a_fast_student_that_starts_from_another_has_its_layers(teacher: DualUNet) -> None:
    first = shaken(student_of(teacher, "tokens", 4).double())
    again, other = (student_of(first, mode, 4).guidance_layers for mode in ("tokens", "layer"))
    assert all(
        torch.equal(value, again.state_dict()[name]) for name, value in first.guidance_layers.state_dict().items()
    )
    assert other.config.mode == "layer"


def test_every_audio_layer_is_followed_by_a_guidance_layer(teacher: DualUNet) -> None:
    student = student_of(teacher, "tokens", 4)
    widths = [site.proj_in.out_channels for site in student.denoising_unet.spatial_sites()]
    assert [layer.attn.to_q.in_features for layer in student.guidance_layers.layers] == widths


@pytest.mark.parametrize("mode", ["layer", "tokens"])
def test_without_a_backward_pass_guidance_is_folded_into_thin_products(
    teacher: DualUNet, inputs: ClipInputs, latents: torch.Tensor, mode: str
) -> None:
    student = shaken(student_of(teacher, mode, 1).double())
    expected = student(inputs, latents, T, scales=SCALES)
    with torch.no_grad():
        conditions = student.prepare(inputs)
        told = student.with_scales(conditions, SCALES)
        found = student(inputs, latents, T, scales=SCALES)
    assert any(isinstance(hook.keywords["guidance"], Folded) for hook in told.hooks)
    torch.testing.assert_close(found, expected)


def test_guidance_of_more_keys_than_channels_stays_plain(teacher: DualUNet, inputs: ClipInputs) -> None:
    student = student_of(teacher, "tokens", 64).double()
    with torch.no_grad():
        told = student.with_scales(student.prepare(inputs), SCALES)
    assert not any(isinstance(hook.keywords["guidance"], Folded) for hook in told.hooks)


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="no guidance mode named 'token'; choose from none, time_embed, layer, tokens"):
        GuidanceLayers("token")  # type: ignore[arg-type]


def test_no_layers_are_made_for_the_mode_that_has_none() -> None:
    with pytest.raises(ValueError, match="guidance layers of mode none are no layers: leave them out"):
        GuidanceLayers("none")


@pytest.mark.parametrize("mode", MODES)
def test_half_precision_predicts_what_full_precision_does(
    teacher: DualUNet, inputs: ClipInputs, latents: torch.Tensor, mode: str
) -> None:
    student = shaken(student_of(teacher, mode, 4).double())
    expected = student(inputs, latents, T, scales=SCALES)
    found = student.to(torch.bfloat16)(inputs, latents, T, scales=SCALES)
    assert found.dtype == torch.bfloat16
    assert (found.double() - expected).norm() < 0.1 * expected.norm()
