"""Model folders from others: none of their code runs, nothing outside is read or written, no claim takes memory."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fada.export.delta import DeltaError, load_delta, write_delta
from fada.files.strict_json import JSONFault
from fada.generation.pipelines import FadaPipeline, open_pipeline
from fada.pretrained.errors import ModelFolderError
from fada.teacher.vae import load_vae

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def model(student_run: Path, tmp_path: Path) -> Path:
    """The student's folder, to be spoilt."""
    return Path(shutil.copytree(student_run / "students" / "fast", tmp_path / "model"))


@pytest.fixture
def delta(student_run: Path, tmp_path: Path) -> Path:
    """The student's difference, to be spoilt."""
    write_delta(student_run / "students" / "fast", student_run / "teacher", tmp_path / "delta")
    return tmp_path / "delta"


@pytest.fixture
def evil(tmp_path: Path) -> tuple[str, Path]:
    """Code that leaves a mark where it runs, and the mark."""
    mark = tmp_path / "code-ran"
    code = f"open({str(mark)!r}, 'w').close()\nfrom diffusers import AutoencoderKL\nclass Evil(AutoencoderKL): pass\n"
    return code, mark


def change(file: Path, *path: str, to: Any) -> None:
    """Set an entry of a JSON file."""
    content = json.loads(file.read_text())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("library", ["evil", "fada.generation.pipelines", "torch", "os", "diffusers"])
@pytest.mark.parametrize("name", ["vae", "denoising_unet", "scheduler", "audio_encoder"])
def test_a_class_that_is_not_in_the_table_is_refused_before_anything_of_the_folder_is_imported(
    model: Path, evil: tuple[str, Path], library: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setenv("HF_MODULES_CACHE", str(model.parent / "modules"))
    change(model / "model_index.json", name, to=[library, "Evil"])
    (model / name / f"{library}.py").write_text(evil[0])
    with pytest.raises(ModelFolderError, match=rf"model_index.json: {name} names {library}.Evil; parts may come from"):
        open_pipeline(model)
    assert not evil[1].exists()


def test_code_under_the_name_of_a_permitted_library_is_not_run(model: Path, evil: tuple[str, Path]) -> None:
    # diffusers before 0.38 looks for LIBRARY.py in the component's folder before it imports the library.
    for name, library in (("vae", "diffusers"), ("denoising_unet", "fada.student.network")):
        (model / name / f"{library}.py").write_text(evil[0])
    (model / "pipeline.py").write_text(evil[0])
    assert isinstance(open_pipeline(model), FadaPipeline)
    assert not evil[1].exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("_class_name", ["pipeline", "Evil"]), ("_class_name", "StableDiffusionPipeline"), ("_class_name", None)),
        *(("unet", ["diffusers", "UNet2DConditionModel"]), ("custom", "x"), ("steps", 10**9), ("steps", True)),
        *(("frames", 0), ("frames", "12"), ("fps", 1e30), ("size", -8), ("size", 10**9), ("audio_scale", 1e30)),
        *(("guidance", "evil"), ("gamma", 7), ("is_student", "yes"), ("context", 10**9), ("motion_frames", [[1]])),
        *(("vae", None), ("vae", {}), ("vae", ["diffusers"]), ("vae", [["diffusers"], "AutoencoderKL"]), ("vae", [])),
        *(("scheduler", ["diffusers", "DDIMScheduler"]), ("__class__", 3), ("model", [None, None])),
    ],
)
def test_an_index_says_what_a_table_permits(model: Path, name: str, value: Any) -> None:
    change(model / "model_index.json", name, to=value)
    with pytest.raises(ValueError, match=r"model_index.json: "):
        open_pipeline(model)


