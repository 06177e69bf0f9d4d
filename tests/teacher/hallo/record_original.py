"""Runs Hallo's public code on the small checkpoint and records what it answers.

    python tests/teacher/hallo/record_original.py CHECKOUT OUT.json

CHECKOUT is a clone of fudan-generative-vision/hallo at 8fd7c57, run in an environment of its own with diffusers 0.27.2
and einops. Two things stand in for what a test cannot have: an empty `xformers` (imported, never called), and a VAE
that hands latents through. One thing is changed: `ReferenceAttentionControl.update` keeps the bank in float32, where
the public code rounds it to float16 whatever the weights; `bank_in_float16` records what that is worth.
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
import small_checkpoint as small


def main(checkout: Path, out: Path, tensors: Path | None) -> None:
    """Write the record; with `tensors` the whole tensors too."""
    sys.path.insert(0, str(checkout))
    import diffusers  # noqa: F401  (looks for xformers by itself, and must not find the stand-in)

    sys.modules["xformers"], sys.modules["xformers.ops"] = types.ModuleType("xformers"), types.ModuleType("ops")
    from hallo.models.mutual_self_attention import ReferenceAttentionControl

    torch.set_grad_enabled(False)
    networks = build()
    answers: dict[str, Tensor] = {}
    for name, dtype in (("bank_in_float16", torch.float16), ("released", torch.float32)):
        ReferenceAttentionControl.update.__defaults__ = (dtype,)
        branches, banks = run_denoiser(networks)
        if dtype == torch.float16:
            answers[name] = branches[2]
    answers |= {"audio_tokens": networks["audioproj"](small.inputs()["audio"][None])[0]}
    answers |= {f"bank_{site}": bank for site, bank in banks.items()}
    answers |= {f"rung_{index}": branch for index, branch in enumerate(branches)}
    answers["sampled"] = run_sampler(networks)
    fix_tiling()
    fixed, _ = run_denoiser(networks, fixed=True)
    answers |= {f"fixed_rung_{index}": branch for index, branch in enumerate(fixed)}
    record = {name: small.summary(tensor) for name, tensor in answers.items()}
    out.write_text(json.dumps(record, indent=1) + "\n")
    if tensors is not None:
        torch.save(answers, tensors)


def build() -> dict[str, Any]:
    """The public networks at the small size, in the state in which the public script runs them."""
    from hallo.models.audio_proj import AudioProjModel
    from hallo.models.face_locator import FaceLocator
    from hallo.models.image_proj import ImageProjModel
    from hallo.models.unet_2d_condition import UNet2DConditionModel
    from hallo.models.unet_3d import UNet3DConditionModel

    base = {
        "sample_size": 64,
        "in_channels": 4,
        "block_out_channels": small.CHANNELS,
        "cross_attention_dim": small.TOKEN_DIM,
        "attention_head_dim": 8,
    }
    motion = {
        "num_attention_heads": 8,
        "num_transformer_block": 1,
        "attention_block_types": ["Temporal_Self", "Temporal_Self"],
        "temporal_position_encoding": True,
        "temporal_position_encoding_max_len": 32,
        "temporal_attention_dim_div": 1,
    }
    denoiser = UNet3DConditionModel(
        **base,
        out_channels=4,
        mid_block_type="UNetMidBlock3DCrossAttn",
        use_inflated_groupnorm=True,
        unet_use_cross_frame_attention=False,
        unet_use_temporal_attention=False,
        use_motion_module=True,
        motion_module_resolutions=[1, 2, 4, 8],
        motion_module_mid_block=True,
        motion_module_type="Vanilla",
        motion_module_kwargs=motion,
        use_audio_module=True,
        audio_attention_dim=small.AUDIO_DIM,
        stack_enable_blocks_name=["up", "down", "mid"],
        stack_enable_blocks_depth=[0, 1, 2, 3],
    )
    reference = UNet2DConditionModel(**base).eval()
    for network in (reference, denoiser):
        # SD 1.5's config.json has it; the public constructors do not take it.
        network.register_to_config(center_input_sample=False)
    networks = {
        "reference_unet": reference,
        "denoising_unet": denoiser,
        "face_locator": FaceLocator(conditioning_embedding_channels=small.CHANNELS[0]),
        "imageproj": ImageProjModel(small.TOKEN_DIM, small.FACE_DIM, small.FACE_TOKENS),
        "audioproj": AudioProjModel(
            small.WINDOW, small.LAYERS, small.STATES_DIM, small.HIDDEN, small.AUDIO_DIM, small.AUDIO_TOKENS
        ),
    }
    for name, network in networks.items():
        shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
        missing, unexpected = network.load_state_dict(small.weights(shapes, f"{name}."), strict=False)
        assert not unexpected
        assert all(key.endswith(".pe") for key in missing), missing
    networks["reference_unet"].enable_gradient_checkpointing()
    networks["denoising_unet"].enable_gradient_checkpointing()
    return networks


def conditions(networks: dict[str, Any]) -> dict[str, Any]:
    """What the public pipeline makes of a clip's inputs with guidance on: null branch first."""
    inputs = small.inputs()
    embedding = inputs["face_embedding"][None]
    face = torch.cat([networks["imageproj"](each) for each in (torch.zeros_like(embedding), embedding)])
    located = networks["face_locator"](inputs["face_region"][None, :, None].repeat(1, 1, small.FRAMES, 1, 1))
    audio = networks["audioproj"](inputs["audio"][None])
    masks = [inputs[f"mask_{level}"].flatten(1) for level in range(4)]
    regions = [[mask[region].repeat(2 * small.FRAMES, 1) for mask in masks] for region in range(3)]
    return {
        "images": torch.cat([inputs["reference"][None], inputs["motion"]]),
        "face": face,
        "located": torch.cat([torch.zeros_like(located), located]),
        "audio": torch.cat([torch.zeros_like(audio), audio]),
        "regions": dict(zip(("full_mask", "face_mask", "lip_mask"), regions, strict=True)),
    }


