"""``fada ablate``: the paper's ablation rows, several seeds each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fada.cli.options import Overrides


def ablate(
    overrides: Overrides = None,
    rows: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…", help="Rows, by the names of recipes/ablations/, and controls (fixed-as-ROW); default: all."
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Trainings of every row, with seeds 0, 1, …; default: 24, exact world 48.")
    ] = None,
    bases: Annotated[
        int, typer.Option(min=1, help="Trainings of what rows of a kind start from, which seeds take in turn.")
    ] = 4,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings side by side.")] = 2,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of each.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of everything; the same command again resumes it. Default: runs/ablations, runs/exact."
        ),
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="A finished run whose data, VAE and teacher are used; default: they are made.")
    ] = None,
    so_far: Annotated[bool, typer.Option("--so-far", help="Train nothing: the page of what is finished.")] = False,
    page: Annotated[
        Path | None, typer.Option(help="Where the page goes; default: OUT/ablations.md, OUT/exact.md.")
    ] = None,
    orders: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Train nothing: FOLDER/orders.md, both worlds' verdicts from the pages' values there.",
        ),
    ] = None,
    world: Annotated[
        Literal["drawn", "exact"],
        typer.Option(help="Drawn faces, or three numbers per clip and a teacher that is a closed form."),
    ] = "drawn",
) -> None:
    """Train and measure every row of the paper's Tables 2, 3 and 4, and write one page about them.

    Data, VAE and teacher are made once. What rows of a kind start from, without ground truth, is trained a few times
    (--bases); every row and seed goes on from it. Finished rows are found again. After every 8 seeds the orders are
    looked at, and where all are decided the run ends. The teacher with B comes last: name its row to leave the others.

    In the exact world all rows are trained in the paper's setting, 16 seeds at a time; rows of orders that are then
    undecided go on alone, to 96 seeds at most. Matched points and controls stand beside the first 16.

    Examples:

      fada ablate --page docs/results/ablations.md
      fada ablate --rows perflow,tcd --seeds 5 --out runs/methods
      fada ablate --base runs/full --out runs/again
      fada ablate distill.phases.student.steps=1000 --out runs/longer
      fada ablate --world exact --page docs/results/exact.md
      fada ablate --orders docs/results
    """
    if orders is not None:
        from fada.studies.ablations.orders_page import write_orders_page
        from fada.terminal import SafeConsole

        SafeConsole().print(f"page: {write_orders_page(orders)}")
        return
    if world == "exact":
        _exact(overrides, rows, base, 48 if seeds is None else seeds, out or Path("runs/exact"), so_far, page)
        return
    from fada.studies.ablations.headroom import headroom_lines
    from fada.studies.ablations.page import check_page, write_page
    from fada.studies.ablations.plan import Plan
    from fada.studies.ablations.rows import CONTROLS
    from fada.studies.ablations.rows import rows as known
    from fada.studies.ablations.run import results_so_far, run_ablations
    from fada.terminal import SafeConsole

    names = (*known(), *CONTROLS) if rows is None else tuple(rows.split(","))
    console, out = SafeConsole(), out or Path("runs/ablations")
    plan = Plan(names, tuple(range(24 if seeds is None else seeds)), out, tuple(overrides or ()), threads, base, bases)
    # Before hours of training, not after.
    check_page(page or out / "ablations.md")
    results = results_so_far(plan, console) if so_far else run_ablations(plan, jobs, console)
    for line in headroom_lines(results):
        console.print(line, markup=False, highlight=False)
    console.print(f"page: {write_page(results, page or out / 'ablations.md')}")


def _exact(
    overrides: Overrides, rows: str | None, base: Path | None, seeds: int, out: Path, so_far: bool, page: Path | None
) -> None:
    """The tables of the exact world, one process with one thread."""
    import torch

    from fada.files.outputs import output_folder
    from fada.recipe.errors import RecipeError
    from fada.studies.exact.ablations import ExactPlan, exact_results, run_exact
    from fada.studies.exact.page import check_exact_page, write_exact_page
    from fada.terminal import SafeConsole

    given = [name for name, value in (("KEY=VALUE", overrides), ("--rows", rows), ("--base", base)) if value]
    if given:
        raise RecipeError(f"--world exact has no recipe: leave out {', '.join(given)}")
    if seeds < 2:
        raise RecipeError(f"--world exact compares over seeds: --seeds must be at least 2, got {seeds}")
    torch.set_num_threads(1)
    console, plan, page = SafeConsole(), ExactPlan(seeds, out), page or out / "exact.md"
    check_exact_page(page)
    with output_folder(out, "exact", "running ablations"):
        results = exact_results(plan) if so_far else run_exact(plan, console)
    if not results["seeds"]:
        raise RecipeError(f"{out}: no block of seeds is finished yet; leave out --so-far")
    console.print(f"page: {write_exact_page(results, page)}")
