"""A student sampled by plain diffusers. `python examples/plain_diffusers.py OUTPUT`

A class-conditional transformer (DiT; here a tiny one with random weights) is distilled, put into diffusers' own
pipeline with `PeRFlowScheduler`, saved, opened again by diffusers, and called: of fada nothing but the scheduler is
needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DiTPipeline, DiTTransformer2DModel

import fada

NULL = 1000
"""The class of DiT that means none."""


def draw(generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Latents (4, 8, 8) of your data, and their class: here each class has a level of its own."""
    label = torch.randint(10, (), generator=generator)
    return 0.2 * torch.randn(4, 8, 8, generator=generator) + label / 5 - 1, {"class": label}


def main(folder: Path) -> None:
    """Distil, save, open and sample."""
    torch.manual_seed(0)
    transformer = DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2, sample_size=8,
        norm_num_groups=4, num_embeds_ada_norm=NULL,
    )  # fmt: skip
    # Of a released DiT: fada.NoisePath.from_config(pipeline.scheduler.config)
    path = fada.NoisePath(beta_schedule="linear", beta_start=0.0001, beta_end=0.02)
    model = fada.adapters.DiffusersDenoiser(transformer, path, {"class": ("class_labels", NULL)})
    student = fada.distill(model, draw, steps=20, batch=4, solver_steps=2, progress=False)

    vae = AutoencoderKL(block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
                        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4)  # fmt: skip
    made = DiTPipeline(student.denoiser.network, vae, student.scheduler)
    made.save_pretrained(folder)

    pipeline = DiTPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    call = {"class_labels": [3, 7], "guidance_scale": 4.0, "num_inference_steps": 6, "output_type": "np"}
    images = pipeline(**call, generator=torch.Generator().manual_seed(0)).images
    print(f"{type(pipeline.scheduler).__name__}, {pipeline.scheduler.config.num_windows} windows: {images.shape}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/plain-diffusers"))
