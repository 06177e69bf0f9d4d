"""A run of a family whose codec is trained: made once, found again, put aside where it is damaged or of other clips.

The family is the toy one (tests/families) with FLOAT's motion autoencoder as its codec.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from fada import family
from fada.recipe.errors import RecipeError
from fada.recipe.loading import load_recipe
from fada.recipe.schema import Recipe
from fada.run import codec as run_codec
from fada.run.sources import sources_of
from fada.run.vae import open_vae, prepare_vae
from fada.teacher.float.codec_section import Codec
from fada.teacher.float.codec_training import new_codec, train_codec
from fada.teacher.float.motion_autoencoder import MotionAutoencoder

sys.path.insert(0, str(Path(__file__).parents[1] / "families"))

RECIPE = """
name: talker
data: {world: {clips: 3, test_clips: 1, frames: 6}}
clip: {frames: 4, motion_frames: 2, size: 32}
audio: {kind: log_mel, bins: 4}
noise: {prediction_type: flow_prediction}
teacher:
  kind: talker
  codec: {style_dim: 16, motion_dim: 4, channels: [8, 8, 8, 6], train: {steps: 4, batch: 2, lip_adversarial: 0.1}}
  stages: [{name: all, steps: 2, batch: 2, lr: 1e-3}]
distill: {phases: [{name: balanced, guidance: sync, steps: 2, batch: 2}]}
engine: {precision: fp32, preview_every: 2, checkpoint_every: 2, log_every: 1}
"""


@pytest.fixture(scope="module", autouse=True)
def _talker() -> Iterator[None]:
    from toy import networks
    from toy.family import TOY

    module = types.ModuleType("talker")
    kept = {name: each for name, each in vars(networks).items() if not name.startswith("__")}
    module.__dict__.update(kept, CODEC=MotionAutoencoder, new_codec=new_codec, train_codec=train_codec)
    sys.modules["talker"] = module
    names = {"name": "talker", "title": "Talker", "pipeline": "TalkerPipeline", "module": "talker"}
    family.register(replace(TOY, **names, codec_section=Codec, stages=("all",)))  # type: ignore[arg-type]
    yield
    del family._registered["talker"]


def recipe(run: Path, *changes: str) -> Recipe:
    file = run.parent / f"{run.name}.yaml"
    file.write_text(RECIPE)
    return load_recipe(file, [f"output={run}", *changes])


def made(run: Path, *changes: str, makes: bool = True) -> tuple[MotionAutoencoder, str]:
    """The run's codec, and what was said."""
    asked, text = recipe(run, *changes), io.StringIO()
    console = Console(file=text, width=10_000)
    source = sources_of(asked, run, console)["train"]
    return prepare_vae(asked, run, source, console, makes), text.getvalue()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("codec") / "run"
    made(run)
    return run


def weights(codec: MotionAutoencoder) -> torch.Tensor:
    return torch.cat([each.flatten() for each in codec.state_dict().values()])