def test_a_setting_that_is_not_finite_is_no_setting(model: Path) -> None:
    file = model / "model_index.json"
    file.write_text(file.read_text().replace('"audio_scale": 3.0', '"audio_scale": NaN'))
    with pytest.raises(ModelFolderError, match="holds NaN, numbers must be finite"):
        open_pipeline(model)


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        *(("denoising_unet", "channels", [10**9, 16]), ("denoising_unet", "channels", [8192] * 8)),
        *(("denoising_unet", "layers_per_block", 10**6), ("denoising_unet", "max_frames", 10**9)),
        *(("denoising_unet", "channels", "16"), ("denoising_unet", "channels", [[8], 16]), ("vae", "act_fn", "eval")),
        *(("denoising_unet", "heads", 0), ("denoising_unet", "heads", 3), ("denoising_unet", "norm_groups", 7)),
        *(("denoising_unet", "audio_dim", 16384), ("denoising_unet", "guidance_tokens", 10**6)),
        *(("denoising_unet", "attention_levels", []), ("denoising_unet", "quantization_config", {"a": 1})),
        *(("denoising_unet", "_class_name", "AutoencoderKL"), ("audio_projection", "hidden", 10**9)),
        *(("audio_projection", "tokens", 256), ("reference_unet", "in_channels", 64)),
        *(("vae", "block_out_channels", [8192, 8192]), ("vae", "block_out_channels", [10**9, 8])),
        *(("vae", "down_block_types", ["evil.Evil", "x"]), ("vae", "layers_per_block", 10**6)),
        *(("vae", "latent_channels", 0), ("vae", "scaling_factor", 0.0), ("vae", "auto_map", {"AutoModel": "evil.X"})),
    ],
)
def test_settings_beyond_the_weights_are_refused_before_memory_is_taken(
    model: Path, name: str, setting: str, value: Any
) -> None:
    change(model / name / "config.json", setting, to=value)
    with pytest.raises(ModelFolderError, match=f"/{name}") as caught:
        open_pipeline(model)
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("context", 1, "audio_projection's window is 5, by the other parts 3"),
        ("size", 18, "rest of size 18 after 2 halvings is 2, by the other parts 0"),
    ],
)
def test_parts_that_do_not_meet_are_told_before_a_call(model: Path, setting: str, value: int, said: str) -> None:
    change(model / "model_index.json", setting, to=value)
    with pytest.raises(ModelFolderError, match=said):
        open_pipeline(model)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("num_train_timesteps", 10**9), ("trained_betas", [0.1] * 10), ("beta_end", 1e30), ("beta_schedule", "evil")],
)
def test_a_scheduler_s_settings_are_checked_too(model: Path, setting: str, value: Any) -> None:
    change(model / "scheduler" / "scheduler_config.json", setting, to=value)
    with pytest.raises(ModelFolderError, match=r"scheduler_config.json"):
        open_pipeline(model)


@pytest.mark.parametrize(
    ("setting", "value"), [("bins", 10**9), ("frames_per_video_frame", -1), ("fps", 0), ("kind", ["log_mel"]), ("x", 1)]
)
def test_an_audio_encoder_s_settings_are_checked_too(model: Path, setting: str, value: Any) -> None:
    change(model / "audio_encoder" / "config.json", setting, to=value)
    with pytest.raises(ValueError, match=r"config.json: "):
        open_pipeline(model)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"channels": 1, "channels": 2}', b"nul"])
@pytest.mark.parametrize("file", ["model_index.json", "vae/config.json", "scheduler/scheduler_config.json"])
def test_whatever_stands_in_a_config_is_one_error(model: Path, file: str, text: bytes) -> None:
    (model / file).write_bytes(text)
    with pytest.raises(ModelFolderError, match=file):
        open_pipeline(model)


def test_a_pipe_in_place_of_a_config_is_not_waited_for(model: Path) -> None:
    (model / "vae" / "config.json").unlink()
    os.mkfifo(model / "vae" / "config.json")
    with pytest.raises(ModelFolderError, match="is no ordinary file"):
        open_pipeline(model)


@pytest.mark.parametrize("name", ["vae", f"vae/{WEIGHTS}", "vae/config.json", "scheduler", "audio_encoder"])
def test_links_in_a_model_are_not_followed(model: Path, tmp_path: Path, name: str) -> None:
    (model / name).rename(tmp_path / "elsewhere")
    (model / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelFolderError, match=f"{name}: is a link"):
        open_pipeline(model)


def test_pickled_weights_are_not_read_beside_safetensors_or_alone(model: Path, evil: tuple[str, Path]) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return exec, (evil[0],)

    torch.save({"a": Evil()}, model / "vae" / "diffusion_pytorch_model.bin")
    open_pipeline(model)
    (model / "vae" / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"no .safetensors weights"):
        open_pipeline(model)
    assert not evil[1].exists()


@pytest.mark.parametrize("name", ["../outside.safetensors", "/tmp/x.safetensors", "x.bin", "missing.safetensors", 3])
def test_an_index_of_weights_names_files_of_its_folder(model: Path, name: object) -> None:
    folder = model / "vae"
    shutil.copyfile(folder / WEIGHTS, model / "outside.safetensors")
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {"a": name}}))
    with pytest.raises(ModelFolderError, match=r"index.json: names "):
        load_vae(folder)


