"""Reading FLOAT's released file: every key accounted for, everything else refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import small_float as small
import torch
from safetensors.torch import save_file
from torch import Tensor

from fada.assembly.import_float import import_float
from fada.cli.app import run as main
from fada.generation.pipelines import PIPELINES, open_pipeline
from fada.teacher.float.audio_projection import FloatAudioProjection
from fada.teacher.float.checkpoint import new_networks, read_float
from fada.teacher.float.motion_autoencoder import MotionAutoencoder
from fada.teacher.float.transformer import VectorField

CHANNELS = (6, 5, 4, 3)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A small file as the public code saves its model: all parts of it, constants too."""
    torch.manual_seed(0)
    codec = MotionAutoencoder(32, small.LATENT, 7, CHANNELS)
    field = VectorField(small.LATENT, small.DIM, small.DEPTH, audio_dim=small.LATENT, max_frames=30)
    sound = FloatAudioProjection(1, 12, small.STATES_DIM, small.LATENT)
    names = {"proj": "0", "norm": "1"}
    state = {f"motion_autoencoder.{key}": value for key, value in codec.state_dict().items()}
    state |= {f"fmt.{key}": value for key, value in field.state_dict().items()}
    state["fmt.alignment_mask"] = torch.ones(30, 30, dtype=torch.bool)
    for key, value in sound.state_dict().items():
        first, _, rest = key.partition(".")
        state[f"audio_encoder.audio_projection.{names[first]}.{rest}"] = value
    state["audio_encoder.wav2vec2.encoder.layer_norm.weight"] = torch.ones(8)
    state["emotion_encoder.wav2vec2_for_emotion.classifier.dense.bias"] = torch.ones(3)
    return {key: value.clone() for key, value in state.items()}


@pytest.fixture(scope="module")
def file(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("float") / "float.pth"
    torch.save(state, out)
    return out


def test_keys_and_shapes_of_the_released_sizes_are_the_public_codes() -> None:
    layout = json.loads((Path(__file__).parent / "transformer.json").read_text(encoding="utf-8"))["layout"]
    with torch.device("meta"):
        networks = new_networks({})
    prefixes = {
        "vae": "motion_autoencoder",
        "vector_field": "fmt",
        "audio_projection": "audio_encoder.audio_projection",
    }
    own = {
        f"{prefixes[name]}.{key.replace('proj.', '0.', 1).replace('norm.', '1.', 1) if name[0] == 'a' else key}": value
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    assert {key: list(value.shape) for key, value in own.items()} | {"fmt.alignment_mask": [60, 60]} == layout


def test_an_import_reads_back_as_a_pipeline_with_the_same_weights(
    file: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    rows = {row.part: (row.keys, row.parameters) for row in import_float(file, tmp_path / "out")}
    assert sum(keys for keys, _ in rows.values()) == len(state)
    assert rows["classifier of emotions, not used"] == (1, 3)
    assert rows["wav2vec2, not used: give --audio-encoder"] == (1, 8)
    opened = open_pipeline(tmp_path / "out")
    assert type(opened) is PIPELINES["FloatPipeline"]
    for key, value in opened.vae.state_dict().items():
        assert torch.equal(value, state[f"motion_autoencoder.{key}"]), key
    for key, value in opened.vector_field.state_dict().items():
        assert torch.equal(value, state[f"fmt.{key}"]), key
    assert torch.equal(opened.audio_projection.proj.weight, state["audio_encoder.audio_projection.0.weight"])
    assert torch.equal(opened.audio_projection.norm.bias, state["audio_encoder.audio_projection.1.bias"])
    config = opened.config
    assert (config.size, config.frames, config.motion_frames, config.context) == (32, 20, 10, 0)
    assert (config.steps, config.audio_scale, config.emotion_scale) == (9, 2.0, 1.0)
    # Nine Euler steps between ten points, as `nfe 10` takes them, lie on its grid of times.
    assert opened.scheduler.config.num_train_timesteps % 9 == 0
    said = json.loads((tmp_path / "out" / "import.json").read_text())
    assert said == {"source": "float.pth", "license": "cc-by-nc-nd-4.0"}


def test_safetensors_are_read_first_and_constants_may_be_missing(state: dict[str, Tensor], tmp_path: Path) -> None:
    left = {key: value for key, value in state.items() if not key.endswith(("kernel", "alignment_mask"))}
    (tmp_path / "float.pth").write_bytes(b"no pickle")
    save_file({key: value.contiguous() for key, value in left.items()}, tmp_path / "float.safetensors")
    codec = read_float(tmp_path).parts["vae"]
    kernel = next(value for key, value in codec.state_dict().items() if key.endswith("kernel"))
    assert torch.equal(
        kernel, state[next(f"motion_autoencoder.{key}" for key in codec.state_dict() if key.endswith("kernel"))]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fmt.blocks.1.attn.proj.bias": None}, "missing fmt.blocks.1.attn.proj.bias"),
        ({"fmt.others": torch.ones(1)}, "unexpected fmt.others"),
        ({"discriminator.weight": torch.ones(1)}, "unexpected discriminator.weight"),
        ({"motion_autoencoder.enc.fc.4.bias": torch.ones(8)}, r"motion_autoencoder.enc.fc.4.bias is \[8\], not \[7\]"),
    ],
)
def test_what_is_not_float_is_refused_by_name(
    state: dict[str, Tensor], tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    changed = {key: value for key, value in (state | change).items() if value is not None}
    torch.save(changed, tmp_path / "float.pth")
    with pytest.raises(ValueError, match=message):
        read_float(tmp_path)


def test_a_pickle_that_brings_code_is_refused(tmp_path: Path) -> None:
    torch.save({"fmt": Path("x")}, tmp_path / "float.pth")
    with pytest.raises(ValueError, match="refused: reading it would run code"):
        read_float(tmp_path)
    with pytest.raises(FileNotFoundError, match="give FLOAT's file"):
        read_float(tmp_path / "nothing")


def test_the_command_imports(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["teacher", "import", "float", str(file.parent), "--out", str(tmp_path / "out")]) == 0
    assert "no key missing, none left over" in capsys.readouterr().out
    assert main(["teacher", "import", "float", str(file), "--out", str(tmp_path / "out")]) != 0
