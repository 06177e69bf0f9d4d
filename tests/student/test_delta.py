"""A student as its difference from its teacher: the way there and back, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fada.diffusion.scheduler import PeRFlowScheduler
from fada.export.delta import DeltaError, load_delta, write_delta
from fada.export.differences import apply_differences, differences
from fada.export.part_weights import PartError, read_weights
from fada.generation.pipelines import FadaPipeline, HalloPipeline, open_pipeline
from fada.pretrained.weight_hash import weights_hash
from fada.student.copies import student_of
from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.hallo.projections import FaceLocator, FaceProjection
from fada.teacher.hallo.schedule import hallo_scheduler
from fada.teacher.hallo.unets import HalloDenoisingUNet, HalloReferenceUNet

PARTS = ("vae", "reference_unet", "denoising_unet", "audio_projection")


def weights_of(pipeline: FadaPipeline) -> dict[str, torch.Tensor]:
    return {f"{part}.{key}": value for part in PARTS for key, value in getattr(pipeline, part).state_dict().items()}


def settings_of(pipeline: FadaPipeline) -> dict[str, object]:
    return {key: value for key, value in pipeline.config.items() if not key.startswith("_")}


@pytest.fixture(scope="module")
def delta(student_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The difference in float32; do not write into it."""
    out = tmp_path_factory.mktemp("delta") / "fast"
    write_delta(student_run / "students" / "fast", student_run / "teacher", out)
    return out


def test_in_float32_the_student_comes_back_bit_for_bit(student_run: Path, delta: Path) -> None:
    whole = FadaPipeline.from_pretrained(student_run / "students" / "fast")
    again = load_delta(delta, student_run / "teacher")
    expected, found = weights_of(whole), weights_of(again)
    assert expected.keys() == found.keys()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
    assert settings_of(again) == settings_of(whole)
    assert again.scheduler.config == whole.scheduler.config
    portrait, sound = np.full((16, 16, 3), 90, np.uint8), np.zeros(3200, np.float32)
    assert np.array_equal(again(portrait, sound).frames, whole(portrait, sound).frames)


def test_without_its_corrections_a_sum_would_round(student_run: Path, delta: Path) -> None:
    own, base = (read_weights(student_run / name / "denoising_unet") for name in ("students/fast", "teacher"))
    rounded = apply_differences(base, load_file(delta / "denoising_unet" / "delta.safetensors"), {})
    wrong = sum(int((rounded[key] != own[key]).sum()) for key in base)
    corrected = load_file(delta / "denoising_unet" / "corrections.safetensors")
    assert wrong == sum(value.numel() for key, value in corrected.items() if key.endswith(".index")) > 0


def test_a_number_whose_difference_float32_cannot_hold_comes_back() -> None:
    base, own = {"a": torch.tensor([1.0, 1.0, 2.0])}, {"a": torch.tensor([1.0, 1e-9, 3.0])}
    written, corrections = differences(own, base, torch.float32)
    assert written["a"].tolist() == [0.0, -1.0, 1.0]
    assert corrections["a.index"].tolist() == [1]
    assert torch.equal(apply_differences(base, written, corrections)["a"], own["a"])


def test_parts_that_the_student_shares_with_its_teacher_are_not_written(delta: Path) -> None:
    told = json.loads((delta / "delta.json").read_text())
    kinds = {name: part["kind"] for name, part in told["parts"].items()}
    assert kinds == {"vae": "taken", "reference_unet": "taken", "denoising_unet": "difference",
                     "audio_projection": "difference", "guidance_layers": "whole", "audio_encoder": "whole",
                     "scheduler": "whole"}  # fmt: skip
    assert {path.parent.name for path in delta.rglob("*.safetensors")} == {
        "denoising_unet", "audio_projection", "guidance_layers"
    }  # fmt: skip
    assert {name: part["new"] for name, part in told["parts"].items() if part["new"]} == {
        "guidance_layers": len(read_weights(delta / "guidance_layers"))
    }


def test_bf16_rounds_the_difference_not_the_weights_and_spares_new_layers(student_run: Path, tmp_path: Path) -> None:
    model, teacher = student_run / "students" / "fast", student_run / "teacher"
    write_delta(model, teacher, tmp_path / "half", dtype="bf16")
    found = load_delta(tmp_path / "half", teacher).denoising_unet.state_dict()
    own, base = read_weights(model / "denoising_unet"), read_weights(teacher / "denoising_unet")
    for key, value in own.items():
        # bfloat16 has eight digits: half a unit of the last is up to 2^-8 of the number, and the sum rounds once more.
        difference = (value - base[key]).abs() if key in base else torch.zeros_like(value)
        assert bool(((found[key] - value).abs() <= 2.0**-8 * difference + 2.0**-24 * value.abs() + 1e-12).all()), key


