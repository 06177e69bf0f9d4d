"""Run to model: a diffusers folder with a model card, ready to share."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline

CARD = """---
library_name: diffusers
tags: [talking-head, audio-driven, distillation, fada]
---
# {name}

{kind} made with [fada](https://pypi.org/project/fada): portrait and speech to video.

- steps: {steps}, audio scale {audio_scale:g}, reference scale {reference_scale:g}
- clips of {frames} frames at {fps:g} frames/s, {size} x {size} pixels, {motion_frames} motion frames
- evaluations of the denoising net per clip: {nfe}
- licence: that of the teacher's weights and training data; state it before you share this folder

## Use

```python
from fada.media.audio import read_audio
from fada.media.image import read_image
from fada.media.video import write_video
from fada.student.pipeline import FadaPipeline

pipeline = FadaPipeline.from_pretrained("{folder}")
speech = read_audio("speech.wav")
video = pipeline(read_image("portrait.png"), speech)
write_video("out.mp4", video.frames, audio=speech)
```

or `fada generate --model {folder} --image portrait.png --audio speech.wav --out out.mp4`.

## How it was made

`recipe.yaml` beside this file is the resolved recipe; `fada distill recipe.yaml` makes it again.
{report}"""


class ExportError(ValueError):
    """A run that cannot be exported, or a folder that is in the way."""


def export_run(run: Path, out: Path, student: str | None = None, built: DiffusionPipeline | None = None) -> Path:
    """Copy a run's student (the last one by default; `teacher` for the teacher) to `out`, with its card and recipe.

    Args:
        built: export this pipeline instead, named `student`; for students that are not finished.

    Raises:
        ExportError: there is no such model, or `out` is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise ExportError(f"{out}: is not empty; give another folder with --out, or empty this one")
    partial = out.with_name(f".partial-{out.name}")
    shutil.rmtree(partial, ignore_errors=True)
    if built is None:
        model = _model(run, student)
        student = model.name
        shutil.copytree(model, partial)
    else:
        built.save_pretrained(str(partial), safe_serialization=True)
    if (run / "recipe.yaml").is_file():
        shutil.copyfile(run / "recipe.yaml", partial / "recipe.yaml")
    report = run / "report" / "report.md"
    if report.is_file():
        shutil.copyfile(report, partial / "report.md")
    config = json.loads((partial / "model_index.json").read_text())
    card = _card(student or "student", out, config, _guided(partial), report.is_file())
    (partial / "README.md").write_text(card)
    if out.exists():
        out.rmdir()
    out.parent.mkdir(parents=True, exist_ok=True)
    os.replace(partial, out)
    return out


def models_of(run: Path) -> dict[str, Path]:
    """A run's finished models by name: the teacher first, then the students from oldest to newest."""
    models = {"teacher": run / "teacher"} if (run / "teacher" / "model_index.json").is_file() else {}
    found = sorted(run.glob("students/*/model_index.json"), key=lambda path: path.stat().st_mtime)
    return {**models, **{path.parent.name: path.parent for path in found}}


def _model(run: Path, student: str | None) -> Path:
    models = models_of(run)
    if student is None:
        students = [path for name, path in models.items() if name != "teacher"]
        if not students:
            raise ExportError(f"{run}: holds no finished student (students/*/model_index.json); finish the run first")
        return students[-1]
    if student not in models:
        raise ExportError(f"{run}: no model named {student!r}; choose from {', '.join(models) or 'none'}")
    return models[student]


def _guided(model: Path) -> bool:
    """Whether the scales are inside the network."""
    config = json.loads((model / "denoising_unet" / "config.json").read_text())
    return config.get("guidance_mode", "none") != "none"


def _card(name: str, out: Path, config: dict[str, Any], is_guided: bool, has_report: bool) -> str:
    kind = "A student" if config["is_student"] else "A teacher"
    passes = 1 if is_guided else 3
    report = "`report.md` is the run's benchmark report.\n" if has_report else ""
    known = {key: config[key] for key in ("steps", "audio_scale", "reference_scale", "frames", "fps", "size")}
    nfe = config["steps"] * passes
    return CARD.format(
        name=name, kind=kind, folder=out, nfe=nfe, report=report, motion_frames=config["motion_frames"], **known
    )
