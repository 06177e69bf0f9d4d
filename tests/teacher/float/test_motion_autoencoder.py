"""The motion autoencoder as a codec: its latents, its start, its folder."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from fada.generation.devices import convolve_channels_last
from fada.pretrained.errors import ModelFolderError
from fada.pretrained.networks import load_network
from fada.teacher import codec as codecs
from fada.teacher.float import motion_autoencoder
from fada.teacher.float.codec_start import start_as_portrait
from fada.teacher.float.motion_autoencoder import Appearance, MotionAutoencoder

SHAPE = {"size": 32, "style_dim": 24, "motion_dim": 5, "channels": (8, 8, 8, 6), "edges": "replicated", "fills": True}


def small(**changes: object) -> MotionAutoencoder:
    torch.manual_seed(3)
    return MotionAutoencoder(**{**SHAPE, **changes}).eval().requires_grad_(False)  # type: ignore[arg-type]


def frames(count: int = 5, size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_it_is_a_codec_of_vectors() -> None:
    codec = small()
    assert isinstance(codec, codecs.Codec)
    assert codecs.is_own(codec)
    assert codecs.latent_shape(codec, 32) == (24,)
    latents = codecs.encode_frames(codec, frames())
    assert latents.shape == (5, 24)
    assert latents.dtype == torch.float32
    made = codecs.decode_latents(codec, latents, codecs.appearance_of(codec, frames()[0]))
    assert made.shape == (5, 32, 32, 3)
    assert made.dtype == np.uint8


def test_directions_are_orthonormal() -> None:
    directions = MotionAutoencoder(size=16).dec.direction()
    torch.testing.assert_close(directions.T @ directions, torch.eye(20), atol=1e-6, rtol=0)


def test_frozen_directions_are_found_once_and_again_after_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = small()
    first, calls = codec.dec.direction(), []
    monkeypatch.setattr(torch.linalg, "qr", lambda x, real=torch.linalg.qr: calls.append(1) or real(x))
    assert codec.dec.direction() is first
    assert not calls
    codec.dec.direction.weight.normal_()
    assert not torch.allclose(codec.dec.direction(), first)
    assert len(calls) == 1


def test_directions_that_learn_are_found_anew() -> None:
    codec = small().requires_grad_(True)
    codec.dec.direction().sum().backward()
    assert codec.dec.direction.weight.grad is not None


def test_a_frame_s_w_is_the_portrait_s_and_its_factors_along_the_directions() -> None:
    codec = small(scaling_factor=0.5, shift=[0.1, 0.2, 0.3, 0.4, 0.5])
    factors = codec.factors(frames())
    directions = codec.dec.direction()
    added = sum(factors[:, m, None] * directions[None, :, m] for m in range(5))
    torch.testing.assert_close(codec.motion_of(codec.encode(frames())), added)


def test_coordinates_are_the_numbers_along_the_directions_and_mean_what_vectors_mean() -> None:
    scaled = {"scaling_factor": 0.5, "shift": [0.1, 0.2, 0.3, 0.4, 0.5]}
    vectors, numbers = small(**scaled), small(**scaled, coordinates=True)
    assert numbers.latent_shape(32) == (5,)
    found = numbers.encode(frames())
    torch.testing.assert_close(found, vectors.encode(frames()) @ vectors.dec.direction())
    torch.testing.assert_close(numbers.coordinates(found), found)
    torch.testing.assert_close(numbers.motion_of(found), vectors.motion_of(vectors.encode(frames())))


def test_scaled_latents_have_no_mean_and_within_clips_unit_variance() -> None:
    codec = small()
    # Two clips, whose means lie 2 apart; a direction varies by 1, 2, ... or 5 in the first, by 3 in the second.
    spread = torch.arange(1.0, 6.0)
    clips = [torch.stack([-spread, spread]) + 1, torch.stack([-3 * torch.ones(5), 3 * torch.ones(5)]) - 1]
    codec.fit_scale(clips)
    variance = (2 * spread.square().mean() + 2 * 9) / 2
    assert codec.config.scaling_factor == pytest.approx(1 / math.sqrt(variance))
    torch.testing.assert_close(codec.latents_of(torch.cat(clips)).mean(0), torch.zeros(24), atol=1e-6, rtol=0)


def test_latents_within_reach_are_no_further_from_the_portrait() -> None:
    reach = [0.5, 1.0, 2.0, 0.25, 3.0]
    free, held = (small(coordinates=True, finds_face=True, **more) for more in ({}, {"reach": reach}))
    with torch.no_grad():
        for each in free.dec.painter.parameters():
            each.normal_(std=0.3)
        for each in free.dec.to_flows:
            each.conv.weight.normal_(std=0.1)
    held.load_state_dict(free.state_dict())
    portrait = free.appearance(frames()[0])
    own = free.factors(frames()[:1])
    asked = own + torch.tensor([[0.4, -0.9, 1.9, -0.2, 2.9], [5.0, -0.9, -7.0, 0.2, 9.0]])
    ends = own + torch.tensor([[0.4, -0.9, 1.9, -0.2, 2.9], [0.5, -0.9, -2.0, 0.2, 3.0]])
    found = held.within_reach(held.latents_of(asked), portrait)
    torch.testing.assert_close(found, held.latents_of(ends), atol=1e-4, rtol=1e-4)
    assert torch.equal(free.within_reach(free.latents_of(asked), portrait), free.latents_of(asked))
    # In bfloat16 too, where a portrait's own lambda is rounded.
    rough = held.to(torch.bfloat16)
    found = rough.within_reach(held.latents_of(asked), rough.appearance(frames()[0]))
    torch.testing.assert_close(found, held.latents_of(ends), atol=0.3, rtol=0.05)


def test_the_reach_is_what_nearly_all_pairs_of_frames_of_a_clip_keep() -> None:
    codec = small(coordinates=True, finds_face=True)
    # 99 clips whose frames are 1, 2, ... 5 apart along the directions, one in which they are ten times that.
    apart = torch.arange(1.0, 6.0)
    clips = [torch.stack([7 - apart / 2, 7 + apart / 2])] * 99 + [torch.stack([-5 * apart, 5 * apart])]
    codec.fit_reach(clips)
    # Between the 99th and the 100th of the pairs in order: a hundredth of the way.
    torch.testing.assert_close(torch.tensor(codec.config.reach), apart * 1.09, rtol=1e-3, atol=0)
    # Of three frames there are three pairs.
    codec.fit_reach([torch.tensor([[0.0], [1.0], [3.0]]).expand(3, 5)])
    torch.testing.assert_close(torch.tensor(codec.config.reach), torch.full((5,), 3 - 0.02), rtol=1e-3, atol=0)


@pytest.mark.parametrize("coordinates", [False, True])
def test_moving_along_a_direction_changes_that_coordinate_alone(coordinates: bool) -> None:
    codec = small(coordinates=coordinates)
    latents = codec.encode(frames())
    moved = codec.coordinates(codec.along(latents, 3, 0.5)) - codec.coordinates(latents)
    torch.testing.assert_close(moved, torch.tensor([0, 0, 0, 0.5, 0]).expand(5, -1), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="no direction 5; choose from 0 to 4"):
        codec.along(latents, 5, 1.0)
    with pytest.raises(ValueError, match="no direction -1"):
        codec.along(latents, -1, 1.0)


def test_a_new_codec_shows_the_portrait_whatever_the_latent() -> None:
    codec = small()
    start_as_portrait(codec)
    portrait = frames(1)[0]
    assert np.abs(codec.decode(torch.randn(3, 24), codec.appearance(portrait)).astype(int) - portrait).max() <= 1


@torch.no_grad()
def test_what_fills_is_added_to_the_picture_and_drawn_of_the_decoder_s_and_the_portrait_s_maps() -> None:
    codec = small()
    start_as_portrait(codec)
    joined: list[torch.Tensor] = []
    codec.dec.convs[1].register_forward_hook(lambda *given: joined.append(given[2]))
    codec.dec.convs[2].register_forward_pre_hook(lambda _, given: joined.append(given[0]))
    pixels, rows = torch.rand(2, 3, 32, 32) * 2 - 1, torch.tensor([0, 1])
    _, maps = codec.enc.net_app(pixels)
    before = codec.driven(pixels, rows, rows.roll(1))
    # Nothing flows yet, and masks do not matter.
    torch.testing.assert_close(joined[1], (joined[0] + maps[0]) / math.sqrt(2))
    weight = torch.randn(3, 8, 1, 1)
    codec.dec.fills[0].weight.copy_(weight)  # type: ignore[index, union-attr, operator]
    added = torch.einsum("oc,bchw->bohw", weight[:, :, 0, 0] / math.sqrt(8), joined[0])
    for _ in range(2):
        added = torch.nn.functional.interpolate(added, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(codec.driven(pixels, rows, rows.roll(1)) - before, added, atol=1e-5, rtol=1e-4)


def test_frames_of_one_pass_and_of_several_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = small()
    portrait = codec.appearance(frames()[0])
    latents = codec.encode(frames())
    whole = codec.decode(latents, portrait)
    monkeypatch.setattr(motion_autoencoder, "PASS_PIXELS", 2 * 32 * 32)
    assert codec.frames_per_pass == 2
    # On a GPU a pass of so few is mostly the starting of kernels.
    assert copy.deepcopy(codec).to("meta").frames_per_pass == 2**22 // 32**2
    torch.testing.assert_close(codec.encode(frames()), latents)
    assert np.abs(codec.decode(latents, portrait).astype(int) - whole).max() <= 1


def test_driving_both_ways_is_what_encoding_and_decoding_give() -> None:
    codec = small()
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    both = codec.driven(pixels, torch.tensor([0, 1]), torch.tensor([1, 0]))
    w, maps = codec.enc.net_app(pixels)
    motion = codec.motion_of(codec.latents_of(codec.enc.fc(w)))
    for source, driver in ((0, 1), (1, 0)):
        seen: Appearance = codec.dec.appearance(w[source, None], [each[source, None] for each in maps])
        alone = codec.dec(seen.w + motion[driver], seen)
        torch.testing.assert_close(both[source, None], alone, atol=1e-5, rtol=1e-5)


def test_every_parameter_that_learns_is_reached_by_a_loss() -> None:
    codec = MotionAutoencoder(**SHAPE)  # type: ignore[arg-type]
    codec.driven(torch.rand(2, 3, 32, 32), torch.tensor([0, 1]), torch.tensor([1, 0])).square().mean().backward()
    missed = [name for name, each in codec.named_parameters() if each.requires_grad and each.grad is None]
    assert missed == []


@pytest.mark.parametrize("finds_face", [False, True])
def test_laid_out_with_channels_last_it_is_the_same(finds_face: bool) -> None:
    codec = small(finds_face=finds_face)
    before = codec.retold(frames())
    convolve_channels_last(codec)
    assert np.abs(codec.retold(frames()).astype(int) - before).max() <= 1


@pytest.mark.parametrize("finds_face", [False, True])
def test_in_bfloat16_it_draws_nearly_the_same(finds_face: bool) -> None:
    codec = small(finds_face=finds_face)
    start_as_portrait(codec)
    if codec.dec.painter is not None:
        # As far as a flow goes that has learned something: about two pixels, and a tenth of the colours.
        for each in (codec.dec.painter.eye, codec.dec.painter.lip):
            each.drawn.weight.normal_(std=0.02)
    before = codec.retold(frames())
    assert np.abs(codec.to(torch.bfloat16).retold(frames()).astype(int) - before).max() <= 12


def test_a_saved_codec_is_found_again(tmp_path: Path) -> None:
    shift, reach = [0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0, 5.0]
    codec = small(scaling_factor=0.7, shift=shift, reach=reach, coordinates=True, finds_face=True)
    codec.save_pretrained(str(tmp_path))
    again = load_network(tmp_path, MotionAutoencoder)
    torch.testing.assert_close(again.encode(frames()), codec.encode(frames()))
    assert again.config.coordinates is True
    assert again.config.reach == reach


def test_a_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    small().save_pretrained(str(tmp_path))
    file = tmp_path / "config.json"
    file.write_text(file.read_text().replace('"motion_dim": 5', '"motion_dim": 50'))
    with pytest.raises(ModelFolderError, match="motion_dim 50 must not be above style_dim 24"):
        load_network(tmp_path, MotionAutoencoder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 48}, "size must be a power of two from 16 to 1024, got 48"),
        ({"channels": (8, 8)}, r"pictures of 32 have 4 levels \(4, 8, ...\), got 2 widths"),
        ({"motion_dim": 25}, r"motion_dim must be from 1 to style_dim \(24\), got 25"),
        ({"shift": [1.0]}, "shift must have a number for each of 5 directions, got 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"clip.size is 64, but the codec is one for pictures of 32 pixels$"):
        small().latent_shape(64)
    with pytest.raises(
        ValueError, match=r"frames must have shape \(F, 32, 32, 3\) as the codec's, got \(5, 64, 64, 3\)"
    ):
        small().encode(frames(size=64))
