"""Stable Diffusion 1.5 to the dual UNet: random weights of its layout, against diffusers' own network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from fada.teacher.dual_unet.inflation import denoiser_from, import_sd15, reference_from
from fada.teacher.dual_unet.sd15 import ImageModel, ImageShape, ReleasedWeightsError, read_sd15
from fada.teacher.dual_unet.unets import DenoisingUNet, ReferenceUNet

SMALL: dict[str, Any] = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": 768,
    "norm_num_groups": 16,
    "attention_head_dim": 4,
    "sample_size": 8,
}
SINGLE = {**SMALL, "norm_num_groups": 32, "attention_head_dim": 8}
"""A single file tells neither heads nor groups; they are SD 1.5's."""


def unet(**settings: Any) -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(**{**SMALL, **settings}).eval().requires_grad_(False)


def small_vae() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(32, 64), layers_per_block=2,
    )  # fmt: skip


def image_model(network: UNet2DConditionModel) -> ImageModel:
    config = network.config
    shape = ImageShape(4, tuple(config.block_out_channels), 1, config.attention_head_dim, (True, False), 16)
    return ImageModel(network.state_dict(), shape, None)


@pytest.fixture(scope="module")
def network() -> UNet2DConditionModel:
    return unet()


def original_names(weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Diffusers' names to those of the original code, written from the original's order of blocks."""
    levels = len({key.split(".")[1] for key in weights if key.startswith("down_blocks.")})
    fixed = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
             "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}  # fmt: skip
    inner = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
             "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}  # fmt: skip

    def place(key: str) -> str:
        if match := re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)", key):
            side, level, kind, layer, rest = match.groups()
            if side == "down":
                block = f"input_blocks.{1 + int(level) * (layers + 1) + int(layer)}"
            else:
                block = f"output_blocks.{int(level) * (layers + 1) + int(layer)}"
            if kind == "attentions":
                return f"{block}.1.{rest}"
            head, _, tail = rest.partition(".")
            return f"{block}.0.{inner[head]}.{tail}"
        if match := re.fullmatch(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.+)", key):
            return f"input_blocks.{(int(match[1]) + 1) * (layers + 1)}.0.op.{match[2]}"
        if match := re.fullmatch(r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.+)", key):
            has_attention = any(name.startswith(f"up_blocks.{match[1]}.attentions.") for name in weights)
            last = int(match[1]) * (layers + 1) + layers
            return f"output_blocks.{last}.{2 if has_attention else 1}.conv.{match[2]}"
        if match := re.fullmatch(r"mid_block\.attentions\.0\.(.+)", key):
            return f"middle_block.1.{match[1]}"
        if match := re.fullmatch(r"mid_block\.resnets\.(\d)\.(\w+)\.(.+)", key):
            return f"middle_block.{2 * int(match[1])}.{inner[match[2]]}.{match[3]}"
        head, _, tail = key.rpartition(".")
        return f"{fixed[head]}.{tail}"

    assert levels > 1
    return {f"model.diffusion_model.{place(key)}": value for key, value in weights.items()}


def original_vae_names(weights: dict[str, Tensor], levels: int) -> dict[str, Tensor]:
    attention = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
    found = {}
    for key, value in weights.items():
        name = key.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
        name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
        name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{levels - 1 - int(m[1])}.block.{m[2]}", name)
        name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", name)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        for new, old in attention.items():
            name = name.replace(f"mid_block.attentions.0.{new}.", f"mid.attn_1.{old}.")
        is_product = "mid.attn_1." in name and value.ndim == 2
        found[f"first_stage_model.{name}"] = value[:, :, None, None].contiguous() if is_product else value
    return found


@torch.no_grad()
def per_frame(net: DenoisingUNet, frames: Tensor, timestep: Tensor, temporal: bool = True) -> Tensor:
    """The denoising net without reference and with a prompt of zeros, as its own trunk runs it."""

    class Plain:
        def spatial(self, attention: Any, hidden: Tensor) -> Tensor:
            silence = attention.block.attn2.context(torch.zeros(len(hidden), 3, 768))
            return attention(hidden, None, silence)[0]

        def temporal(self, module: Any, hidden: Tensor) -> Tensor:
            return module(hidden, len(frames), None) if temporal else hidden

    time = net.embed_time(timestep.expand(len(frames)), frames.dtype)
    hidden = net.run_trunk(frames, time, Plain())
    return net.conv_out(torch.nn.functional.silu(net.conv_norm_out(hidden)))


@pytest.mark.parametrize("text_attention", ["silent", "kept"])
def test_the_inflated_network_predicts_per_frame_what_the_image_network_does(
    network: UNet2DConditionModel, text_attention: Any
) -> None:
    net, _ = denoiser_from(image_model(network), text_attention)
    frames, timestep = torch.randn(3, 4, 8, 8), torch.tensor([400.0])
    alone = [network(frame[None], timestep, torch.zeros(1, 3, 768)).sample for frame in frames]
    torch.testing.assert_close(per_frame(net, frames, timestep), torch.cat(alone), atol=2e-6, rtol=1e-5)


def test_silent_audio_attention_adds_nothing_whatever_it_hears(network: UNet2DConditionModel) -> None:
    net, _ = denoiser_from(image_model(network), "silent")
    block = net.spatial_sites()[0].block
    assert block.attn2 is not None
    heard = block.attn2(torch.randn(2, 5, 32), block.attn2.context(torch.randn(2, 3, 768)))
    assert not heard.any()


def test_the_reference_net_sees_what_the_image_network_sees(network: UNet2DConditionModel) -> None:
    seen: list[Tensor] = []
    blocks = [module for name, module in network.named_modules() if name.endswith("transformer_blocks.0")]
    order = [*blocks[:1], *[b for b in blocks if b is network.mid_block.attentions[0].transformer_blocks[0]]]
    order += [block for block in blocks if block not in order]
    hooks = [block.norm1.register_forward_hook(lambda *args: seen.append(args[2])) for block in order]
    image = torch.randn(1, 4, 8, 8)
    network(image, torch.zeros(1), torch.zeros(1, 3, 768))
    for hook in hooks:
        hook.remove()
    net, _ = reference_from(image_model(network))
    with torch.no_grad():
        found = net(image, None).spatial
    assert len(found) == len(seen) == 4
    for ours, theirs in zip(found, seen, strict=True):
        # Equal but for the order of sums, which differs by processor.
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_every_tensor_is_accounted_for(network: UNet2DConditionModel) -> None:
    image = image_model(network)
    _, reference = reference_from(image)
    assert reference.new == ()
    assert set(reference.taken) | set(reference.changed) | set(reference.unused) == set(image.weights)
    assert all(re.search(r"attn2|norm2|conv_norm_out|conv_out", key) for key in reference.unused)
    _, denoiser = denoiser_from(image, "kept")
    assert set(denoiser.taken) == set(image.weights)
    assert denoiser.changed == denoiser.unused == ()
    assert denoiser.new_kinds() == ["temporal layers"]


def test_audio_tokens_of_another_width_get_new_keys_and_values(network: UNet2DConditionModel) -> None:
    _, filled = denoiser_from(image_model(network), "silent", audio_dim=384)
    kinds = {key.rpartition("attn2.")[2] for key in filled.new if "attn2" in key}
    assert kinds == {"to_k.weight", "to_v.weight"}


def test_fresh_audio_attention_takes_nothing_from_text(network: UNet2DConditionModel) -> None:
    _, filled = denoiser_from(image_model(network), "fresh")
    assert filled.new_kinds() == ["temporal layers", "audio attention"]
    assert not any("attn2" in key for key in (*filled.taken, *filled.changed))


def test_all_686_tensors_of_the_full_size_find_their_place() -> None:
    with torch.device("meta"):
        full = UNet2DConditionModel(cross_attention_dim=768).state_dict()
        from fada.teacher.dual_unet import sd15

        converted = sd15.convert_ldm_unet_checkpoint(original_names(full, 2), {"layers_per_block": 2})
        assert {key: value.shape for key, value in converted.items()} == {key: v.shape for key, v in full.items()}
        shape = sd15._shape(Path("sd"), full)
        assert shape == ImageShape(4, (320, 640, 1280, 1280), 2, 8, (True, True, True, False), 32)
        _, reference = reference_from(ImageModel(full, shape, None))
        _, denoiser = denoiser_from(ImageModel(full, shape, None), "silent")
    assert len(full) == 686
    assert (len(reference.taken), len(reference.changed), len(reference.unused)) == (554, 16, 116)
    assert (len(denoiser.taken), len(denoiser.changed), len(denoiser.unused)) == (638, 48, 0)
    assert denoiser.new_kinds() == ["temporal layers"]


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_a_diffusers_folder_is_read_with_its_vae(tmp_path: Path, variant: str | None) -> None:
    saved = unet().half() if variant else unet()
    saved.save_pretrained(str(tmp_path / "sd" / "unet"), variant=variant)
    small_vae().save_pretrained(str(tmp_path / "sd" / "vae"), variant=variant)
    read = read_sd15(tmp_path / "sd")
    assert read.shape == ImageShape(4, (32, 64), 1, 4, (True, False), 16)
    assert read.vae is not None
    (tmp_path / "sd" / "README.md").write_text("---\nlicense: creativeml-openrail-m\n---\n# Stable Diffusion\n")
    import_sd15(read, tmp_path / "out", source=tmp_path / "sd")
    net = DenoisingUNet.from_pretrained(str(tmp_path / "out" / "denoising_unet"))
    torch.testing.assert_close(net.conv_in.weight, saved.conv_in.weight.float())
    assert net.dtype == torch.float32
    assert ReferenceUNet.from_pretrained(str(tmp_path / "out" / "reference_unet")).config.heads == 4
    assert AutoencoderKL.from_pretrained(str(tmp_path / "out" / "vae")).config.block_out_channels == [32, 64]
    told = json.loads((tmp_path / "out" / "import.json").read_text())
    settings = {"text_attention": "silent", "audio_dim": 768, "seed": 0}
    assert told == {"source": "sd", "license": "creativeml-openrail-m", **settings}


def test_the_unet_s_folder_alone_is_enough(tmp_path: Path) -> None:
    unet().save_pretrained(str(tmp_path))
    read = read_sd15(tmp_path)
    assert len(read.weights) == len(unet().state_dict())
    assert read.vae is None


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
def test_a_single_file_gives_the_same_as_the_folder(tmp_path: Path, ending: str) -> None:
    saved, vae = unet(**SINGLE), small_vae()
    content = {**original_names(saved.state_dict(), 1), **original_vae_names(vae.state_dict(), 2)}
    content["cond_stage_model.transformer.weight"] = torch.zeros(1)
    file = tmp_path / f"sd.{ending}"
    if ending == "ckpt":
        torch.save({"state_dict": content, "global_step": 7}, file)
    else:
        save_file({key: value.contiguous() for key, value in content.items()}, str(file))
    read = read_sd15(file)
    assert read.shape == ImageShape(4, (32, 64), 1, 8, (True, False), 32)
    expected = saved.state_dict()
    assert read.weights.keys() == expected.keys()
    assert all(torch.equal(read.weights[key], expected[key]) for key in expected)
    assert read.vae is not None
    assert all(torch.equal(value, vae.state_dict()[key]) for key, value in read.vae.state_dict().items())
    assert read_sd15(file, with_vae=False).vae is None


def test_a_single_file_of_diffusers_names_is_read_too(tmp_path: Path) -> None:
    save_file(unet(**SINGLE).state_dict(), str(tmp_path / "unet.safetensors"))
    assert read_sd15(tmp_path / "unet.safetensors").shape.channels == (32, 64)


def folder(path: Path, **config: Any) -> Path:
    """A UNet's folder with a changed config."""
    unet().save_pretrained(str(path))
    written = {**json.loads((path / "config.json").read_text()), **config}
    (path / "config.json").write_text(json.dumps(written))
    return path


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"cross_attention_dim": 1024}, "1024 wide, in Stable Diffusion 1.5 768; this is Stable Diffusion 2"),
        ({"cross_attention_dim": 2048}, "this is Stable Diffusion XL"),
        ({"_class_name": "FluxTransformer2DModel"}, "holds a FluxTransformer2DModel; give the folder of Stable"),
        ({"use_linear_projection": True}, r"is not Stable Diffusion 1.5 \(use_linear_projection: True\)"),
        ({"attention_head_dim": [4, 8]}, r"\[4, 8\] attention heads by level"),
    ],
)
def test_another_model_is_named(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ReleasedWeightsError, match=message):
        read_sd15(folder(tmp_path, **config))


