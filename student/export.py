"""Run to model: a folder ready to share, whole or as the student's difference from its teacher, with a model card."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from diffusers import DiffusionPipeline

from fada.student.delta import read_delta, write_delta
from fada.student.model_card import CardFacts, Origin, model_card, origin_of
from fada.student.pipeline import DIFFERENCE, PIPELINES
from fada.student.run_models import default_model, models_of, teacher_in, teacher_of

Form = Literal["full", "delta", "lora"]


class ExportError(ValueError):
    """A run that cannot be exported, or a folder that is in the way."""


@dataclass(frozen=True)
class Contents:
    """What an exported folder holds.

    form: `full`: a pipeline's folder; `delta`, `lora`: the difference from the teacher, see `write_delta`, which
    explains the others too.
    """

    form: Form = "full"
    dtype: Literal["fp32", "bf16"] = "fp32"
    rank: int = 32
    keep: float = 0.5


FULL = Contents()
REPORT = "\n\n`report.md` beside this file is the whole report."
HERE = {"taken": "no, the teacher's own", "whole": "whole", "difference": "its difference"}


def export_run(
    run: Path,
    out: Path,
    student: str | None = None,
    built: DiffusionPipeline | None = None,
    *,
    contents: Contents = FULL,
    teacher: Path | None = None,
    origin: Origin = Origin(),  # noqa: B008 - frozen
    figures: str = "",
) -> Path:
    """Write a run's student (default: its recipe's last; `teacher` for the teacher) to `out`, with its card and recipe.

    Args:
        built: export this pipeline instead, named `student`; for students that are not finished.
        teacher: what a difference is formed against, a model's folder or a run; default: the run's (`teacher_of`).
        origin: licence and base model for the card; what it leaves open is looked for in the folders of the teacher.
        figures: a Markdown table for the card.

    Raises:
        ExportError: there is no such model, no teacher to form a difference against, or `out` is not empty.
        DeltaError: the difference cannot be formed, or the rank keeps too little of it.
    """
    if out.exists() and any(out.iterdir()):
        raise ExportError(f"{out}: is not empty; give another folder with --out, or empty this one")
    base = teacher_of(run) if teacher is None else teacher_in(teacher)
    if teacher is not None and base is None:
        raise ExportError(f"{teacher}: no teacher here (no model_index.json); give its folder, or the run it is from")
    partial, whole = out.with_name(f".partial-{out.name}"), out.with_name(f".whole-{out.name}")
    try:
        for folder in (partial, whole):
            shutil.rmtree(folder, ignore_errors=True)
        if built is None:
            model = _model(run, student)
        else:
            built.save_pretrained(str(whole), safe_serialization=True)
            model = whole
        _write(model, base, partial, contents, run)
        (partial / "README.md").write_text(_card(out.name, model, base, partial, origin, figures), encoding="utf-8")
        if out.exists():
            out.rmdir()
        out.parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial, out)
    finally:
        for folder in (partial, whole):
            shutil.rmtree(folder, ignore_errors=True)
    return out


def _model(run: Path, student: str | None) -> Path:
    models = models_of(run)
    if student is None:
        if not set(models) - {"teacher"}:
            raise ExportError(f"{run}: holds no finished student (students/*/model_index.json); finish the run first")
        return default_model(run)
    if student not in models:
        raise ExportError(f"{run}: no model named {student!r}; choose from {', '.join(models) or 'none'}")
    return models[student]


def _teacher_section(folder: Path) -> dict[str, Any]:
    """What the resolved recipe in a folder says of the teacher; nothing where there is none."""
    recipe = folder / "recipe.yaml"
    return yaml.safe_load(recipe.read_text(encoding="utf-8"))["teacher"] if recipe.is_file() else {}


def _write(model: Path, teacher: Path | None, partial: Path, contents: Contents, run: Path) -> None:
    if contents.form == "full":
        shutil.copytree(model, partial)
    elif teacher is None:
        raise ExportError(f"{run}: has no teacher to form a difference against; name its folder with --teacher")
    else:
        write_delta(
            model, teacher, partial, form=contents.form, dtype=contents.dtype, rank=contents.rank, keep=contents.keep
        )
    for source in (run / "recipe.yaml", run / "report" / "report.md"):
        if source.is_file():
            shutil.copyfile(source, partial / source.name)


def _card(name: str, model: Path, teacher: Path | None, written: Path, origin: Origin, figures: str) -> str:
    """The card of what was written, whose parts are those of `model`."""
    recipe, begun = written / "recipe.yaml", _teacher_section(written).get("init")
    sources = [each for each in (teacher, begun and Path(begun)) if each]
    told = read_delta(written) if (written / DIFFERENCE).is_file() else None
    config = json.loads((model / "model_index.json").read_text())
    denoiser = json.loads((model / "denoising_unet" / "config.json").read_text())
    return model_card(
        CardFacts(
            name=name,
            config=config,
            is_guided=denoiser.get("guidance_mode", "none") != "none",
            needs_face=PIPELINES[config["_class_name"]].needs_face,
            form="full" if told is None else told["form"],
            origin=origin.or_else(origin_of(sources)),
            contents="" if told is None else _table(told),
            teacher="" if told is None else told["teacher"]["fingerprint"],
            recipe=recipe.read_text(encoding="utf-8") if recipe.is_file() else "",
            figures=figures and f"{figures}{REPORT if (written / 'report.md').is_file() else ''}",
        )
    )


def _table(told: dict[str, Any]) -> str:
    """The parts of a difference as a Markdown table."""
    lines = ["| part | here | changed tensors | new tensors | MB | kept of the difference |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: |")
    for name, part in told["parts"].items():
        kept = "" if part["kept"] is None else f"{part['kept']:.3f}"
        size = f"{part['bytes'] / 1e6:.1f}"
        lines.append(f"| {name} | {HERE[part['kind']]} | {part['changed']} | {part['new']} | {size} | {kept} |")
    note = ""
    if told["form"] == "lora":
        note = f"\n\nFactors of rank {told['rank']}; kept is a share of the sum of squares."
    return "\n".join(lines) + note
