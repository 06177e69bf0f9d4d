"""teacher.init: stages that start from imported weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from rich.console import Console

from fada import jobs
from fada.assembly.models import start_from
from fada.export.opening import load_pipeline
from fada.recipe.errors import RecipeError
from fada.recipe.sections.teacher import Noise
from fada.teacher.dual_unet.inflation import import_sd15
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.dual_unet.networks import new
from fada.teacher.dual_unet.sd15 import read_sd15
from fada.teacher.dual_unet.section import Network

NETWORK = Network(
    channels=(32, 64), attention_levels=(True, False), temporal_levels=(True, True), layers_per_block=1, heads=4,
    norm_groups=16, audio_tokens=2, audio_hidden=16, max_frames=8,
)  # fmt: skip


def teacher(network: Network = NETWORK, layers: int = 1) -> DualUNet:
    return new(network, Noise().model_dump(), (5, layers, 12), (4,))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of Stable Diffusion 1.5's layout, imported."""
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("sd15")
    UNet2DConditionModel(
        block_out_channels=(32, 64), down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), layers_per_block=1, cross_attention_dim=768,
        norm_num_groups=16, attention_head_dim=4,
    ).save_pretrained(str(folder / "unet"))  # fmt: skip
    import_sd15(read_sd15(folder), folder / "dual", source=folder)
    return folder / "dual"


def test_a_model_starts_from_imported_weights_and_keeps_its_own_projection(imported: Path) -> None:
    model = teacher()
    before = model.audio_projection.proj1.weight.clone()
    start_from(model, imported)
    given = UNet2DConditionModel.from_pretrained(str(imported.parent / "unet"))
    assert torch.equal(model.denoising_unet.conv_out.weight, given.conv_out.weight)
    assert torch.equal(model.reference_unet.conv_in.weight, given.conv_in.weight)
    assert torch.equal(model.audio_projection.proj1.weight, before)


def test_a_model_starts_from_a_whole_teacher(tmp_path: Path) -> None:
    first, second = teacher(), teacher()
    for name in ("reference_unet", "denoising_unet", "audio_projection"):
        getattr(first, name).save_pretrained(str(tmp_path / name))
    start_from(second, tmp_path)
    assert all(torch.equal(value, second.state_dict()[key]) for key, value in first.state_dict().items())
    with pytest.raises(RecipeError, match="audio_projection: layers is 1, the recipe asks for 12; change the recipe"):
        start_from(teacher(layers=12), tmp_path)


def test_nets_of_another_shape_are_refused(imported: Path) -> None:
    with pytest.raises(RecipeError, match="reference_unet: heads is 4, the recipe asks for 8; change the recipe, or"):
        start_from(teacher(NETWORK.model_copy(update={"heads": 8})), imported)
    with pytest.raises(RecipeError, match="denoising_unet: audio_dim is 768, the recipe asks for 16"):
        start_from(teacher(NETWORK.model_copy(update={"audio_dim": 16})), imported)


def test_a_folder_without_the_nets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"reference_unet: no such net; make the folder with fada teacher import"):
        start_from(teacher(), tmp_path)


def test_a_longer_clip_than_at_import_is_no_fault(imported: Path) -> None:
    start_from(teacher(NETWORK.model_copy(update={"max_frames": 16})), imported)


def test_path_and_init_together_are_refused(smoke, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"teacher\.path is a finished teacher, teacher.init is where stages start"):
        smoke(tmp_path, "teacher.path=a", "teacher.init=b")


def test_stages_train_on_from_the_imported_weights(smoke, imported: Path, tmp_path: Path) -> None:
    shape = [f"teacher.network.{key}={value}" for key, value in NETWORK.model_dump(mode="json").items()]
    images = "teacher.stages=[{name: images, trains: [reference], frames: 1, batch: 2, steps: 1, lr: 1e-3}]"
    jobs.train_teacher(smoke(tmp_path / "run", *shape, images, f"teacher.init={imported}"), Console(quiet=True))
    trained = load_pipeline(tmp_path / "run", "teacher").denoising_unet
    given = UNet2DConditionModel.from_pretrained(str(imported.parent / "unet"))
    assert torch.equal(trained.conv_out.weight, given.conv_out.weight)