def test_an_inpainting_model_is_refused(tmp_path: Path) -> None:
    unet(in_channels=9).save_pretrained(str(tmp_path))
    with pytest.raises(ReleasedWeightsError, match=r"reads 9 channels, Stable Diffusion 1.5 reads 4; inpainting"):
        read_sd15(tmp_path)


def test_other_single_files_are_named(tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    save_file({"lora_unet_a.weight": torch.zeros(1)}, str(file))
    with pytest.raises(ReleasedWeightsError, match=r"holds no UNet: .*there are lora_unet_a\); give a whole"):
        read_sd15(file)
    save_file({"model.diffusion_model.label_emb.0.0.weight": torch.zeros(1)}, str(file))
    with pytest.raises(ReleasedWeightsError, match=r"is Stable Diffusion XL, not 1\.5"):
        read_sd15(file)
    save_file({"model.diffusion_model.x_embedder.weight": torch.zeros(1)}, str(file))
    with pytest.raises(ReleasedWeightsError, match="its UNet has no halvings"):
        read_sd15(file)
    wide = {"cross_attention_dim": 1024}
    save_file(original_names(unet(**SINGLE | wide).state_dict(), 1), str(file))
    with pytest.raises(ReleasedWeightsError, match="this is Stable Diffusion 2"):
        read_sd15(file)
    content = original_names(unet(**SINGLE).state_dict(), 1)
    del content["model.diffusion_model.input_blocks.0.0.weight"]
    save_file(content, str(file))
    with pytest.raises(
        ReleasedWeightsError, match=r"is not a UNet of Stable Diffusion 1.5: 'conv_in.weight' is missing"
    ):
        read_sd15(file)


def test_a_vae_of_another_kind_is_refused_and_may_be_left(tmp_path: Path) -> None:
    content = original_names(unet(**SINGLE).state_dict(), 1)
    content["first_stage_model.encoder.conv_in.weight"] = torch.zeros(8, 3, 3, 3)
    save_file(content, str(tmp_path / "m.safetensors"))
    with pytest.raises(ReleasedWeightsError, match=r"its VAE is not Stable Diffusion's .*leave it with --no-vae"):
        read_sd15(tmp_path / "m.safetensors")
    assert read_sd15(tmp_path / "m.safetensors", with_vae=False).vae is None


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReleasedWeightsError, match="no such folder or file; give a diffusers folder"):
        read_sd15(tmp_path / "nothing")
    with pytest.raises(ReleasedWeightsError, match=r"config.json: no such file"):
        read_sd15(tmp_path)
    unet().save_pretrained(str(tmp_path))
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ReleasedWeightsError, match="damaged or cut off"):
        read_sd15(tmp_path)
    weights.unlink()
    with pytest.raises(ReleasedWeightsError, match=r"no weights; .*fp16.safetensors is looked for"):
        read_sd15(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ReleasedWeightsError, match=r"config.json: damaged"):
        read_sd15(tmp_path)
    (tmp_path / "cut.ckpt").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(ReleasedWeightsError, match="damaged"):
        read_sd15(tmp_path / "cut.ckpt")


