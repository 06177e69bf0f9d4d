"""Reading `net.pth`: every key accounted for, everything else refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import Wav2Vec2Config, Wav2Vec2Model

from fada.assembly.import_hallo import import_hallo
from fada.generation.pipelines import HalloPipeline
from fada.teacher.guidance import guided
from fada.teacher.hallo.checkpoint import PREFIXES, empty_networks, read_hallo, read_tensors
from fada.teacher.hallo.conditions import HalloInputs
from fada.teacher.vae import new_vae


def test_the_released_layout_has_its_known_keys_and_sizes() -> None:
    networks = empty_networks({})
    count = {prefix: len(network.state_dict()) for prefix, network in networks.items()}
    assert count == {"reference_unet": 682, "denoising_unet": 1946, "audioproj": 8, "imageproj": 4, "face_locator": 16}
    millions = {prefix: sum(p.numel() for p in each.state_dict().values()) / 1e6 for prefix, each in networks.items()}
    assert [round(millions[prefix], 1) for prefix in PREFIXES] == [859.5, 1526.7, 36.5, 1.6, 0.5]


def test_the_denoiser_has_16_audio_and_21_motion_modules_of_which_16_run() -> None:
    denoiser = empty_networks({})["denoising_unet"]
    keys = list(denoiser.state_dict())
    assert sum("audio_modules" in key for key in keys) == 16 * 42
    assert sum("motion_modules" in key for key in keys) == 21 * 28
    assert len(denoiser.audio_sites()) == len(denoiser.motion_sites()) == 16  # type: ignore[operator]


def test_the_audio_module_of_a_wider_level_is_as_narrow_as_the_released_one() -> None:
    state = empty_networks({})["denoising_unet"].state_dict()
    assert state["down_blocks.1.audio_modules.0.proj_in.weight"].shape == (320, 640, 1, 1)
    assert state["down_blocks.1.audio_modules.1.proj_in.weight"].shape == (640, 640, 1, 1)
    assert state["up_blocks.1.audio_modules.2.proj_in.weight"].shape == (640, 1280, 1, 1)


def test_an_import_reads_back_as_a_pipeline_that_answers_alike(
    small_file: Path, inputs: HalloInputs, noise: Tensor, tmp_path: Path
) -> None:
    rows = import_hallo(small_file, tmp_path / "hallo", betas="scaled_linear", bank_tiling="fixed")
    assert [(row.part, row.keys) for row in rows[:3]] == [
        ("reference_unet", 682),
        ("denoising_unet", 686),
        ("denoising_unet: audio_modules", 672),
    ]
    assert not list(tmp_path.rglob("*.bin"))
    loaded = HalloPipeline.from_pretrained(str(tmp_path / "hallo"))
    assert (loaded.config.bank_tiling, loaded.model.path.beta_schedule) == ("fixed", "scaled_linear")
    state = torch.load(small_file / "net.pth", weights_only=True)
    for prefix, name in PREFIXES.items():
        for key, value in getattr(loaded, name).state_dict().items():
            torch.testing.assert_close(value, state[f"{prefix}.{key}"], atol=0, rtol=0)
    predict = guided(loaded.model, loaded.model.prepare(inputs), torch.tensor([[2.0, 3.0]]))
    assert predict(noise, torch.tensor([0.5])).isfinite().all()


def test_vae_and_audio_encoder_come_along(small_file: Path, tmp_path: Path) -> None:
    new_vae((8, 8), 4).save_pretrained(str(tmp_path / "vae"))
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    convolutions = {"conv_dim": (8,), "conv_kernel": (10,), "conv_stride": (5,), "num_feat_extract_layers": 1}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 1}
    encoder = Wav2Vec2Model(Wav2Vec2Config(**shape, **convolutions, **positions))
    encoder.save_pretrained(str(tmp_path / "wav2vec2"))
    import_hallo(small_file, tmp_path / "out", vae=tmp_path / "vae", audio_encoder=tmp_path / "wav2vec2")
    loaded = HalloPipeline.from_pretrained(str(tmp_path / "out"))
    assert loaded.vae.config.block_out_channels == [8, 8]
    assert (loaded.audio_encoder.states_dim, loaded.audio_encoder.rate) == (8, "features")


def test_safetensors_are_read_too(small_state: dict[str, Tensor], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(
        {key: value for key, value in small_state.items() if key.startswith("imageproj")}, tmp_path / "net.safetensors"
    )
    assert len(read_tensors(tmp_path / "net.safetensors")) == 4


def test_missing_unexpected_and_misshapen_keys_are_named(small_state: dict[str, Tensor], tmp_path: Path) -> None:
    state = dict(small_state)
    del state["imageproj.norm.bias"]
    state["imageproj.norm.extra"] = torch.zeros(1)
    state["face_locator.conv_in.bias"] = torch.zeros(3)
    state["other.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(ValueError, match="not the weights of a Hallo") as raised:
        read_hallo(tmp_path)
    for fault in (
        "missing imageproj.norm.bias",
        "unexpected imageproj.norm.extra",
        r"face_locator.conv_in.bias is [3], not [16]",
        "unexpected other.weight",
    ):
        assert fault in str(raised.value)


def test_many_faults_are_counted(small_state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({key: value for key, value in small_state.items() if key.startswith("imageproj")}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"missing reference_unet\.conv_in\.weight; .*, and \d{4} more"):
        read_hallo(tmp_path)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn1_5.to_q.weight", "it looks like V-Express"),
        ("model.diffusion_model.input_blocks.0.0.weight", "a single-file Stable Diffusion checkpoint"),
        ("down_blocks.0.motion_modules.0.temporal_transformer.norm.bias", "as AnimateDiff and EchoMimic publish them"),
        ("down_blocks.0.resnets.0.conv1.weight", "one UNet alone"),
        ("something", "its keys begin with 'something'"),
    ],
)
def test_another_layout_is_refused_by_its_nearest_name(tmp_path: Path, key: str, nearest: str) -> None:
    torch.save({key: torch.zeros(1)}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match="not Hallo's layout") as raised:
        read_hallo(tmp_path)
    assert nearest in str(raised.value)


class _Code:
    """What a pickle must not bring."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


