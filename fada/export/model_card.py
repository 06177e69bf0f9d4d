"""The model card of an exported folder: README.md with YAML front matter, as model hubs read it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from fada import __version__
from fada.diffusion.guidance import needed_branches
from fada.family import families
from fada.files.markdown import code_block, markdown_text
from fada.files.strict_json import read_table
from fada.teacher.origins import IMPORT, LARGEST_CARD, as_text, front_matter, licence_in

UNKNOWN_LICENCE = "that of the teacher's weights and training data; state it before you share this folder"
IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.+-]*")
"""A licence's short name, as hubs list them; anything else is a text."""
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")

PYTHON = """```python
from fada.media.audio import read_audio
from fada.media.image import read_image
from fada.media.video import write_video
from {module} import {loader}
{imports}
portrait, speech = read_image("portrait.png"), read_audio("speech.wav")
pipeline = {call}
{video}
write_video("out.mp4", video.frames, fps=pipeline.config.fps, audio=speech)
```"""
FACE_IMPORTS = """from fada.data.prepare.face_embedding import FaceEmbedder
from fada.data.prepare.models import FaceFinder
from fada.data.prepare.portrait_clues import portrait_clues
"""
FACE_VIDEO = """with FaceFinder("face_landmarker.task") as finder:
    face = portrait_clues(portrait, finder, FaceEmbedder("glintr100.onnx"))
video = pipeline(portrait, speech, face=face)"""


@dataclass(frozen=True)
class Origin:
    """Where weights come from, as far as it is known: a licence (short name or text) and the model they began as."""

    licence: str | None = None
    base_model: str | None = None

    def or_else(self, other: Origin) -> Origin:
        """This, and where it says nothing the other."""
        return Origin(self.licence or other.licence, self.base_model or other.base_model)


@dataclass(frozen=True)
class CardFacts:
    """What a card says.

    config: of the pipeline (`model_index.json`); form: `full`, `delta` or `lora`, `contents` says what such a folder
    holds; recipe: the resolved recipe's text; command: what made the run; figures: a table of the run's report;
    files: what `describe` says of every file beside the card; knows_faces: whether the folder says which (`FaceSpace`).
    """

    name: str
    config: dict[str, Any]
    is_guided: bool
    needs_face: bool = False
    form: str = "full"
    origin: Origin = Origin()
    contents: str = ""
    teacher: str = ""
    recipe: str = ""
    command: str = ""
    figures: str = ""
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    knows_faces: bool = False


def model_card(facts: CardFacts) -> str:
    """The card's text."""
    front = yaml.safe_dump(_front_matter(facts), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{front}---\n# {markdown_text(facts.name)}",
        _opening(facts),
        "\n".join(f"- {line}" for line in _facts(facts)),
    ]
    if facts.contents:
        parts.append(f"## What is in this folder\n\n{facts.contents}")
    parts.append(_use(facts))
    if facts.figures:
        parts.append(f"## Figures\n\n{facts.figures}")
    if facts.recipe:
        verb = "fada distill" if facts.config["is_student"] else "fada teacher train"
        made = f"`recipe.yaml` beside this file is the resolved recipe; `{verb} recipe.yaml` makes it again."
        if facts.command:
            made += f" This one was made by `{facts.command}`."
        fenced = code_block(facts.recipe.strip(), "yaml")
        recipe = f"<details>\n<summary>recipe.yaml</summary>\n\n{fenced}\n\n</details>"
        parts.append(f"## How it was made\n\n{made}\n\n{recipe}")
    if facts.files:
        parts.append(f"## Files\n\n{_files(facts.files)}")
    return "\n\n".join(parts) + "\n"


def evaluations(config: dict[str, Any], is_guided: bool) -> int:
    """Evaluations of the denoising net per clip at the model's own steps and scales."""
    guidance = config.get("guidance", "auto")
    if guidance == "auto":
        guidance = "embedded" if is_guided else "ladder"
    scales = torch.tensor([list(scales_of(config).values())])
    return config["steps"] * (len(needed_branches(scales)) if guidance == "ladder" else 1)


