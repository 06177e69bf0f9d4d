"""Reading the five released files: every key accounted for, everything else refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_v_express as small
import torch
from torch import Tensor
from transformers import Wav2Vec2Config, Wav2Vec2Model

from fada.assembly.import_v_express import import_v_express
from fada.generation.pipelines import VExpressPipeline
from fada.teacher.released import read_tensors
from fada.teacher.v_express.attention import BranchWeights
from fada.teacher.v_express.checkpoint import MOTION, NETWORKS, empty_networks, read_v_express
from fada.teacher.v_express.conditions import VExpressInputs
from fada.teacher.vae import new_vae

States = dict[str, dict[str, Tensor]]


def write(folder: Path, states: States) -> Path:
    folder.mkdir(exist_ok=True)
    for name, state in states.items():
        torch.save(state, folder / f"{name}.bin")
    return folder


def test_the_released_layout_has_its_known_keys_and_sizes() -> None:
    states = {name: network.state_dict() for name, network in empty_networks({}).items()}
    assert [len(states[name]) for name in NETWORKS] == [684, 1386, 52, 16]
    millions = [sum(value.numel() for value in states[name].values()) / 1e6 for name in NETWORKS]
    assert [round(each, 1) for each in millions] == [859.5, 1363.5, 29.5, 1.1]
    denoiser = list(states["denoising_unet"])
    assert sum("1_5." in key for key in denoiser) == 16 * 7
    assert sum(".motion_modules." in key for key in denoiser) == 21 * 28


def test_an_import_reads_back_as_a_pipeline_that_answers_alike(
    small_folder: Path, small_states: States, inputs: VExpressInputs, noise: Tensor, tmp_path: Path
) -> None:
    rows = import_v_express(small_folder, tmp_path / "v-express", weights=BranchWeights(1.0, 2.0))
    assert [(row.part, row.keys) for row in rows] == [
        ("reference_unet", 684),
        ("denoising_unet", 686),
        ("denoising_unet: reference attention", 112),
        ("denoising_unet: motion_modules", 588),
        ("audio_projection", 52),
        ("keypoint_guider", 16),
        ("also in denoising_unet.bin, not used", 588),
    ]
    assert not list(tmp_path.rglob("*.bin"))
    loaded = VExpressPipeline.from_pretrained(str(tmp_path / "v-express"))
    assert loaded.model.weights == (1.0, 2.0)
    assert (loaded.model.frames, loaded.model.overlap, loaded.config.steps, loaded.config.fps) == (24, 4, 25, 30.0)
    for name, part in NETWORKS.items():
        for key, value in getattr(loaded, part).state_dict().items():
            torch.testing.assert_close(value, small_states[name][key], atol=0, rtol=0)
    conditions = loaded.model.prepare(inputs)
    rows = loaded.model.expand(conditions, torch.tensor([0]), torch.tensor([2]))
    assert loaded.model.evaluate(noise, torch.tensor([0.5]), rows).isfinite().all()


def test_motion_modules_come_from_their_own_file(small_states: States, tmp_path: Path) -> None:
    key = "mid_block.motion_modules.0.temporal_transformer.proj_out.bias"
    other = small_states[MOTION] | {key: torch.full_like(small_states[MOTION][key], 7.0)}
    twice = read_v_express(write(tmp_path / "twice", small_states | {MOTION: other}))
    assert (twice.parts["denoising_unet"].state_dict()[key] == 7.0).all()
    alone = {name: value for name, value in small_states["denoising_unet"].items() if name not in other}
    apart = read_v_express(write(tmp_path / "apart", small_states | {"denoising_unet": alone, MOTION: other}))
    assert (apart.parts["denoising_unet"].state_dict()[key] == 7.0).all()
    assert [row.part for row in twice.rows[:-1]] == [row.part for row in apart.rows]


def test_half_precision_is_kept(small_states: States, tmp_path: Path) -> None:
    halved = {name: {key: value.half() for key, value in state.items()} for name, state in small_states.items()}
    parts = read_v_express(write(tmp_path / "half", halved)).parts
    assert {value.dtype for part in parts.values() for value in part.state_dict().values()} == {torch.float16}


def test_safetensors_come_before_pickles(small_folder: Path, small_states: States, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    for file in small_folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    zeroed = {key: torch.zeros_like(value) for key, value in small_states["v_kps_guider"].items()}
    save_file(zeroed, tmp_path / "v_kps_guider.safetensors")
    guider = read_v_express(tmp_path).parts["keypoint_guider"]
    assert not any(value.any() for value in guider.state_dict().values())


def test_missing_unexpected_and_misshapen_keys_are_named(small_states: States, tmp_path: Path) -> None:
    states = {name: dict(state) for name, state in small_states.items()}
    del states["audio_projection"]["norm_out.bias"]
    states["reference_net"]["conv_norm_out.bias"] = torch.zeros(1)
    states["v_kps_guider"]["conv_in.bias"] = torch.zeros(3)
    states[MOTION]["conv_in.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match="not the weights of a V-Express") as raised:
        read_v_express(write(tmp_path / "faulty", states))
    for fault in (
        "missing audio_projection.norm_out.bias",
        "unexpected reference_net.conv_norm_out.bias",
        "v_kps_guider.conv_in.bias is [3], not [16]",
        "unexpected motion_module.conv_in.weight",
    ):
        assert fault in str(raised.value)


def test_many_faults_are_counted(small_states: States, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing reference_net\.conv_in\.weight; .*, and 679 more"):
        read_v_express(write(tmp_path / "faulty", small_states | {"reference_net": {}}))


class _Code:
    """What a pickle must not bring."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