def test_weights_in_several_files_are_read(model: Path) -> None:
    folder = model / "vae"
    before, names = load_vae(folder).state_dict(), ("a-00001-of-00002.safetensors", "a-00002-of-00002.safetensors")
    keys = sorted(before)
    for name, part in zip(names, (keys[::2], keys[1::2]), strict=True):
        save_file({key: before[key] for key in part}, folder / name)
    (folder / WEIGHTS).unlink()
    index = {"metadata": {}, "weight_map": {key: names[place % 2] for place, key in enumerate(keys)}}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    assert all(torch.equal(before[key], value) for key, value in load_vae(folder).state_dict().items())


@pytest.mark.parametrize("spoil", [lambda file: file.write_bytes(b""), lambda file: file.write_bytes(b"\xff" * 100)])
def test_damaged_weights_are_named(model: Path, spoil: Callable[[Path], Any]) -> None:
    spoil(model / "denoising_unet" / WEIGHTS)
    with pytest.raises(ModelFolderError, match=r"denoising_unet.*no safetensors file"):
        open_pipeline(model)


def test_weights_of_another_network_are_told(model: Path) -> None:
    file = model / "denoising_unet" / WEIGHTS
    weights = load_file(file)
    weights.pop("conv_in.bias")
    save_file(weights, file)
    with pytest.raises(ModelFolderError, match=r"do not belong together: conv_in.bias is missing"):
        open_pipeline(model)


def test_a_vae_whose_weights_have_other_names_is_refused_not_drawn_at_random(model: Path) -> None:
    file = model / "vae" / WEIGHTS
    weights = load_file(file)
    weights["decoder.Conv_in.bias"] = weights.pop("decoder.conv_in.bias")
    save_file(weights, file)
    told = r"vae.* do not belong together: decoder.conv_in.bias is missing; 'decoder.Conv_in.bias' has no place"
    with pytest.raises(ModelFolderError, match=told):
        open_pipeline(model)


@pytest.mark.parametrize(
    "options",
    [{"custom_pipeline": "evil"}, {"trust_remote_code": True}, {"use_safetensors": False}, {"local_files_only": False}],
)
def test_options_that_would_bring_code_or_pickles_are_refused(model: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ModelFolderError, match=r"is always|no option"):
        FadaPipeline.from_pretrained(model, **options)


def test_a_model_s_address_is_no_folder() -> None:
    with pytest.raises(ModelFolderError, match="no such folder, and no name of a model on the hub"):
        FadaPipeline.from_pretrained("hub:someone/model")


def test_a_clip_longer_than_a_net_knows_is_told_before_a_call(model: Path) -> None:
    change(model / "model_index.json", "frames", to=15)
    with pytest.raises(ModelFolderError, match=r"clips of 17 frames .*, its denoising_unet knows 16 \(max_frames\)"):
        open_pipeline(model)(np.zeros((9, 9, 3), np.uint8), np.zeros(3200, np.float32))


def test_a_saved_model_does_not_say_where_it_was_read_from(model: Path, tmp_path: Path) -> None:
    open_pipeline(model).save_pretrained(tmp_path / "again")
    texts = [file.read_text() for file in (tmp_path / "again").rglob("*.json")]
    assert texts
    assert [text for text in texts if str(tmp_path) in text or "_name_or_path" in text] == []


def test_a_type_and_a_variant_of_the_weights_can_be_chosen(model: Path) -> None:
    half = open_pipeline(model, torch_dtype=torch.bfloat16)
    assert (half.denoising_unet.dtype, half.vae.dtype, half.audio_encoder.dtype) == (
        *(torch.bfloat16, torch.bfloat16, torch.float32),
    )
    half.denoising_unet.save_pretrained(model / "denoising_unet", variant="bf16")
    again = open_pipeline(model, variant="bf16")
    # As in diffusers, weights are computed with in float32 where nothing else is asked for.
    rounded, found = half.denoising_unet.state_dict(), again.denoising_unet.state_dict()
    assert all(torch.equal(value.float(), found[key]) for key, value in rounded.items())
    assert again.denoising_unet.dtype == torch.float32
    with pytest.raises(ModelFolderError, match="is no variant of weights"):
        open_pipeline(model, variant="../../x")


# Differences


