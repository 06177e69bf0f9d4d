"""``fada ablate``: the paper's ablation rows, several seeds each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fada.cli.options import Overrides


def ablate(
    overrides: Overrides = None,
    rows: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Rows, by the names of recipes/ablations/; default: all.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of every row, with seeds 0, 1, …")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings side by side.")] = 2,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of each.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of everything; the same command again resumes it.")] = Path(
        "runs/ablations"
    ),
    base: Annotated[
        Path | None, typer.Option(help="A finished run whose data, VAE and teacher are used; default: they are made.")
    ] = None,
    so_far: Annotated[bool, typer.Option("--so-far", help="Train nothing: the page of what is finished.")] = False,
    page: Annotated[Path | None, typer.Option(help="Where the page goes; default: OUT/ablations.md.")] = None,
) -> None:
    """Train and measure every row of the paper's Tables 2, 3 and 4, and write one page about them.

    Data, VAE and teacher are made once, window ends of equal settings are solved once per seed. Finished rows are
    found again.

    Examples:

      fada ablate --page docs/results/ablations.md
      fada ablate --rows perflow,tcd --seeds 5 --out runs/methods
      fada ablate --base runs/full --out runs/again
      fada ablate distill.phases.student.steps=1000 --out runs/longer
    """
    from fada.build.ablation_page import check_page, write_page
    from fada.build.ablation_rows import rows as known
    from fada.build.ablations import Plan, results_so_far, run_ablations
    from fada.terminal import SafeConsole

    names = tuple(known()) if rows is None else tuple(rows.split(","))
    console = SafeConsole()
    plan = Plan(names, tuple(range(seeds)), out, tuple(overrides or ()), threads, base)
    # Before hours of training, not after.
    check_page(page or out / "ablations.md")
    results = results_so_far(plan, console) if so_far else run_ablations(plan, jobs, console)
    console.print(f"page: {write_page(results, page or out / 'ablations.md')}")
