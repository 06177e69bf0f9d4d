"""Run to model: a folder ready to share, whole or as the student's difference from its teacher, with a model card."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import yaml
from diffusers import DiffusionPipeline

from fada.export.delta import DTYPES, read_delta, write_delta
from fada.export.model_card import CardFacts, Origin, model_card, origin_of
from fada.export.run_models import default_model, models_of, recipe_of, teacher_in, teacher_of, teacher_section
from fada.export.shared_folder import copy_model
from fada.files.folders import inside
from fada.files.manifest import describe, list_files
from fada.files.shareable import shareable, shareable_text
from fada.files.strict_json import JSONFault, read_table
from fada.files.whole import whole_folder
from fada.generation.pipelines import DIFFERENCE, default_settings, pipeline_class
from fada.pretrained.hub import model_folder
from fada.pretrained.networks import read_config
from fada.pretrained.pipelines import INDEX, Index, check_index, component_folder
from fada.pretrained.shipped import located
from fada.terminal import printable

Form = Literal["full", "delta", "lora"]


class ExportError(ValueError):
    """A run that cannot be exported, or a folder that is in the way."""


@dataclass(frozen=True)
class Contents:
    """What an exported folder holds.

    form: `full`: a pipeline's folder; `delta`, `lora`: the difference from the teacher, see `write_delta`, which
    explains the others too; dtype: of the weights, None leaves a whole model's as they are, and is fp32 for others.
    """

    form: Form = "full"
    dtype: Literal["fp32", "bf16"] | None = None
    rank: int = 32
    keep: float = 0.5


FULL = Contents()
BUILT = ".built"
"""Where a model that is not of the run's folder lies while it is exported."""
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
    name: str | None = None,
) -> Path:
    """Write a run's student (default: its recipe's last; `teacher` for the teacher) to `out`, with its card and recipe.

    Args:
        built: export this pipeline instead, named `student`; for students that are not finished.
        teacher: what a difference is formed against, a model's folder or a run; default: the run's (`teacher_of`).
        origin: licence and base model for the card; what it leaves open is looked for in the folders of the teacher.
        figures: a Markdown table for the card.
        name: how the card names the model; default: the last part of `out`.

    Raises:
        ExportError: there is no such model, no teacher to form a difference against, or `out` is not empty.
        DeltaError: the difference cannot be formed, or the rank keeps too little of it.
    """
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ExportError(f"{out}: is not empty; give another folder with --out, or empty this one")
    base = teacher_of(run) if teacher is None else teacher_in(model_folder(teacher))
    if teacher is not None and base is None:
        raise ExportError(f"{teacher}: no teacher here (no model_index.json); give its folder, or the run it is from")
    with whole_folder(out, has_manifest=False) as partial:
        model = _model(run, student) if built is None else partial / BUILT
        if built is not None:
            built.save_pretrained(str(model), safe_serialization=True)
        _write(model, base, partial, contents, run)
        card = _card(name or out.name, run, model, partial, origin.or_else(_origin(run, base)), figures)
        (partial / "README.md").write_text(card, encoding="utf-8")
        if built is not None:
            shutil.rmtree(model)
    return out


def _model(run: Path, student: str | None) -> Path:
    models = models_of(run)
    if student is None:
        if not set(models) - {"teacher"}:
            raise ExportError(f"{run}: holds no finished student (students/*/model_index.json); finish the run first")
        return _inside_run(run, default_model(run))
    if student not in models:
        raise ExportError(f"{run}: no model named {student!r}; choose from {', '.join(models) or 'none'}")
    return _inside_run(run, models[student])


def _inside_run(run: Path, model: Path) -> Path:
    """A model of a run, known to lie in its folder: no part of the way is a link."""
    return inside(run, *model.relative_to(run).parts)


def _write(model: Path, teacher: Path | None, partial: Path, contents: Contents, run: Path) -> None:
    if contents.form == "full":
        copy_model(model, partial, None if contents.dtype is None else DTYPES[contents.dtype])
    elif teacher is None:
        raise ExportError(f"{run}: has no teacher to form a difference against; name its folder with --teacher")
    else:
        write_delta(
            model,
            teacher,
            partial,
            form=contents.form,
            dtype=contents.dtype or "fp32",
            rank=contents.rank,
            keep=contents.keep,
        )
    recipe = recipe_of(run)
    if recipe:
        text = yaml.safe_dump(shareable(recipe), sort_keys=False, allow_unicode=True)
        (partial / "recipe.yaml").write_text(text, encoding="utf-8")
    report = inside(run, "report", "report.md")
    if report.is_file():
        text = printable(report.read_text(encoding="utf-8", errors="replace"), lines=True)
        (partial / "report.md").write_text(shareable_text(text), encoding="utf-8")


def _origin(run: Path, teacher: Path | None) -> Origin:
    """What the folders of the teacher, and of what it began as, say of licence and base model."""
    begun = teacher_section(run).get("init")
    return origin_of(
        [each for each in (teacher, located(Path(begun)) if isinstance(begun, str) and begun else None) if each]
    )


def _card(name: str, run: Path, model: Path, written: Path, origin: Origin, figures: str) -> str:
    """The card of what was written, whose parts are those of `model`."""
    recipe = written / "recipe.yaml"
    told = read_delta(written) if (written / DIFFERENCE).is_file() else None
    config = read_config(model, INDEX)
    kind = pipeline_class(config, model / INDEX)
    index = check_index(config, model / INDEX, kind, kind.components_table)
    return model_card(
        CardFacts(
            name=name,
            config={**default_settings(kind), **index.settings, "_class_name": kind.__name__},
            is_guided=_is_guided(model, index),
            needs_face=kind.needs_face,
            form="full" if told is None else told["form"],
            origin=origin,
            contents="" if told is None else _table(told),
            teacher="" if told is None else told["teacher"]["fingerprint"],
            recipe=recipe.read_text(encoding="utf-8") if recipe.is_file() else "",
            command=_command(run),
            figures=figures and f"{figures}{REPORT if (written / 'report.md').is_file() else ''}",
            files={
                name: describe(written / name)
                for name in list_files(written)
                if PurePosixPath(name).parts[0] not in (BUILT, "README.md")
            },
            knows_faces=index.kinds.get("face_space") is not None,
        )
    )


def _is_guided(model: Path, index: Index) -> bool:
    """Whether a model has the guidance scales inside: in layers of their own, or, of old, in its denoising net."""
    if index.kinds.get("guidance_layers") is not None:
        return True
    if "denoising_unet" not in index.kinds:
        return False
    return read_config(component_folder(model, "denoising_unet")).get("guidance_mode", "none") != "none"


def _command(run: Path) -> str:
    """The command that made a run, as its folder tells; nothing where it does not."""
    file = inside(run, "environment.json")
    try:
        command = read_table(file).get("command") if file.is_file() else None
    except JSONFault:
        return ""
    # Of a run of others, anything.
    return command if isinstance(command, str) and re.fullmatch(r"fada( [A-Za-z0-9._-]{1,80}){1,4}", command) else ""


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
