"""Runs V-Express's public code on the small checkpoint and records what it answers.

    python tests/teacher/v_express/record_original.py CHECKOUT OUT.json

CHECKOUT is a clone of tencent-ailab/V-Express at 6814f7d, run in an environment of its own with diffusers 0.29.2,
transformers 4.39.2, einops 0.4.1, opencv and pyyaml. Nothing of it is changed; the VAE hands latents through, and the
audio encoder the states of the sound.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
import small_v_express as small


def main(checkout: Path, out: Path, tensors: Path | None) -> None:
    """Write the record; with `tensors` the whole tensors too."""
    sys.path.insert(0, str(checkout))
    import yaml

    settings = yaml.safe_load((checkout / "inference_v2.yaml").read_text())
    torch.set_grad_enabled(False)
    networks = build(settings["unet_additional_kwargs"])
    pipeline, seen = build_pipeline(networks, settings["noise_scheduler_kwargs"])
    answers = run_parts(pipeline) | run_denoiser(pipeline) | {"sampled": run_sampler(pipeline, seen)}
    record: dict[str, Any] = {name: small.summary(tensor) for name, tensor in answers.items()}
    record["drawn"] = run_drawing()
    out.write_text(json.dumps(record, indent=1) + "\n")
    if tensors is not None:
        torch.save(answers, tensors)


def build(additional: dict[str, Any]) -> dict[str, Any]:
    """The public networks at the small size, with the drawn weights."""
    from modules import AudioProjection, UNet2DConditionModel, UNet3DConditionModel, VKpsGuider

    base = {
        "sample_size": 64,
        "in_channels": 4,
        "block_out_channels": small.CHANNELS,
        "attention_head_dim": 8,
    }
    networks = {
        "reference_net": UNet2DConditionModel(**base, cross_attention_dim=small.TOKEN_DIM),
        "denoising_unet": UNet3DConditionModel(**base, cross_attention_dim=small.AUDIO_DIM, **additional),
        "audio_projection": AudioProjection(
            dim=small.RESAMPLER_DIM,
            depth=small.DEPTH,
            dim_head=small.HEAD_DIM,
            heads=small.HEADS,
            num_queries=small.QUERIES,
            embedding_dim=small.STATES_DIM,
            output_dim=small.AUDIO_DIM,
            ff_mult=small.WIDER,
            max_seq_len=small.STATES,
        ),
        "v_kps_guider": VKpsGuider(small.CHANNELS[0], block_out_channels=(16, 32, 96, 256)),
    }
    for name, network in networks.items():
        shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
        network.load_state_dict(small.weights(shapes, name))
    return networks


def build_pipeline(networks: dict[str, Any], scheduler: dict[str, Any]) -> tuple[Any, list[Tensor]]:
    """The public pipeline around them, and the list into which it puts the latents that it would decode."""
    from diffusers import DDIMScheduler
    from pipelines import VExpressPipeline

    inputs = small.inputs()
    seen: list[Tensor] = []

    class Pipeline(VExpressPipeline):
        def prepare_latents(self, *_: Any, **__: Any) -> Tensor:
            return inputs["noise"].transpose(0, 1)[None].clone()

        def decode_latents(self, latents: Tensor) -> Any:
            seen.append(latents)

    pipeline = Pipeline(
        vae=_LatentsThrough(inputs["reference"][None]),
        audio_processor=lambda waveform, **_: {"input_values": waveform},
        audio_encoder=_StatesThrough(inputs["states"][None]),
        scheduler=DDIMScheduler(**scheduler),
        **networks,
    )
    return pipeline, seen


def run_parts(pipeline: Any) -> dict[str, Tensor]:
    """Audio tokens (F, tokens, dim) and keypoint maps (F, C, h, w) of the conditional branch."""
    inputs = small.inputs()
    audio = pipeline.prepare_audio_embeddings(torch.zeros(1), small.VIDEO_FRAMES, 2, True)
    maps = pipeline.prepare_kps_feature(list(inputs["keypoints"]), 8 * small.HEIGHT, 8 * small.WIDTH, True)
    assert not audio[0].any()
    assert not maps[0].any()
    return {"audio_tokens": audio[1], "keypoint_maps": maps[1].transpose(0, 1)}


def run_denoiser(pipeline: Any) -> dict[str, Tensor]:
    """Banks of three sites, and predictions (F, C, h, w) of the three branches at timestep 499."""
    from modules import ReferenceAttentionControl

    reference, denoiser, parts = pipeline.reference_net, pipeline.denoising_unet, run_parts(pipeline)
    options = {"do_classifier_free_guidance": True, "batch_size": 1, "fusion_blocks": "full"}
    writer = ReferenceAttentionControl(reference, mode="write", **options)
    seen, heard = small.WEIGHTS
    reader = ReferenceAttentionControl(
        denoiser, mode="read", reference_attention_weight=seen, audio_attention_weight=heard, **options
    )
    latents = pipeline.prepare_reference_latent(torch.zeros(1, 3, 8, 8), 8, 8)
    reference(latents, timestep=0, encoder_hidden_states=torch.zeros(1, 1, small.TOKEN_DIM), return_dict=False)
    reader.update(writer, True, dtype=torch.float32)
    in_order = [
        attention.transformer_blocks[0].bank[0]
        for block in [*reference.down_blocks, reference.mid_block, *reference.up_blocks]
        for attention in getattr(block, "attentions", [])
    ]
    noise = small.inputs()["noise"][: small.FRAMES].transpose(0, 1)[None].repeat(2, 1, 1, 1, 1)
    maps = parts["keypoint_maps"][: small.FRAMES].transpose(0, 1)[None]
    tokens = parts["audio_tokens"][: small.FRAMES]
    silent, heard_tokens = (
        denoiser(
            noise,
            torch.tensor(499),
            encoder_hidden_states=torch.cat((torch.zeros_like(tokens), real)),
            kps_features=torch.cat((torch.zeros_like(maps), maps)),
            return_dict=False,
        )[0].transpose(1, 2)
        for real in (torch.zeros_like(tokens), tokens)
    )
    reader.clear()
    writer.clear()
    branches = {"rung_0": heard_tokens[0], "rung_1": silent[1], "rung_2": heard_tokens[1]}
    return branches | {f"bank_{site}": in_order[site] for site in (0, 6, 15)}


def run_sampler(pipeline: Any, seen: list[Tensor]) -> Tensor:
    """Latents (F, C, h, w) of the public pipeline's own loop over two contexts."""
    inputs = small.inputs()
    height, width = 8 * small.HEIGHT, 8 * small.WIDTH
    pipeline(
        reference_image=torch.zeros(1, 3, height, width),
        kps_images=list(inputs["keypoints"]),
        audio_waveform=torch.zeros(1),
        width=width,
        height=height,
        video_length=small.VIDEO_FRAMES,
        num_inference_steps=small.STEPS,
        guidance_scale=small.SCALE,
        context_frames=small.FRAMES,
        context_overlap=small.OVERLAP,
        reference_attention_weight=small.WEIGHTS[0],
        audio_attention_weight=small.WEIGHTS[1],
    )
    return seen[0][0].transpose(0, 1)


def run_drawing() -> list[str]:
    """The picture of keypoints (see `small.digits`)."""
    from datasets.utils import draw_kps_image

    picture = torch.from_numpy(draw_kps_image(*small.PICTURE, small.POINTS))
    return small.digits(picture.permute(2, 0, 1) / 255)


class _LatentsThrough(nn.Module):
    """A VAE whose encoder answers with the latents of the reference."""

    def __init__(self, latents: Tensor) -> None:
        super().__init__()
        self.config = types.SimpleNamespace(block_out_channels=(1, 1, 1, 1))
        self.latents, self.dtype, self.device = latents, torch.float32, torch.device("cpu")

    def encode(self, _: Tensor) -> Any:
        return types.SimpleNamespace(latent_dist=types.SimpleNamespace(mean=self.latents / 0.18215))


class _StatesThrough(nn.Module):
    """An audio encoder that answers with the states of the sound."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states

    def forward(self, _: Tensor) -> Any:
        return types.SimpleNamespace(last_hidden_state=self.states)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