@pytest.mark.parametrize("kind", [["transformers", "AutoModel"], ["evil", "Evil"], ["builtins", "exec"]])
def test_a_difference_names_what_a_table_permits(
    student_run: Path, delta: Path, evil: tuple[str, Path], kind: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.syspath_prepend(str(delta / "scheduler"))
    (delta / "scheduler" / "evil.py").write_text(evil[0])
    config = {"model_type": "x", "auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}}
    (delta / "scheduler" / "config.json").write_text(json.dumps(config))
    change(delta / "delta.json", "pipeline", "scheduler", to=kind)
    with pytest.raises(DeltaError, match=f"scheduler names {kind[0]}.{kind[1]}; parts may come from"):
        load_delta(delta, student_run / "teacher")
    assert not evil[1].exists()
    assert "evil" not in sys.modules


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *((("parts", "denoising_unet", "type"), "__class__"), (("parts", "denoising_unet", "type"), "load")),
        *((("parts", "denoising_unet", "kind"), "evil"), (("parts", "../../up"), {"kind": "whole"})),
        *((("parts", "/etc"), {"kind": "whole"}), (("parts", "audio_encoder", "kind"), "taken")),
        *(
            (("teacher", "fingerprint"), 3),
            (("teacher", "parts", "vae"), ["x"]),
            (("teacher", "parts", "../x"), "0" * 16),
        ),
        *((("pipeline", "_class_name"), "Evil"), (("pipeline", "_class_name"), ["a"]), (("form",), "pickle")),
        *((("version",), "1"), (("rank",), -1), (("fada",), "\x1b[2J"), (("parts",), []), (("pipeline",), 3)),
        *((("parts", "vae", "bytes"), 10**30), (("kept",), 1e300)),
    ],
)
def test_a_difference_says_what_a_difference_can_say(
    student_run: Path, delta: Path, path: tuple[str, ...], value: Any
) -> None:
    change(delta / "delta.json", *path, to=value)
    with pytest.raises(ValueError, match=r"delta.json: ") as caught:
        load_delta(delta, student_run / "teacher")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("file", "tensors"),
    [
        ("delta", {"conv_out.bias": torch.zeros(10_000, 1, 1)}),
        ("delta", {"conv_in.weight": torch.zeros(1)}),
        ("corrections", {"conv_out.bias.index": torch.tensor([10**6]), "conv_out.bias.value": torch.zeros(1)}),
        ("corrections", {"conv_out.bias.index": torch.tensor([-1]), "conv_out.bias.value": torch.zeros(1)}),
        ("corrections", {"conv_out.bias.index": torch.tensor([0])}),
        ("corrections", {"none.index": torch.tensor([0]), "none.value": torch.zeros(1)}),
    ],
)
def test_a_difference_of_other_shapes_is_none(
    student_run: Path, delta: Path, file: str, tensors: dict[str, torch.Tensor]
) -> None:
    path = delta / "denoising_unet" / f"{file}.safetensors"
    save_file((load_file(path) if file == "delta" else {}) | tensors, path)
    with pytest.raises(DeltaError, match=r"denoising_unet: .*copy or fetch the folder again"):
        load_delta(delta, student_run / "teacher")


def test_thin_factors_make_no_wide_product(student_run: Path, tmp_path: Path) -> None:
    write_delta(student_run / "students" / "fast", student_run / "teacher", tmp_path / "lora", form="lora", keep=0.0)
    path = tmp_path / "lora" / "audio_projection" / "adapter_model.safetensors"
    name = "base_model.model.proj1.lora_{}.weight"
    save_file({name.format("A"): torch.zeros(1, 2**20), name.format("B"): torch.zeros(2**20, 1)}, path)
    with pytest.raises(DeltaError, match=r"proj1.lora_A.weight does not fit the teacher's proj1.weight"):
        load_delta(tmp_path / "lora", student_run / "teacher")


def test_a_link_in_a_difference_is_not_followed(student_run: Path, delta: Path, tmp_path: Path) -> None:
    (delta / "denoising_unet" / "delta.safetensors").rename(tmp_path / "d.safetensors")
    (delta / "denoising_unet" / "delta.safetensors").symlink_to(tmp_path / "d.safetensors")
    with pytest.raises(ValueError, match=r"delta.safetensors: is a link"):
        load_delta(delta, student_run / "teacher")


def test_strict_json_names_the_file(tmp_path: Path) -> None:
    from fada.files.strict_json import read_json

    (tmp_path / "a.json").write_text('{"a": 1e999}')
    with pytest.raises(JSONFault, match=r"a.json: holds 1e999, numbers must be finite"):
        read_json(tmp_path / "a.json")