def scales_of(config: Mapping[str, Any]) -> dict[str, float]:
    """Guidance scales of a pipeline's config by name, in the order of its family's branches."""
    named = next(each.guidance.names for each in families().values() if each.pipeline == config["_class_name"])
    return {name: float(config[f"{name}_scale"]) for name in named}


def origin_of(folders: Sequence[Path]) -> Origin:
    """What the first of these folders that says so tells of licence and base model.

    A folder says it in its card's front matter (`license`, `license_name`, `base_model`) or in the `import.json` that
    an import leaves (`license`, `source`).
    """
    found = Origin()
    for folder in folders:
        front, told = front_matter(folder), folder / IMPORT
        imported = read_table(told, LARGEST_CARD) if told.is_file() else {}
        found = found.or_else(Origin(licence_in(front), as_text(front.get("base_model"))))
        found = found.or_else(Origin(as_text(imported.get("license")), as_text(imported.get("source"))))
    return found


def _front_matter(facts: CardFacts) -> dict[str, Any]:
    licence, base = facts.origin.licence, facts.origin.base_model
    front: dict[str, Any] = {"library_name": "diffusers", "pipeline_tag": "image-to-video"}
    if licence is not None:
        is_short = IDENTIFIER.fullmatch(licence.lower()) is not None
        front["license"] = licence.lower() if is_short else "other"
        if not is_short:
            front["license_name"] = licence
    if base is not None and HUB_NAME.fullmatch(base):
        front["base_model"] = base
        front["base_model_relation"] = "finetune" if facts.form == "full" else "adapter"
    tags = ["talking-head", "audio-driven", "fada"]
    if facts.config["is_student"]:
        tags.append("distillation")
    if facts.form == "lora":
        tags.append("lora")
    return {**front, "tags": tags}


def _opening(facts: CardFacts) -> str:
    kind = "A student" if facts.config["is_student"] else "A teacher"
    return f"{kind} made with fada: portrait and speech to video."


def _facts(facts: CardFacts) -> list[str]:
    config, origin = facts.config, facts.origin
    lines = [
        ", ".join([f"steps: {config['steps']}", *(f"{name} scale {s:g}" for name, s in scales_of(config).items())]),
        f"clips of {config['frames']} frames at {config['fps']:g} frames/s, {config['size']} x {config['size']} "
        f"pixels, {config['motion_frames']} motion frames",
        f"evaluations of the denoising net per clip: {evaluations(config, facts.is_guided)}",
        f"licence: {markdown_text(origin.licence) if origin.licence else UNKNOWN_LICENCE}",
    ]
    if origin.base_model is not None:
        lines.append(f"base model: {markdown_text(origin.base_model)}")
    if facts.knows_faces:
        lines.append("faces: those of its training; of a portrait of another kind `fada generate` says so, and warns")
    if facts.form != "full":
        lines.append(f"needs the teacher with fingerprint {facts.teacher}, which is not in this folder")
    return lines


def _files(files: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"| {markdown_text(name)} | {told['bytes']} | `{told['sha256']}` |" for name, told in files.items()]
    return "\n".join(["| file | bytes | SHA-256 |", "| --- | ---: | --- |", *lines])


def _use(facts: CardFacts) -> str:
    loader, name = facts.config["_class_name"], json.dumps(facts.name, ensure_ascii=False)
    module, call = "fada.generation.pipelines", f"{loader}.from_pretrained({name})"
    options = ""
    if facts.form != "full":
        options = " --teacher TEACHER"
        module, loader, call = "fada.export.delta", "load_delta", f'load_delta({name}, "TEACHER")'
    video = "video = pipeline(portrait, speech)"
    if facts.needs_face:
        options += " --face-landmarker face_landmarker.task --face-embedder glintr100.onnx"
        video = FACE_VIDEO
    imports = FACE_IMPORTS if facts.needs_face else ""
    code = PYTHON.format(module=module, loader=loader, call=call, imports=imports, video=video)
    inputs = "--image portrait.png --audio speech.wav --out out.mp4"
    command = f"fada generate --model {shlex.quote(facts.name)}{options} {inputs}"
    needs = f"Needs the Python package fada, {__version__} or newer; it brings torch and diffusers."
    return f"## Use\n\n{needs}\n\n{code}\n\nor\n\n```sh\n{command}\n```"
