"""Networks of diffusers as denoisers: what they are told in each branch, where guidance goes in, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DiTTransformer2DModel, UNet1DModel, UNet2DConditionModel, UNet2DModel
from torch import Tensor, nn

import fada
from fada.adapters import DiffusersDenoiser
from fada.teacher.guidance import guided

PATH = fada.NoisePath()
QUICK: dict[str, Any] = {"steps": 1, "batch": 2, "solver_steps": 1, "progress": False}


class Recorded(nn.Module):
    """In place of a network: remembers its call, answers with twice the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.told: dict[str, Any] = {}

    def forward(self, sample: Tensor, timestep: Tensor, **told: Any) -> tuple[Tensor]:
        self.told = {"sample": sample, "timestep": timestep, **told}
        return (torch.cat([sample + 1, sample], dim=1),)


def test_every_branch_is_told_its_conditions_and_the_null_of_the_others() -> None:
    network = Recorded()
    model = DiffusersDenoiser(
        network, PATH,
        {"size": ("added_cond_kwargs.size", 0.0), "text": ("encoder_hidden_states", torch.full((1, 3), -1.0))},
    )  # fmt: skip
    assert model.branches == ("none", "size", "text")
    given = {"size": torch.tensor([[5.0], [6.0]]), "text": torch.ones(2, 4, 3), "mask": torch.tensor([[7], [8]])}
    rows = model.expand(model.prepare(model.inputs_of(given)), torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]))
    latents, t = torch.randn(3, 2, 4), torch.tensor([1.0, 0.5, 0.001], dtype=torch.float64)
    # Learned variances, the second half of the channels, do not count.
    assert torch.equal(model.evaluate(latents, t, rows), latents.double() + 1)
    told = network.told
    assert told["timestep"].tolist() == [999.0, 499.0, 0.0]
    assert told["added_cond_kwargs"]["size"].flatten().tolist() == [0.0, 6.0, 6.0]
    assert told["encoder_hidden_states"][:, 0, 0].tolist() == [-1.0, -1.0, 1.0]
    assert told["mask"].flatten().tolist() == [7, 8, 8]
    assert told["return_dict"] is False
    # Whatever the network computes in, it is told in that.
    assert {told["sample"].dtype, told["encoder_hidden_states"].dtype} == {torch.float64}
    assert told["mask"].dtype == torch.int64


def unet(**changes: Any) -> UNet2DConditionModel:
    torch.manual_seed(0)
    shape = {
        "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "attention_head_dim": 2,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "cross_attention_dim": 4,
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "in_channels": 2, "out_channels": 2,
    }  # fmt: skip
    return UNet2DConditionModel(8, **{**shape, **changes})


def dit() -> DiTTransformer2DModel:
    torch.manual_seed(0)
    return DiTTransformer2DModel(2, 8, 2, 4, num_layers=2, sample_size=8, norm_num_groups=4, num_embeds_ada_norm=10)


