"""``fada bench``: the report of a run; ``compare``: two against each other; ``seeds``: several that differ in seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from fada.cli.bench import bench
from fada.cli.options import Overwrite

if TYPE_CHECKING:
    from rich.console import Console

    from fada.eval.report.table import Table


class _RunByDefault(TyperGroup):
    """``fada bench RECIPE`` is ``fada bench run RECIPE``: the older and shorter way to say it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunByDefault,
    help="Measure a finished run (fada bench RECIPE), compare two (fada bench compare A B), or judge several that "
    "differ in their seed (fada bench seeds A B C).",
    no_args_is_help=True,
)
app.command("run")(bench)


@app.command("compare")
def compare(
    before: Annotated[Path, typer.Argument(metavar="A", help="The run to compare with: its folder or results.json.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="The run that is judged.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write comparison.md and comparison.json there.")
    ] = None,
    system: Annotated[
        list[str] | None,
        typer.Option("--system", metavar="NAME[=NAME]", help="Only this system; A's name and B's where they differ."),
    ] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", metavar="NAME", help="Only this metric.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare two measured runs, with a verdict that knows noise.

    Pairs the clips that both measured with the same noise: better, worse, or no difference shown, after correction for
    the number of comparisons; latencies by the ratio of medians. Fewer systems and metrics are judged more sharply.
    Refuses runs that were not measured alike.

    Examples:

      fada bench compare runs/demo runs/longer
      fada bench compare runs/demo runs/longer --system fast-6 --metric mouth_correlation_synth --out runs/comparison
      fada bench compare runs/demo runs/longer --system balanced-18=fast-6
    """
    from fada.eval.comparison.comparable import results_at
    from fada.eval.comparison.compare import compare as compare_results
    from fada.eval.report.comparison import comparison_tables, opening, write_comparison
    from fada.files.output_file import check_output
    from fada.terminal import SafeConsole

    for name in ("comparison.md", "comparison.json"):
        if out is not None:
            check_output(out / name, before, after, overwrite=overwrite)
    pairs = {name: other or name for name, _, other in (each.partition("=") for each in system or ())}
    found = compare_results(results_at(before), results_at(after), systems=pairs or None, metrics=metric or ())
    labels = _labels(before, after)
    console = SafeConsole()
    console.print(opening(found, labels), highlight=False, markup=False)
    for table in comparison_tables(found, labels, with_equal=False).values():
        _print(table, console)
    for path in write_comparison(found, labels, out) if out else ():
        console.print(f"written: {path}", highlight=False, markup=False)


@app.command("seeds")
def seeds(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Measured runs: folders or results.json.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE.md", help="Write the table there.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Do the students of runs that differ in their training's seed beat what needs no training?

    Every student against the strongest undistilled way at its cost, in every measure of quality: it beats or loses
    where the intervals over runs and over clips agree, else it is undecided. Says of each run whether there was
    anything to win. One run has intervals over clips only.

    Examples:

      fada bench seeds runs/seed-0 runs/seed-1 runs/seed-2
      fada bench seeds docs/results/tiny-full
    """
    from fada.eval.bench.headroom import headroom_words
    from fada.eval.bench.rivals import contests
    from fada.eval.comparison.comparable import results_at
    from fada.eval.report.undistilled import rivals_table
    from fada.files.markdown import markdown_text
    from fada.files.output_file import check_output
    from fada.files.whole import write_text
    from fada.terminal import SafeConsole

    if out is not None:
        check_output(out, *runs, overwrite=overwrite)
    found = [results_at(run) for run in runs]
    console, table = SafeConsole(), rivals_table(contests(found))
    lines = [f"{run}: {line}" for run, results in zip(runs, found, strict=True) for line in headroom_words(results)]
    for line in lines:
        console.print(line, highlight=False, markup=False)
    _print(table, console)
    if out is not None:
        gates = "".join(f"- {markdown_text(line)}\n" for line in lines)
        write_text(out, f"# {table.title}\n\n{gates}\n{table.markdown()}\n")
        console.print(f"written: {out}", highlight=False, markup=False)


def _labels(before: Path, after: Path) -> tuple[str, str]:
    """The shortest ends of two paths that tell them apart, without what every report is called."""
    first, second = (
        [part for part in path.absolute().parts if part not in ("results.json", "report")] for path in (before, after)
    )
    length = next((n for n in range(1, len(first)) if first[-n:] != second[-n:]), 1)
    return "/".join(first[-length:]), "/".join(second[-length:])


def _print(table: Table, console: Console) -> None:
    """A table in the terminal, verdicts in colour: one per system where a system has several rows."""
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    systems = [row[0].text for row in table.rows]
    is_split = len(set(systems)) < len(systems)
    colours = {"good": "green", "bad": "red", "unknown": "yellow"}
    for system in dict.fromkeys(systems) if is_split else ("",):
        title = f"{table.title}, {system}" if is_split else table.title
        shown = Grid(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for place, column in list(enumerate(table.columns))[is_split:]:
            shown.add_column(column, justify="right" if table.is_number(place) else "left", overflow="fold")
        for row in table.rows:
            if system in ("", row[0].text):
                shown.add_row(*(Text(cell.text, style=colours.get(cell.tone, "")) for cell in row[is_split:]))
        console.print(shown)
    for note in table.notes:
        console.print(Text(note, style="dim"))