def test_a_pickle_that_brings_code_is_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (*NETWORKS, MOTION):
        torch.save({"conv_in.weight": _Code()}, tmp_path / f"{name}.bin")
    with pytest.raises(ValueError, match=r"reference_net\.bin: refused: reading it would run code"):
        read_v_express(tmp_path)
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["bin", "safetensors"])
def test_a_pointer_in_place_of_weights_is_refused(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"v_kps_guider.{ending}"
    file.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match="a Git LFS pointer, not the weights"):
        read_tensors(file)


def test_a_folder_without_the_files_says_what_is_there(small_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder; give the one that holds V-Express's"):
        read_v_express(tmp_path / "nowhere")
    (tmp_path / "denoising_unet.pth").touch()
    (tmp_path / "v_kps_guider.bin").touch()
    missing = (
        r"no reference_net\.bin, denoising_unet\.bin, audio_projection\.bin, motion_module\.bin \(nor \.safetensors\)"
    )
    with pytest.raises(FileNotFoundError, match=missing + r" in it; it holds denoising_unet\.pth, v_kps_guider\.bin"):
        read_v_express(tmp_path)


def test_vae_and_audio_encoder_come_along(small_folder: Path, tmp_path: Path) -> None:
    new_vae((8, 8), 4).save_pretrained(str(tmp_path / "vae"))
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    convolutions = {"conv_dim": (8,), "conv_kernel": (10,), "conv_stride": (5,), "num_feat_extract_layers": 1}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 1}
    encoder = Wav2Vec2Model(Wav2Vec2Config(**shape, **convolutions, **positions))
    encoder.save_pretrained(str(tmp_path / "wav2vec2"))
    import_v_express(small_folder, tmp_path / "out", vae=tmp_path / "vae", audio_encoder=tmp_path / "wav2vec2")
    loaded = VExpressPipeline.from_pretrained(str(tmp_path / "out"))
    assert loaded.vae.config.block_out_channels == [8, 8]
    assert (loaded.config.fps, loaded.audio_encoder.fps) == (30.0, 30.0)
    assert (loaded.audio_encoder.rate, loaded.audio_encoder.layers, loaded.audio_encoder.states_dim) == ("pairs", 2, 8)


def test_nothing_is_written_where_something_is_wrong(small_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ValueError, match="exists and is not empty"):
        import_v_express(small_folder, tmp_path / "full")
    with pytest.raises(FileNotFoundError, match=r"--vae .*: no config\.json there"):
        import_v_express(small_folder, tmp_path / "out", vae=tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"--audio-encoder .*: no \.safetensors weights"):
        import_v_express(small_folder, tmp_path / "out", audio_encoder=tmp_path)
    assert not (tmp_path / "out").exists()


def test_the_small_checkpoint_has_every_released_key(small_states: States) -> None:
    networks = empty_networks({})
    assert all(small_states[name].keys() == networks[name].state_dict().keys() for name in small.FILES)