def test_a_damaged_vae_is_named(tmp_path: Path) -> None:
    unet().save_pretrained(str(tmp_path / "unet"))
    small_vae().save_pretrained(str(tmp_path / "vae"))
    (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(ReleasedWeightsError, match="the VAE cannot be read"):
        read_sd15(tmp_path)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("code ran",))


def test_a_pickle_with_code_in_it_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": {}, "extra": Evil()}, tmp_path / "m.ckpt")
    with pytest.raises(ReleasedWeightsError, match="holds more than tensors, or is damaged; such files can run code"):
        read_sd15(tmp_path / "m.ckpt")
    assert "code ran" not in capsys.readouterr().out


def test_a_network_that_lacks_layers_does_not_fill_the_nets(network: UNet2DConditionModel) -> None:
    image = image_model(network)
    short = {key: value for key, value in image.weights.items() if "mid_block.resnets.1" not in key}
    with pytest.raises(ReleasedWeightsError, match=r"denoising net: .* missing, as mid_block.resnets.1"):
        denoiser_from(ImageModel(short, image.shape, None), "silent")
    more = {**image.weights, "adapter.weight": torch.zeros(1)}
    with pytest.raises(ReleasedWeightsError, match=r"reference net: .* 1 unknown, as adapter.weight"):
        reference_from(ImageModel(more, image.shape, None))
    other = {**image.weights, "conv_in.bias": torch.zeros(5)}
    with pytest.raises(ReleasedWeightsError, match=r"1 of another shape, as conv_in.bias"):
        reference_from(ImageModel(other, image.shape, None))


def test_an_unknown_start_of_audio_attention_is_refused(network: UNet2DConditionModel) -> None:
    with pytest.raises(ReleasedWeightsError, match="got 'copied'; choose from silent, kept, fresh"):
        denoiser_from(image_model(network), "copied")  # type: ignore[arg-type]


def test_a_folder_in_use_is_left_alone(network: UNet2DConditionModel, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(ReleasedWeightsError, match="is not empty; give another folder with --out"):
        import_sd15(image_model(network), tmp_path, source=tmp_path)
