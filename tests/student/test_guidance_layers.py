"""CFG layers by hand: where they stand in a block, what the scales are embedded as, what a student has of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fada.student.copies import student_of
from fada.student.guidance import ScaleEmbedding, TimeGuidance
from fada.teacher.dual_unet.layers import TransformerBlock
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.hallo.attention import AudioBlock

CHANNELS, HEADS, AUDIO, TOKENS = 8, 2, 6, 5


def tripled(hidden: Tensor) -> Tensor:
    """In place of a CFG layer: what stands before it is tripled, what comes behind is not."""
    return 3 * hidden


def shaken(block: nn.Module) -> nn.Module:
    """The block in float64 with no weight at zero."""
    torch.manual_seed(0)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    return block.double()


def sinusoid(value: float) -> Tensor:
    """Of 64 numbers: 32 sines, 32 cosines, frequencies from 1 down to 1/10000 (DDPM's)."""
    angles = [value * math.exp(-math.log(10000) * number / 31) for number in range(32)]
    return torch.tensor([*map(math.sin, angles), *map(math.cos, angles)])


@torch.no_grad()
def test_a_dual_unets_guidance_comes_behind_audio_and_before_the_feed_forward() -> None:
    block = shaken(TransformerBlock(CHANNELS, HEADS, AUDIO))
    hidden, sound = torch.randn(2, TOKENS, CHANNELS).double(), torch.randn(2, 3, AUDIO).double()
    audio = block.attn2.context(sound)
    normed = block.norm1(hidden)
    expected = hidden + block.attn1(normed, block.attn1.context(normed))
    expected = 3 * (expected + block.attn2(block.norm2(expected), audio))
    expected = expected + block.ff(block.norm3(expected))
    torch.testing.assert_close(block(hidden, None, audio, tripled, (1, TOKENS))[0], expected)


@torch.no_grad()
def test_hallos_guidance_comes_behind_the_audio_of_all_regions_and_before_the_feed_forward() -> None:
    block = shaken(AudioBlock(CHANNELS, HEADS, AUDIO))
    hidden, sound = torch.randn(2, TOKENS, CHANNELS).double(), torch.randn(2, 3, AUDIO).double()
    audio = [attention.context(sound) for attention in block.attentions()]
    masks, weights = torch.rand(2, 3, TOKENS).double(), (0.5, 1.0, 2.0)
    normed = block.norm1(hidden)
    heard = hidden + block.attn1(normed, block.attn1.context(normed))
    normed = block.norm2(heard)
    for index, name in enumerate(("full", "face", "lip")):
        answer = getattr(block, f"attn2_{index}")(normed, audio[index]) * masks[:, index, :, None]
        heard = heard + weights[index] * getattr(block, f"zero_conv_{name}")(answer)
    expected = 3 * heard
    expected = expected + block.ff(block.norm3(expected))
    torch.testing.assert_close(block(hidden, audio, masks, weights, tripled), expected)


@torch.no_grad()
def test_scales_are_embedded_one_by_one_as_the_sinusoid_of_a_thousand_times_themselves() -> None:
    embedding = ScaleEmbedding(2, 64)
    for linear in embedding.climbs:
        linear.weight.copy_(torch.eye(64))
    found = embedding(torch.tensor([[1.5, 6.25]]))
    torch.testing.assert_close(found[0], torch.stack([sinusoid(1500.0), sinusoid(6250.0)]), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_the_time_embedding_gets_the_sum_of_both_scales() -> None:
    layer = TimeGuidance(2, 64)
    for factor, linear in zip((1.0, 2.0), layer.embedding.climbs, strict=True):
        linear.weight.copy_(factor * torch.eye(64))
    found = layer(torch.tensor([[1.5, 6.25]]))
    torch.testing.assert_close(found[0], sinusoid(1500.0) + 2 * sinusoid(6250.0), rtol=1e-3, atol=1e-3)


def test_a_student_hears_with_weights_of_its_own_and_looks_with_the_teachers(teacher: DualUNet) -> None:
    student = student_of(teacher, "tokens", 2)
    assert student.reference_unet is teacher.reference_unet
    own, theirs = (list(each.audio_projection.parameters()) for each in (student, teacher))
    assert all(torch.equal(left, right) for left, right in zip(own, theirs, strict=True))
    assert not {id(each) for each in own} & {id(each) for each in theirs}