def test_it_is_trained_with_logs_checkpoints_and_previews(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "codec/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    # Motion alone first.
    assert {"eye_motion", "boxes", "lr"} <= lines[0].keys()
    assert not {"l1", "lip_judge"} & lines[0].keys()
    assert {"l1", "component_eye", "eye_motion"} <= lines[2].keys()
    assert "lip_judge" in lines[3]
    assert {each.name for each in (trained / "codec/checkpoints").iterdir()} == {"step-00000002", "step-00000004"}
    assert (trained / "codec/preview/frames-000002.png").is_file()


def test_it_is_frozen_and_scaled(trained: Path) -> None:
    codec, said = made(trained)
    assert "training" not in said
    assert not any(each.requires_grad for each in codec.parameters())
    assert len(codec.config.shift) == 4
    assert codec.config.in_pixels


def test_it_is_found_again_by_whoever_opens_the_run(trained: Path) -> None:
    opened = open_vae(recipe(trained), trained)
    assert torch.equal(weights(opened), weights(made(trained, makes=False)[0]))


def test_a_training_that_was_interrupted_goes_on_and_ends_the_same(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run_codec.fit

    class Killed(BaseException):
        pass

    def fit(objective, settings, prepared, folder, log, preview):  # type: ignore[no-untyped-def]
        def dies(step: int, *_: object) -> None:
            raise Killed

        return real(objective, settings, prepared, folder, log, dies)

    monkeypatch.setattr(run_codec, "fit", fit)
    with pytest.raises(Killed):
        made(tmp_path / "run")
    assert not (tmp_path / "run/vae").exists()
    monkeypatch.setattr(run_codec, "fit", real)
    codec, said = made(tmp_path / "run")
    assert "resumed at step 2 of 4" in said
    assert torch.equal(weights(codec), weights(made(trained)[0]))


def test_a_damaged_one_is_put_aside_and_made_anew_of_its_last_checkpoint(trained: Path) -> None:
    before = weights(made(trained)[0])
    file = next((trained / "vae").glob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    codec, said = made(trained)
    assert "it is made anew, it now lies in vae.aside-1" in said
    assert torch.equal(weights(codec), before)


def test_one_of_other_clips_is_put_aside_with_its_training(tmp_path: Path) -> None:
    made(tmp_path / "run")
    text = io.StringIO()
    console = Console(file=text, width=10_000)
    asked = recipe(tmp_path / "run", "data.world.seed=9", "teacher.codec.train.steps=2")
    for clip in (tmp_path / "run/data/clips").iterdir():
        clip.unlink()
    prepare_vae(asked, tmp_path / "run", sources_of(asked, tmp_path / "run", console)["train"], console)
    assert "codec: was trained on other clips" in text.getvalue()
    assert (tmp_path / "run/codec.aside-1").is_dir()
    assert (tmp_path / "run/vae.aside-1").is_dir()


def test_one_of_other_settings_is_put_aside(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    codec, said = made(tmp_path / "run", "teacher.codec.motion_dim=3")
    assert codec.config.motion_dim == 3
    assert "it is made anew" in said


def test_a_folder_with_a_trained_codec_may_be_given(trained: Path, tmp_path: Path) -> None:
    codec, said = made(tmp_path / "run", f"vae.path={trained / 'vae'}")
    assert "training" not in said
    assert torch.equal(weights(codec), weights(made(trained)[0]))


def test_lpips_is_what_pictures_are_compared_by_where_its_files_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Path, Path]] = []

    class Always(torch.nn.Module):
        def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
            return torch.full((len(first),), 7.0)

    monkeypatch.setattr(run_codec, "load_lpips", lambda *files: asked.append(files) or Always())
    files = ("teacher.codec.train.lpips_backbone=alexnet.pth", "teacher.codec.train.lpips_heads=alex.pth")
    made(tmp_path / "run", *files, "teacher.codec.train.lip_adversarial=0")
    assert asked == [(Path("alexnet.pth"), Path("alex.pth"))]
    line = json.loads((tmp_path / "run/codec/log.jsonl").read_text().splitlines()[-1])
    assert (line["perceptual"], line["component_eye"], line["component_lip"]) == (7.0, 7.0, 7.0)


def test_one_process_trains_it_undivided_whatever_the_strategy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = run_codec.accelerator
    monkeypatch.setattr(
        run_codec, "accelerator", lambda recipe, batch: asked.append(recipe.engine.strategy) or real(recipe, batch)
    )
    made(tmp_path / "run", "engine.strategy=zero3", "engine.offload_parameters=cpu", "teacher.codec.train.steps=1")
    assert asked == ["ddp"]


def test_a_folder_without_a_codec_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"vae.path: .*empty holds no MotionAutoencoder \(no config.json\)"):
        made(tmp_path / "run", f"vae.path={tmp_path / 'empty'}")


def test_several_processes_are_told_that_one_trains_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(RecipeError, match="the codec is not trained yet, which one process does"):
        run_codec.train_codec(recipe(tmp_path / "run"), tmp_path / "run", {}, Console(quiet=True))


def test_families_without_a_codec_to_train_say_nothing_of_one(tmp_path: Path) -> None:
    asked = recipe(tmp_path / "run", "teacher.kind=dual_unet", "teacher.codec=null", "teacher.path=shipped:drawn")
    assert asked.model_dump()["teacher"]["codec"] == {}
