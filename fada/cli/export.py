"""``fada export``: a run as a folder to share, whole or as its difference from the teacher."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fada.cli.say import say

if TYPE_CHECKING:
    from rich.table import Table


class Form(StrEnum):
    """What the folder holds."""

    FULL = "full"
    DELTA = "delta"
    LORA = "lora"


class Dtype(StrEnum):
    """Type of the numbers that are written."""

    FP32 = "fp32"
    BF16 = "bf16"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the model goes; must not exist or be empty.")
    ],
    student: Annotated[
        str | None,
        typer.Option("--student", help="Which student, by its phase's name; default: the recipe's last phase."),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint", metavar="STEP", help="Of an unfinished student: the checkpoint of this step, or `newest`."
        ),
    ] = None,
    form: Annotated[
        Form,
        typer.Option("--as", help="The whole model, or its difference from the teacher: exact, or in low rank."),
    ] = Form.FULL,
    dtype: Annotated[
        Dtype | None,
        typer.Option("--dtype", help="Of the weights; default: a whole model's own, fp32 of a difference."),
    ] = None,
    rank: Annotated[int | None, typer.Option("--rank", min=1, help="Of --as lora; default: 32.")] = None,
    keep: Annotated[
        float | None,
        typer.Option("--keep", min=0.0, max=1.0, help="--as lora refuses a rank that keeps less; default: 0.5."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option("--teacher", metavar="DIR", help="The student's teacher; default: the run's, or its recipe's."),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--license", metavar="ID_OR_TEXT", help="For the card; default: what the teacher's folder says."),
    ] = None,
    base_model: Annotated[
        str | None, typer.Option("--base-model", metavar="NAME", help="For the card; default: likewise.")
    ] = None,
    push_to: Annotated[
        str | None,
        typer.Option("--push-to", metavar="OWNER/NAME", help="Upload the folder to this repository on the hub too."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Of --push-to: a repository that is private.")] = False,
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="BRANCH", help="Of --push-to: the branch; default: main.")
    ] = None,
) -> None:
    """Export a run's student as a folder with a model card.

    Safetensors only. A whole model loads with FadaPipeline.from_pretrained and in `fada generate`; a difference holds
    none of the teacher's weights and needs its folder to load (`fada generate --teacher`). --push-to needs a login
    of the hub's own: `hf auth login`, or HF_TOKEN.

    Examples:

      fada export runs/demo --out models/demo-fast
      fada export runs/demo --out models/demo-balanced --student balanced --license apache-2.0
      fada export runs/demo --out models/half --student fast --checkpoint newest
      fada export runs/teacher --out models/teacher --student teacher --dtype bf16
      fada export runs/demo --out models/demo-delta --as delta --dtype bf16
      fada export runs/demo --out models/demo-lora --as lora --rank 32
      fada export runs/demo --out models/demo-fast --push-to owner/name --private
    """
    given: dict[str, Any] = {"dtype": dtype and str(dtype), "rank": rank, "keep": keep}
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if form is not Form.LORA and name != "dtype":
            raise typer.BadParameter(f"--{name} does not go with --as {form}: it is for differences of low rank")

    if push_to is None and (private or revision is not None):
        raise typer.BadParameter(f"{'--private' if private else '--revision'} goes with --push-to: where to?")

    from fada.export.push import push, push_target
    from fada.pretrained.hub import HubFault

    target = None if push_to is None else push_target(push_to, revision)

    from fada.export.model_card import Origin
    from fada.export.run_export import Contents, export_run

    built = None
    if checkpoint is not None:
        if student is None:
            raise typer.BadParameter("--checkpoint needs --student: which phase's checkpoint?")
        if checkpoint != "newest" and not checkpoint.isdigit():
            raise typer.BadParameter(f"--checkpoint: give a step or `newest`, got {checkpoint!r}")
        from fada import jobs
        from fada.terminal import SafeConsole

        step = None if checkpoint == "newest" else int(checkpoint)
        built = jobs.from_checkpoint(run, student, step, SafeConsole())
    export_run(
        run,
        out,
        student=student,
        built=built,
        contents=Contents(form.value, **given),
        teacher=teacher,
        origin=Origin(licence, base_model),
        figures="" if built is not None else _figures(run, student),
        name=None if target is None else str(target),
    )
    if form is not Form.FULL:
        from fada.terminal import SafeConsole

        SafeConsole().print(_table(out))
    say(f"exported {_label(run, student)}to {out}")
    if target is not None:
        try:
            say(f"pushed to {target}: {push(out, target, private=private)}")
        except HubFault as error:
            branch = "" if revision is None else f" --revision {revision}"
            again = f"hf upload {target.repo} {shlex.quote(str(out))}{branch}"
            raise HubFault(f"{error} ({out} is whole; once that is put right, `{again}` uploads it)") from error


def _label(run: Path, student: str | None) -> str:
    """Which model of the run it was, and a space."""
    from fada.export.run_models import default_model, label_of, models_of

    models = models_of(run)
    if student is not None:
        return f"{label_of(models[student]) if student in models else student} "
    return f"{label_of(default_model(run))} " if models else ""


def _figures(run: Path, student: str | None) -> str:
    """The report's main figures of a finished model as Markdown; nothing where the run has no report of it."""
    from fada.export.run_models import default_model, models_of

    results = run / "report" / "results.json"
    if not results.is_file() or not models_of(run):
        return ""
    name = student or default_model(run).name
    from fada.eval.bench.results import BenchResults
    from fada.eval.report.main_figures import main_figures, system_of

    try:
        measured = BenchResults.load(results)
        system = system_of(measured, name)
        return "" if system is None else main_figures(measured, system).markdown()
    except (TypeError, KeyError, AttributeError, IndexError, StopIteration) as error:
        # A run may be another's, and its figures anything.
        raise ValueError(f"{results}: holds no figures of a bench ({error!r}); run the bench again") from error


def _table(folder: Path) -> Table:
    from rich.table import Table

    from fada.export.delta import read_delta

    told = read_delta(folder)
    table = Table(box=None, pad_edge=False)
    for head in ("part", "here", "changed tensors", "new", "MB", "kept"):
        table.add_column(head, justify="left" if head in ("part", "here") else "right")
    for name, part in told["parts"].items():
        kept = "" if part["kept"] is None else f"{part['kept']:.3f}"
        size = f"{part['bytes'] / 1e6:.2f}"
        table.add_row(name, part["kind"], str(part["changed"]), str(part["new"]), size, kept)
    if told["kept"] is not None:
        table.caption = f"kept: share of the difference at rank {told['rank']}; of all parts {told['kept']:.3f}"
    return table
