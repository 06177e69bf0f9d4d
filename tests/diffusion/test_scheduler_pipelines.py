"""PeRFlowScheduler in diffusers' own image-to-image pipeline."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, UNet2DConditionModel

from fada.diffusion.forms import student_point, student_step
from fada.diffusion.paths import NoisePath
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.diffusion.windows import Windows

# Timesteps of six steps over four windows are at times 1, 0.875, 0.75, 0.625, 0.5 and 0.25.
CASES: list[tuple[dict[str, Any], list[float]]] = [
    ({"num_inference_steps": 6, "strength": 0.5}, [0.625, 0.5, 0.25, 0.0]),
    ({"num_inference_steps": 6, "strength": 0.85}, [0.875, 0.75, 0.625, 0.5, 0.25, 0.0]),
    ({"timesteps": [999, 749, 599, 499, 399, 249], "strength": 0.7}, [0.6, 0.5, 0.4, 0.25, 0.0]),
]


@pytest.mark.parametrize(("call", "times"), CASES)
def test_img2img_starts_on_the_chord_and_follows_it(call: dict[str, Any], times: list[float]) -> None:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 8),
        layers_per_block=1,
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    parts = dict.fromkeys(("vae", "text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
    pipeline = StableDiffusionImg2ImgPipeline(
        **parts, unet=unet, scheduler=PeRFlowScheduler(), requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    clean, words = torch.randn(1, 4, 8, 8), torch.randn(1, 3, 8)
    found = pipeline(
        image=clean, prompt_embeds=words, guidance_scale=1.0, output_type="latent",
        generator=torch.Generator().manual_seed(1), **call,
    ).images  # fmt: skip

    path, windows = NoisePath(), Windows(4)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    steps = torch.tensor(times, dtype=torch.float64)[:, None]
    ends = windows.look_up(steps[0])
    z = student_point(*(path.add_noise(clean, noise, end) for end in ends), steps[0], *ends)
    for t, t_next in pairwise(steps):
        with torch.no_grad():
            answer = unet(z, path.network_timestep(t), words).sample
        z = student_step(path, z, answer, t, t_next, *windows.look_up(t))
    torch.testing.assert_close(found, z, rtol=0, atol=1e-4)