NETWORKS: dict[str, Any] = {
    "unet": (unet, {"text": ("encoder_hidden_states", 0.0)}, {"text": torch.ones(3, 4)}, (2, 8, 8), "tokens"),
    "transformer": (dit, {"class": ("class_labels", 10)}, {"class": torch.tensor(3)}, (2, 8, 8), "tokens"),
    "unet without attention": (
        lambda: UNet2DModel(8, 2, 2, block_out_channels=(8, 8), norm_num_groups=4, num_class_embeds=11,
                            down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2),
        {"class": ("class_labels", 10)}, {"class": torch.tensor(3)}, (2, 8, 8), "time_embed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", ["balanced", "fast"])
def test_students_begin_as_their_network_and_learn_of_all_its_guidance(name: str, kind: Any) -> None:
    make, conditions, told, shape, mode = NETWORKS[name]
    network = make()
    model = DiffusersDenoiser(network, PATH, conditions)
    branch = next(iter(conditions))
    data = [(torch.randn(shape), told) for _ in range(4)]
    noise, asked = torch.randn(2, *shape), {key: torch.stack([value] * 2) for key, value in told.items()}
    untrained = fada.distill(model, data, kind=kind, **{**QUICK, "lr": 0.0})
    plain = untrained.sample(noise, asked, scales={branch: 1.0})
    if kind == "fast":
        assert untrained.model.guidance_layers.config.mode == mode
        # New layers add nothing yet, whatever the scale.
        torch.testing.assert_close(untrained.sample(noise, asked, scales={branch: 7.0}), plain)
    else:
        assert not torch.allclose(untrained.sample(noise, asked, scales={branch: 7.0}), plain)
    trained = fada.distill(model, data, kind=kind, **{**QUICK, "steps": 3, "lr": 1e-2})
    scaled = [trained.sample(noise, asked, scales={branch: scale}) for scale in (1.0, 7.0)]
    assert not torch.allclose(scaled[0], scaled[1])
    # No hook is left behind.
    assert not any(module._forward_hooks for module in (*network.modules(), *trained.denoiser.modules()))


def test_guidance_is_that_of_two_calls_of_the_network() -> None:
    network = unet().eval()
    model = DiffusersDenoiser(network, PATH, {"text": ("encoder_hidden_states", 0.0)})
    z, text, t = torch.randn(2, 2, 8, 8), torch.randn(2, 3, 4), torch.tensor([0.5, 0.9], dtype=torch.float64)
    with torch.no_grad():
        conditions = model.prepare(model.inputs_of({"text": text}))
        found = guided(model, conditions, torch.tensor([[3.0], [3.0]]))(z, t)
        empty, full = (network(z, torch.tensor([499.0, 899.0]), each).sample for each in (0 * text, text))
    torch.testing.assert_close(found, empty + 3.0 * (full - empty))


def test_sequences_of_vectors_have_networks_too() -> None:
    torch.manual_seed(0)
    shape = {"extra_in_channels": 64, "block_out_channels": (32, 32, 32)}
    network = UNet1DModel(sample_size=64, in_channels=2, out_channels=2, **shape)
    model = DiffusersDenoiser(network, fada.NoisePath("flow_prediction"))
    student = fada.distill(model, [(torch.randn(2, 64), {})] * 2, **QUICK)
    assert student.sample(torch.randn(3, 2, 64)).shape == (3, 2, 64)


def test_named_sites_take_the_place_of_all_blocks() -> None:
    network = unet()
    names = DiffusersDenoiser(network, PATH).site_names
    assert len(names) == 4
    model = DiffusersDenoiser(network, PATH, sites=names[:1])
    assert model.sites().widths == (16,)


def test_the_path_of_a_scheduler_is_read_from_its_config() -> None:
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(beta_schedule="linear", prediction_type="v_prediction")
    path = fada.NoisePath.from_config(scheduler.config)
    assert (path.beta_schedule, path.beta_end, path.prediction_type) == ("linear", 0.02, "v_prediction")


def test_what_does_not_fit_is_refused() -> None:
    network = unet()
    with pytest.raises(ValueError, match="each needs a keyword of its own, got a, a"):
        DiffusersDenoiser(network, PATH, {"one": ("a", 0.0), "other": ("a", 0.0)})
    with pytest.raises(ValueError, match="UNet2DConditionModel has no module named 'middle'"):
        DiffusersDenoiser(network, PATH, sites=["middle"])
    with pytest.raises(ValueError, match=r"conv_in: Conv2d does not say its width"):
        DiffusersDenoiser(network, PATH, sites=["conv_in"]).sites()
    with pytest.raises(ValueError, match="has no transformer blocks and no one width of its time embedding"):
        DiffusersDenoiser(Recorded(), PATH).sites()
    model = DiffusersDenoiser(network, PATH, {"text": ("encoder_hidden_states", torch.zeros(7))})
    with pytest.raises(ValueError, match=r"a sample needs text; the data has no text \(got txt\)"):
        model.inputs_of({"txt": 1})
    told = model.prepare(model.inputs_of({"text": torch.ones(1, 3, 4)}))
    with pytest.raises(ValueError, match=r"text: its null \(7,\) does not fit a sample's \(3, 4\)"):
        model.expand(told, torch.tensor([0]), torch.tensor([0]))
