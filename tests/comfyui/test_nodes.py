"""The nodes against ComfyUI's contract: what they declare, what they give, how they fail, from end to end.

The contract is that of the public server (execution.py and server.py of ComfyUI 0.3.64), written down here.
"""

from __future__ import annotations

import gc
import inspect
import json
import math
import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import wavfile

import fada
from fada.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, models, nodes
from fada.comfyui.nodes import Avatar, Emotion, GenerateAvatar, GuidanceScales, LoadAvatar
from fada.generation.face_conditions import FaceModels
from fada.media.audio import read_audio
from tests.comfyui.conftest import Comfy, Interrupted

PORTRAIT = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
IMAGE = torch.from_numpy(PORTRAIT)[None].float() / 255
SOUND = np.random.default_rng(1).normal(0, 0.1, (1, 2, 22050)).astype(np.float32)
AUDIO = {"waveform": torch.from_numpy(SOUND), "sample_rate": 44100}
"""Half a second in stereo: at 25 frames per second twelve whole frames."""


def inputs_of(node: type) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Name → type and options, of all that a node takes."""
    found = {**node.INPUT_TYPES()["required"], **node.INPUT_TYPES().get("optional", {})}  # type: ignore[attr-defined]
    return {name: (kind, rest[0] if rest else {}) for name, (kind, *rest) in found.items()}


@pytest.fixture
def student(student_run: Path) -> Path:
    return student_run / "students" / "fast"


def load(model: Path | str, **options: str) -> Avatar:
    return LoadAvatar().load(str(model), "cpu", "fp32", **options)[0]


@pytest.mark.parametrize("name", NODE_CLASS_MAPPINGS)
def test_a_node_declares_what_the_server_reads(name: str) -> None:
    node: Any = NODE_CLASS_MAPPINGS[name]
    method = getattr(node, node.FUNCTION)
    declared = node.INPUT_TYPES()
    # What the server tells the page is JSON, and what it hands a method are its inputs by name.
    assert json.loads(json.dumps(declared)).keys() <= {"required", "optional", "hidden"}
    assert list(inspect.signature(method).parameters)[1:] == list(inputs_of(node))
    defaults = inspect.signature(method).parameters
    assert all(defaults[each].default is not inspect.Parameter.empty for each in declared.get("optional", {}))
    assert isinstance(node.RETURN_TYPES, tuple)
    assert len(node.RETURN_NAMES) == len(node.RETURN_TYPES)
    assert node.CATEGORY == "fada"
    assert NODE_DISPLAY_NAME_MAPPINGS.keys() == NODE_CLASS_MAPPINGS.keys()


@pytest.mark.parametrize("name", NODE_CLASS_MAPPINGS)
def test_defaults_of_widgets_are_values_that_the_server_takes(name: str) -> None:
    for kind, options in inputs_of(NODE_CLASS_MAPPINGS[name]).values():
        if isinstance(kind, list):
            assert options.get("default", kind[0]) in kind
        elif kind in ("INT", "FLOAT"):
            assert isinstance(options["default"], int if kind == "INT" else float)
            assert options["min"] <= options["default"] <= options["max"]


def test_the_shipped_workflow_is_one_of_these_nodes(project_root: Path) -> None:
    """As the server checks a prompt: classes, required inputs, lists, and the types of links."""
    flow = json.loads((project_root / "fada" / "comfyui" / "talking_avatar.json").read_text(encoding="utf-8"))
    given = {"LoadImage": ("IMAGE", "MASK"), "LoadAudio": ("AUDIO",)}
    given |= {name: node.RETURN_TYPES for name, node in NODE_CLASS_MAPPINGS.items()}  # type: ignore[attr-defined]
    ours = {number: each for number, each in flow.items() if each["class_type"] in NODE_CLASS_MAPPINGS}
    assert {each["class_type"] for each in ours.values()} == {*NODE_CLASS_MAPPINGS} - {"FadaEmotion"}
    for each in ours.values():
        node: Any = NODE_CLASS_MAPPINGS[each["class_type"]]
        assert node.INPUT_TYPES()["required"].keys() <= each["inputs"].keys() <= inputs_of(node).keys()
        for name, value in each["inputs"].items():
            kind, _ = inputs_of(node)[name]
            if isinstance(value, list):
                assert given[flow[value[0]]["class_type"]][value[1]] == kind
            elif isinstance(kind, list):
                assert value in kind
    # The video is the generator's fourth output, where ComfyUI has such a type.
    assert flow["7"]["inputs"]["video"] == ["6", 3]


def test_frames_are_those_of_fada_generate_and_the_sound_goes_along(student: Path, tmp_path: Path) -> None:
    wavfile.write(tmp_path / "speech.wav", 44100, SOUND[0].T)
    (scales,) = GuidanceScales().extend("audio", 4.0)
    with torch.inference_mode():
        images, sound, fps = GenerateAvatar().generate(load(student), IMAGE, AUDIO, steps=4, seed=3, scales=scales)
    made = fada.generate(student, PORTRAIT, tmp_path / "speech.wav", steps=4, seed=3, scales={"audio": 4.0})
    assert images.shape == (12, 16, 16, 3)
    assert images.dtype == torch.float32
    assert not images.is_inference()
    # Eight bits survive the way into floats and back.
    assert np.array_equal((images * 255).round().numpy().astype(np.uint8), made.frames)
    assert fps == 25.0
    # Twelve frames of 1764 samples each, both channels, as they came.
    assert sound["sample_rate"] == 44100
    assert torch.equal(sound["waveform"], AUDIO["waveform"][..., : 12 * 1764])


def test_steps_of_zero_and_no_scales_are_the_models_own(student: Path) -> None:
    avatar = load(student)
    own, *_ = GenerateAvatar().generate(avatar, IMAGE, AUDIO)
    said, *_ = GenerateAvatar().generate(avatar, IMAGE, AUDIO, steps=4, scales={"audio": 3.0, "reference": 2.0})
    other, *_ = GenerateAvatar().generate(avatar, IMAGE, AUDIO, seed=1)
    assert torch.equal(own, said)
    assert not torch.equal(own, other)


def test_a_model_that_comfyui_loads_can_be_used_outside_of_its_inference_mode(student: Path) -> None:
    with torch.inference_mode():
        avatar = load(student)
    weights = list(avatar.pipeline.denoising_unet.parameters())
    assert weights
    assert not any(each.is_inference() for each in weights)


def test_an_instance_is_kept_until_its_files_change(student: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(student, copy)
    first = load(copy).pipeline
    assert load(copy).pipeline is first
    before = LoadAvatar.IS_CHANGED(str(copy), "cpu", "fp32")
    assert LoadAvatar.IS_CHANGED(str(copy), "cpu", "fp32") == before
    assert LoadAvatar.IS_CHANGED(str(copy), "cpu", "bf16") != before
    weights = copy / "denoising_unet" / "diffusion_pytorch_model.safetensors"
    os.utime(weights, ns=(1, 1))
    assert LoadAvatar.IS_CHANGED(str(copy), "cpu", "fp32") != before
    assert load(copy).pipeline is not first


def test_a_model_that_nobody_holds_goes_before_the_next_one_comes(
    student: Path, student_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> bool:
        gc.collect()
        return first() is None

    def noting(*args: Any, **options: Any) -> Any:
        beside.append(not gone())
        return opened(*args, **options)

    load(student_run / "teacher")
    first, beside, opened = weakref.ref(load(student).pipeline), [], fada.load
    monkeypatch.setattr(fada, "load", noting)
    load(student_run / "teacher")
    assert beside == [False]


def test_a_model_that_another_node_holds_is_shared_and_one_that_nobody_holds_is_gone(
    student: Path, student_run: Path
) -> None:
    held = load(student)
    load(student_run / "teacher")
    assert load(student).pipeline is held.pipeline
    del held
    load(student_run / "teacher")

    gc.collect()
    assert len(models._alive) == 1


def test_a_run_gives_the_student_that_is_named(student_run: Path) -> None:
    assert load(student_run).pipeline.config.is_student
    assert not load(student_run, student="teacher").pipeline.config.is_student


def test_names_that_come_from_other_nodes_are_asked_for_when_it_runs() -> None:
    assert LoadAvatar.VALIDATE_INPUTS(None) is True
    assert math.isnan(LoadAvatar.IS_CHANGED(None, "cpu", "fp32"))  # type: ignore[arg-type]


def test_a_name_in_comfyuis_models_folder_is_a_model(comfy: Comfy, student: Path) -> None:
    shutil.copytree(student, comfy.folder / "fada" / "mine")
    assert LoadAvatar.VALIDATE_INPUTS("mine") is True
    assert LoadAvatar().load("mine", "auto", "auto")[0].pipeline.config.is_student
    assert LoadAvatar.IS_CHANGED("mine", "auto", "auto") != models.fingerprint(models.Named("owner/mine"))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("", "model: give a folder"),
        ("nowhere at all", "there is no 'nowhere at all' here; give a folder"),
        ("shipped:nothing", "no such model comes with fada"),
    ],
)
def test_a_model_that_is_not_there_is_said_before_anything_runs(model: str, words: str) -> None:
    assert words in str(LoadAvatar.VALIDATE_INPUTS(model))


def test_a_name_on_the_hub_is_left_to_the_loader() -> None:
    assert LoadAvatar.VALIDATE_INPUTS("owner/name@main") is True


def test_a_family_that_reads_faces_names_the_inputs_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "load_once", lambda _: SimpleNamespace(needs_face=True, needs_keypoints=False))
    monkeypatch.delenv("FADA_FACE_LANDMARKER", raising=False)
    monkeypatch.setenv("FADA_FACE_EMBEDDER", "embedder.onnx")
    with pytest.raises(ValueError, match=r"^face_landmarker: a SimpleNamespace is conditioned"):
        load("x")
    assert load("x", face_landmarker="faces.task").faces == FaceModels(Path("faces.task"), Path("embedder.onnx"))


def test_scales_are_chained_and_their_names_are_those_of_all_families(dancer: Any) -> None:
    (names,) = GuidanceScales.INPUT_TYPES()["required"]["name"]
    assert {"audio", "reference", "emotion", "tempo", "mood"} <= {*names}
    first = GuidanceScales().extend("audio", 3.0)[0]
    assert GuidanceScales().extend("reference", 2.0, first) == ({"audio": 3.0, "reference": 2.0},)
    assert first == {"audio": 3.0}
    with pytest.raises(ValueError, match="scales: audio is given twice"):
        GuidanceScales().extend("audio", 1.0, first)
    assert Emotion().extend("happy", 0.5, {"sad": 0.25}) == ({"sad": 0.25, "happy": 0.5},)


def test_a_scale_or_an_emotion_that_the_model_has_not_is_refused(student: Path) -> None:
    avatar = load(student)
    with pytest.raises(ValueError, match="no guidance scale named 'emotion'; choose from reference, audio"):
        GenerateAvatar().generate(avatar, IMAGE, AUDIO, scales={"emotion": 2.0})
    with pytest.raises(ValueError, match="is given none; leave emotion out"):
        GenerateAvatar().generate(avatar, IMAGE, AUDIO, emotion={"happy": 1.0})


@pytest.mark.parametrize(
    ("image", "audio", "words"),
    [
        (IMAGE.expand(2, -1, -1, -1), AUDIO, r"image: must be one picture \(1, H, W, 3\), got \(2, 20, 24, 3\)"),
        (IMAGE[..., :1], AUDIO, r"image: must be one picture"),
        (IMAGE * math.nan, AUDIO, "image: holds values that are not finite"),
        (IMAGE, {**AUDIO, "waveform": AUDIO["waveform"] * math.inf}, "audio: holds values that are not finite"),
        (IMAGE, {**AUDIO, "waveform": AUDIO["waveform"].expand(2, -1, -1)}, "audio: must be one sound"),
        (IMAGE, {**AUDIO, "waveform": AUDIO["waveform"][..., :0]}, "audio: must be one sound"),
        (IMAGE, {**AUDIO, "sample_rate": 0}, "audio: sample_rate must be a whole number"),
        (IMAGE, None, "audio: must be one sound"),
        (IMAGE, {**AUDIO, "waveform": AUDIO["waveform"][..., :100]}, "shorter than one frame"),
    ],
)
def test_what_is_no_portrait_or_no_speech_is_refused(student: Path, image: Any, audio: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        GenerateAvatar().generate(load(student), image, audio)


def test_transparency_is_left_out_and_values_beyond_white_are_white(student: Path) -> None:
    from fada.comfyui.tensors import portrait_of

    with_alpha = torch.cat([IMAGE * 2 - 0.5, torch.zeros(1, 20, 24, 1)], dim=3)
    wanted = np.clip(np.round((PORTRAIT / 255 * 2 - 0.5) * 255), 0, 255)
    assert np.abs(portrait_of(with_alpha) - wanted).max() <= 1
    assert np.array_equal(portrait_of(IMAGE), PORTRAIT)
    # 127.5 is nearer to 128 than to 127, as even goes.
    assert (portrait_of(torch.full((1, 2, 2, 3), 0.5)) == 128).all()


def test_speech_is_heard_as_from_a_file(tmp_path: Path) -> None:
    from fada.comfyui.tensors import speech_of

    # Of opposite channels, whose mean is silence, one is heard: files are read so.
    opposite = np.concatenate([SOUND[:, :1], -SOUND[:, :1]], axis=1)
    wavfile.write(tmp_path / "a.wav", 44100, opposite[0].T)
    found = speech_of({"waveform": torch.from_numpy(opposite), "sample_rate": 44100})
    assert np.array_equal(found, read_audio(tmp_path / "a.wav"))
    assert np.abs(found).max() > 0.1


@pytest.mark.parametrize("is_beside", [False, True])
def test_the_bar_moves_at_every_step_of_its_node(
    comfy: Comfy, student: Path, monkeypatch: pytest.MonkeyPatch, is_beside: bool
) -> None:
    """Also where clips are made in a second thread, as they are on CUDA devices: it has no context of its own."""
    avatar = load(student)
    monkeypatch.setattr(type(avatar.pipeline), "_overlaps", lambda *_: is_beside)
    comfy.node.set("6")  # type: ignore[attr-defined]
    GenerateAvatar().generate(avatar, IMAGE, AUDIO, steps=4)
    # Twelve frames by four are three clips of four steps.
    assert comfy.bar == [("6", done, 12) for done in range(1, 13)]


@pytest.mark.parametrize("is_beside", [False, True])
def test_the_button_stops_within_a_step(
    comfy: Comfy, student: Path, monkeypatch: pytest.MonkeyPatch, is_beside: bool
) -> None:
    avatar = load(student)
    monkeypatch.setattr(type(avatar.pipeline), "_overlaps", lambda *_: is_beside)
    comfy.stops_after = 5
    with pytest.raises(Interrupted):
        GenerateAvatar().generate(avatar, IMAGE, AUDIO, steps=4)
    assert len(comfy.bar) == 5


def test_a_video_comes_along_where_comfyui_has_such_a_type(student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "VIDEO", (lambda parts: ("video", parts), lambda **parts: parts))
    images, sound, _, (kind, parts) = GenerateAvatar().generate(load(student), IMAGE, AUDIO)
    assert kind == "video"
    assert parts["images"] is images
    assert parts["audio"] is sound
    assert parts["frame_rate"] == 25


def test_the_folder_is_a_custom_node_as_it_lies_and_by_one_line(project_root: Path, tmp_path: Path) -> None:
    """ComfyUI runs `__init__.py` under a name of its own making, from wherever it lies."""
    (tmp_path / "linked").symlink_to(project_root / "fada" / "comfyui")
    (tmp_path / "written").mkdir()
    (tmp_path / "written" / "__init__.py").write_text("from fada.comfyui import *\n")
    code = (
        "import importlib.util, sys\n"
        "for folder in sys.argv[1:]:\n"
        "    spec = importlib.util.spec_from_file_location(folder.replace('.', '_x_'), folder + '/__init__.py')\n"
        "    module = importlib.util.module_from_spec(spec)\n"
        "    spec.loader.exec_module(module)\n"
        "    print(len(module.NODE_CLASS_MAPPINGS), len(module.NODE_DISPLAY_NAME_MAPPINGS))\n"
    )
    folders = [str(tmp_path / name) for name in ("linked", "written")]
    made = subprocess.run([sys.executable, "-c", code, *folders], cwd=project_root, capture_output=True, text=True)
    assert made.stdout.split() == ["4"] * 4, made.stderr
