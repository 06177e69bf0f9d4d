"""Distil an image model of your own: no recipe, no avatar. `python examples/image_model.py`, seconds on a CPU."""

import torch
from diffusers import UNet2DConditionModel

import fada

SHAPE = {"block_out_channels": (8,), "layers_per_block": 1, "norm_num_groups": 4, "attention_head_dim": 2,
         "down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",)}  # fmt: skip


def draw(generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A picture (1, 8, 8) and what it is conditioned on: a bright square in a corner, told above or below."""
    side, hidden = torch.randint(2, (2,), generator=generator).tolist()
    picture = torch.full((1, 8, 8), -1.0) + 0.1 * torch.randn(1, 8, 8, generator=generator)
    picture[:, 4 * side :, 4 * hidden :][:, :4, :4] += 2.0
    return picture, {"side": torch.eye(2)[side : side + 1]}


torch.manual_seed(0)
unet = UNet2DConditionModel(8, 1, 1, mid_block_type=None, cross_attention_dim=2, **SHAPE)
path, generator = fada.NoisePath("flow_prediction"), torch.Generator().manual_seed(0)
model = fada.adapters.DiffusersDenoiser(unet, path, {"side": ("encoder_hidden_states", 0.0)})
optimizer = torch.optim.AdamW(unet.parameters(), 3e-3)
for _ in range(80):  # Your model is trained already; this one is now.
    pictures, told = zip(*[draw(generator) for _ in range(32)], strict=True)
    clean, t = torch.stack(pictures), torch.rand(32, generator=generator).double()
    conditions = model.prepare({"side": torch.stack([each["side"] for each in told])})
    rows = model.expand(conditions, torch.arange(32), (torch.rand(32, generator=generator) > 0.1).long())
    noise = torch.randn(clean.shape, generator=generator)
    error = model.evaluate(path.add_noise(clean, noise, t), t, rows) - path.training_target(clean, noise, t)
    optimizer.zero_grad(), error.square().mean().backward(), optimizer.step()

student = fada.distill(model, draw, kind="fast", scales={"side": (1, 4)}, steps=40, batch=8, lr=2e-3, solver_steps=4)
noise, sides, scales = torch.randn(64, 1, 8, 8), {"side": torch.eye(2).repeat(32, 1)[:, None]}, {"side": 2.0}
teacher, short = (fada.sample(model, noise, sides, steps=steps, scales=scales) for steps in (25, 2))
made = student.sample(noise, sides, steps=4, scales=scales)
errors = [round(float((each - teacher).square().mean()), 4) for each in (short, made)]
print("error to 50 evaluations, of 4 undistilled: {}, of 4 distilled: {}".format(*errors))