def test_a_pickle_that_brings_code_is_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"imageproj.proj.weight": _Code()}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"net\.pth: refused: reading it would run code"):
        read_hallo(tmp_path)
    (tmp_path / "net.pth").write_bytes(pickle.dumps(_Code(), protocol=2))
    with pytest.raises(ValueError, match=r"net\.pth: refused"):
        read_hallo(tmp_path)
    assert "run" not in capsys.readouterr().out


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.pth"
    file.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match="a Git LFS pointer"):
        read_hallo(tmp_path)
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="torch cannot read it"):
        read_hallo(tmp_path)
    torch.save({"state_dict": {}}, file)
    with pytest.raises(ValueError, match="no table of tensors: it holds state_dict"):
        read_hallo(tmp_path)
    (tmp_path / "net.safetensors").write_bytes(b"\x08" * 40)
    with pytest.raises(ValueError, match="no safetensors file"):
        read_tensors(tmp_path / "net.safetensors")


def test_a_path_without_weights_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such file or folder"):
        read_hallo(tmp_path / "nowhere")
    (tmp_path / "denoising_unet.pth").touch()
    with pytest.raises(FileNotFoundError, match=r"no net\.pth or net\.safetensors in it; it holds denoising_unet\.pth"):
        read_hallo(tmp_path)


def test_what_comes_along_must_be_there_as_safetensors(small_file: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ValueError, match="exists and is not empty"):
        import_hallo(small_file, tmp_path / "full")
    with pytest.raises(FileNotFoundError, match=r"--vae .*: no config\.json there"):
        import_hallo(small_file, tmp_path / "out", vae=tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"--audio-encoder .*: no \.safetensors weights"):
        import_hallo(small_file, tmp_path / "out", audio_encoder=tmp_path)
    assert not (tmp_path / "out").exists()
