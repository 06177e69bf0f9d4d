"""What reaches FLOAT's transformer from outside: guidance layers, a student's time, emotions that are left out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import small_float as small
import torch
from torch import Tensor

from fada.diffusion.paths import NoisePath
from fada.recipe.errors import RecipeError
from fada.recipe.loading import load_recipe
from fada.teacher.float.model import Float
from fada.teacher.float.transformer import VectorField
from fada.teacher.inputs import ClipInputs

NOW, LATER = torch.tensor([0.6]).double(), torch.tensor([0.3]).double()


def clip(emotion: Tensor | None) -> ClipInputs:
    given = small.inputs()
    return ClipInputs(
        given["reference"][None], given["states"][None, :, None], given["motion"][None], torch.tensor([True]),
        emotion=emotion, motion_audio=given["motion_states"][None, :, None],
    )  # fmt: skip


def rows(model: Float) -> Any:
    inputs = model.inputs_of(clip(small.inputs()["emotion"][None]))
    return model.expand(model.prepare(inputs), torch.zeros(1, dtype=torch.long), torch.tensor([2]))


def answer(model: Float, conditions: Any, t: Tensor = NOW) -> Tensor:
    return model.evaluate(small.inputs()["noise"][None], t, conditions)


@torch.no_grad()
def test_every_block_is_told_what_its_own_guidance_layer_makes_of_the_conditions(model: Float) -> None:
    plain, called = rows(model), []

    def hook(number: int) -> Any:
        def change(told: Tensor) -> Tensor:
            called.append(number)
            assert torch.equal(told, plain.told)
            return told + number * 0.1

        return change

    hooked = replace(plain, hooks=[hook(number) for number in range(small.DEPTH)])
    found = answer(model, hooked)
    assert called == [0, 1]
    assert not torch.allclose(found, answer(model, replace(plain, hooks=[hook(0), hook(0)])))
    # The same by hand: each block told something else, by its own modulation's bias.
    for number, block in enumerate(model.vector_field.blocks):
        block.register_forward_pre_hook(lambda _, given, by=number * 0.1: (given[0], given[1] + by, *given[2:]))
    torch.testing.assert_close(found, answer(model, plain))


@torch.no_grad()
def test_what_is_added_to_the_time_counts_as_time(model: Float) -> None:
    plain, embed = rows(model), model.vector_field.t_embedder
    difference = embed((1 - LATER).float()) - embed((1 - NOW).float())
    torch.testing.assert_close(answer(model, replace(plain, time=difference)), answer(model, plain, LATER))
    assert not torch.allclose(answer(model, plain), answer(model, plain, LATER))


@torch.no_grad()
def test_under_cross_attention_frames_are_told_by_attention_alone() -> None:
    field = VectorField(small.LATENT, small.DIM, small.DEPTH, small.HEADS, audio_dim=8, conditioning="cross_attention")
    state = small.weights({key: each.shape for key, each in field.state_dict().items()}, "cross.")
    field.load_state_dict(state, strict=False)
    generator = torch.Generator().manual_seed(0)
    noise, told, other = (
        torch.randn(1, 6, width, generator=generator) for width in (small.LATENT, small.DIM, small.DIM)
    )
    motion = torch.zeros(1, 0, small.DIM)
    heard, changed = (field(noise, torch.tensor([0.4]), each, motion) for each in (told, other))
    assert not torch.allclose(heard, changed)
    for block in field.blocks:
        block.cross.proj.weight.zero_()  # type: ignore[operator, union-attr]
    heard, changed = (field(noise, torch.tensor([0.4]), each, motion) for each in (told, other))
    assert torch.equal(heard, changed)


@torch.no_grad()
@pytest.mark.parametrize("prediction", ["flow_prediction", "v_prediction", "epsilon", "sample"])
def test_a_relative_network_sees_and_answers_differences_from_the_portrait(model: Float, prediction: Any) -> None:
    path = NoisePath(prediction)
    plain, given = Float(model.vector_field, model.audio_projection, path), clip(small.inputs()["emotion"][None])
    portrait, t = given.reference, torch.tensor([0.6])
    assert given.motion is not None
    inputs = plain.inputs_of(replace(given, motion=given.motion - portrait[:, None]))
    pick = torch.zeros(1, dtype=torch.long), torch.tensor([2])
    signal = 0.4 if path.is_flow else float(path.alpha_bar(t).sqrt())
    noise = math.sqrt(1 - signal**2)
    taken = {"flow_prediction": -1.0, "v_prediction": -noise, "epsilon": 0.0, "sample": 1.0}[prediction]
    latents = small.inputs()["noise"][None]
    told = plain.expand(plain.prepare(inputs), *pick)
    expected = plain.evaluate(latents - signal * portrait[:, None], t, told, shows_motion=True)
    expected += portrait[:, None] * torch.tensor([1.0] * 3 + [taken] * 8)[None, :, None]

    model.vector_field.register_to_config(relative=True)
    relative = Float(model.vector_field, model.audio_projection, path)
    told = relative.expand(relative.prepare(relative.inputs_of(given)), *pick)
    torch.testing.assert_close(relative.evaluate(latents, t, told, shows_motion=True), expected)
    torch.testing.assert_close(relative.evaluate(latents, t, told), expected[:, 3:])
    # What stands for motion frames that there are none of is the portrait.
    none = relative.prepare(relative.inputs_of(replace(given, has_motion=torch.tensor([False]))))
    torch.testing.assert_close(none.motion, model.vector_field.embed_motion(torch.zeros_like(given.motion)))


def test_an_emotion_that_is_not_used_is_zeros_whatever_clips_have(model: Float) -> None:
    with pytest.raises(ValueError, match="FLOAT is told of the emotion, but the clips have none"):
        model.inputs_of(clip(None))
    field = VectorField(small.LATENT, small.DIM, 1, audio_dim=small.LATENT, uses_emotion=False)
    without = Float(field, model.audio_projection, NoisePath("flow_prediction"))
    for emotion in (None, small.inputs()["emotion"][None]):
        assert torch.equal(without.inputs_of(clip(emotion)).emotion, torch.zeros(1, 7))


def test_recipes_whose_networks_leave_emotions_out_ask_no_clips_for_them() -> None:
    off = ["data.world.emotion=false", "data.world.from_rest=false"]
    with pytest.raises(RecipeError, match=r"data\.world\.emotion: FLOAT is given an emotion; set it to true"):
        load_recipe("tiny/float", off)
    without = load_recipe("tiny/float", [*off, "teacher.network.uses_emotion=false"])
    assert without.teacher.conditions == frozenset()
    assert load_recipe("tiny/float").teacher.conditions == frozenset({"emotion"})