def run_denoiser(networks: dict[str, Any], fixed: bool = False) -> tuple[list[Tensor], dict[int, Tensor]]:
    """Predictions (F, C, h, w) of the three branches at timestep 499, and the bank of three sites."""
    from hallo.models.mutual_self_attention import ReferenceAttentionControl

    given = conditions(networks)
    reference, denoiser = networks["reference_unet"], networks["denoising_unet"]
    options = {"do_classifier_free_guidance": True, "batch_size": 1, "fusion_blocks": "full"}
    writer = ReferenceAttentionControl(reference, mode="write", **options)
    reader = ReferenceAttentionControl(denoiser, mode="read", **options)
    face = given["face"]
    # The writer repeats its tokens along the rows; given one set per row, it repeats them once.
    tokens = face.repeat_interleave(1 + small.MOTION_FRAMES, dim=0) if fixed else face
    reference(given["images"].repeat(2, 1, 1, 1), torch.zeros(()), encoder_hidden_states=tokens, return_dict=False)
    reader.update(writer)
    in_order = [
        attention.transformer_blocks[0].bank[0]
        for block in [*reference.down_blocks, reference.mid_block, *reference.up_blocks]
        for attention in getattr(block, "attentions", [])
    ]
    noise = small.inputs()["noise"].transpose(0, 1)[None].repeat(2, 1, 1, 1, 1)
    half_heard = given["audio"] * 0
    answers = [
        denoiser(
            noise,
            torch.tensor(499),
            encoder_hidden_states=face,
            mask_cond_fea=given["located"],
            audio_embedding=audio,
            motion_scale=small.REGION_WEIGHTS,
            return_dict=False,
            **given["regions"],
        )[0].transpose(1, 2)
        for audio in (half_heard, given["audio"])
    ]
    reader.clear()
    writer.clear()
    return [answers[1][0], answers[0][1], answers[1][1]], {site: in_order[site] for site in (0, 6, 15)}


def run_sampler(networks: dict[str, Any]) -> Tensor:
    """Latents (F, C, h, w) of the public pipeline's own loop."""
    from diffusers import DDIMScheduler
    from hallo.animate.face_animate import FaceAnimatePipeline

    given, inputs = conditions(networks), small.inputs()
    noise = inputs["noise"].transpose(0, 1)[None]
    seen: list[Tensor] = []

    class Pipeline(FaceAnimatePipeline):
        def prepare_latents(self, *_: Any, **__: Any) -> Tensor:
            return noise

        def decode_latents(self, latents: Tensor) -> Any:
            seen.append(latents)
            return latents.numpy()

    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="linear",
        clip_sample=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    pipeline = Pipeline(
        vae=_LatentsThrough(given["images"]),
        reference_unet=networks["reference_unet"],
        denoising_unet=networks["denoising_unet"],
        face_locator=networks["face_locator"],
        image_proj=networks["imageproj"],
        scheduler=scheduler,
    )
    regions = {name: [mask[: small.FRAMES] for mask in masks] for name, masks in given["regions"].items()}
    pixels = 8 * small.SIDE
    pipeline(
        ref_image=torch.zeros(1, 1 + small.MOTION_FRAMES, 3, pixels, pixels),
        face_emb=inputs["face_embedding"][None],
        audio_tensor=given["audio"][1:],
        face_mask=inputs["face_region"][None],
        pixel_values_full_mask=regions["full_mask"],
        pixel_values_face_mask=regions["face_mask"],
        pixel_values_lip_mask=regions["lip_mask"],
        width=pixels,
        height=pixels,
        video_length=small.FRAMES,
        num_inference_steps=small.STEPS,
        guidance_scale=small.SCALE,
        motion_scale=small.REGION_WEIGHTS,
    )
    return seen[0][0].transpose(0, 1)


class _LatentsThrough(nn.Module):
    """A VAE whose encoder answers with the latents of the clip."""

    def __init__(self, latents: Tensor) -> None:
        super().__init__()
        self.config = types.SimpleNamespace(block_out_channels=(1, 1, 1, 1))
        self.latents, self.dtype, self.device = latents, torch.float32, torch.device("cpu")

    def encode(self, _: Tensor) -> Any:
        return types.SimpleNamespace(latent_dist=types.SimpleNamespace(mean=self.latents / 0.18215))


def fix_tiling() -> None:
    """Make the reader repeat each branch's bank along its own frames, as the commented-out `unsqueeze(1)` would."""
    import hallo.models.mutual_self_attention as module

    source = Path(module.__file__).read_text()
    assert "# .unsqueeze(1)" in source
    exec(compile(source.replace("# .unsqueeze(1)", ".unsqueeze(1)"), module.__file__, "exec"), module.__dict__)
    module.ReferenceAttentionControl.update.__defaults__ = (torch.float32,)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