def test_a_student_in_bf16_comes_back_bit_for_bit(student_run: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    FadaPipeline.from_pretrained(student_run / "students" / "fast").to(torch.bfloat16).save_pretrained(model)
    write_delta(model, student_run / "teacher", tmp_path / "delta")
    own, found = read_weights(model / "denoising_unet"), load_delta(tmp_path / "delta", student_run / "teacher")
    assert all(torch.equal(own[key], value) for key, value in found.denoising_unet.state_dict().items())


def test_a_hallo_student_without_vae_comes_back_too(tmp_path: Path) -> None:
    shape = {"channels": (32, 64), "attention_levels": (True, True), "layers_per_block": 1, "heads": 2, "token_dim": 24}
    networks = (HalloReferenceUNet(**shape), HalloDenoisingUNet(**shape, audio_dim=16, max_frames=18),
                AudioProjection(5, 1, 12, 16, 3, 16), FaceProjection(512, 4, 24), FaceLocator(32, (8, 8, 8, 8)),
                PeRFlowScheduler.from_config(hallo_scheduler().config))  # fmt: skip
    teacher = HalloPipeline(*networks)
    student = student_of(teacher.model, "tokens", 2)
    with torch.no_grad():
        student.denoising_unet.conv_in.weight.mul_(1.01)
    made = HalloPipeline(**student.components(), scheduler=teacher.scheduler, is_student=True)
    for name, pipeline in (("teacher", teacher), ("student", made)):
        pipeline.save_pretrained(tmp_path / name)
    parts = write_delta(tmp_path / "student", tmp_path / "teacher", tmp_path / "delta")
    assert {name for name, part in parts.items() if part.kind == "difference"} == {"denoising_unet"}
    assert parts["denoising_unet"].changed == 1
    found = load_delta(tmp_path / "delta", tmp_path / "teacher")
    assert isinstance(found, HalloPipeline)
    assert found.vae is None
    expected = student.state_dict()
    assert all(torch.equal(expected[key], value) for key, value in found.model.state_dict().items())


def test_another_teacher_is_refused_with_both_fingerprints(student_run: Path, delta: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(student_run / "teacher", other)
    file = other / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["quant_conv.bias"] += 1e-3
    save_file(weights, file)
    mark = json.loads((delta / "delta.json").read_text())["teacher"]["fingerprint"]
    pattern = rf"is not the teacher of .*fingerprint {mark}, this one [0-9a-f]{{16}}; their vae differ; give"
    with pytest.raises(DeltaError, match=pattern) as raised:
        load_delta(delta, other)
    assert str(raised.value).count(mark) == 1


def test_a_folder_without_a_difference_is_refused(student_run: Path) -> None:
    with pytest.raises(DeltaError, match=r"delta.json: no such file; .* fada export RUN --as delta"):
        load_delta(student_run / "students" / "fast", student_run / "teacher")


def test_a_difference_opened_as_a_whole_model_is_refused(delta: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a difference from a teacher; load_delta opens it \(no model_index.json\)"):
        open_pipeline(delta)
    with pytest.raises(ValueError, match=r"no model \(no model_index.json\)"):
        open_pipeline(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 9, "fada": "3.1"}, "has version 9, this fada reads 1; install 3.1"),
        ({"pipeline": {"scheduler": ["os", "system"]}}, "names os.system; parts may come from fada, diffusers"),
    ],
)
def test_a_foreign_description_is_refused(
    student_run: Path, delta: Path, tmp_path: Path, change: dict, message: str
) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(delta, folder)
    told = json.loads((folder / "delta.json").read_text())
    told |= {key: {**told[key], **value} if isinstance(value, dict) else value for key, value in change.items()}
    (folder / "delta.json").write_text(json.dumps(told))
    with pytest.raises(DeltaError, match=message):
        load_delta(folder, student_run / "teacher")


def test_a_student_equal_to_its_teacher_has_no_difference(student_run: Path, tmp_path: Path) -> None:
    with pytest.raises(DeltaError, match=r"does not differ from .*; there is nothing to export as delta"):
        write_delta(student_run / "teacher", student_run / "teacher", tmp_path / "out")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(3), r"conv_out.bias is \(3,\), the teacher's \(4,\); export this student with --as full"),
        (torch.zeros(4).half(), "has weights of types float16, float32, one is needed; export with --as full"),
    ],
)
def test_weights_without_a_difference_are_refused(
    student_run: Path, tmp_path: Path, value: torch.Tensor, message: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(student_run / "students" / "fast", model)
    file = model / "denoising_unet" / "diffusion_pytorch_model.safetensors"
    save_file(load_file(file) | {"conv_out.bias": value}, file)
    with pytest.raises(DeltaError, match=message):
        write_delta(model, student_run / "teacher", tmp_path / "out")


def test_a_fingerprint_knows_values_names_and_types_but_not_files(tmp_path: Path) -> None:
    weights = {"a": torch.arange(4.0), "b": torch.ones(2, 2)}
    save_file({"b": weights["b"]}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"a": weights["a"]}, tmp_path / "model-00002-of-00002.safetensors")
    mark = weights_hash(weights, "tensors")
    assert weights_hash(read_weights(tmp_path), "tensors") == mark
    others = [weights | {"a": torch.arange(4.0) + 1e-6}, weights | {"a": torch.arange(4.0).double()},
              weights | {"b": torch.ones(4)}, {"c": weights["a"], "b": weights["b"]}]  # fmt: skip
    assert mark not in [weights_hash(other, "tensors") for other in others]


def test_two_variants_of_the_weights_in_one_folder_are_refused(tmp_path: Path) -> None:
    for name in ("model.fp16.safetensors", "model.safetensors"):
        save_file({"a": torch.ones(1)}, tmp_path / name)
    with pytest.raises(PartError, match=r"model.safetensors: holds a a second time; keep one variant"):
        read_weights(tmp_path)
