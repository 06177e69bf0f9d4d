"""The command ``fada``: gathers the verbs, and turns expected errors into one line.

Verb modules import only typer at the top; what a verb needs is imported when it runs, so that ``--help`` is instant.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from fada import __version__
from fada.cli import (
    ablate,
    bench_compare,
    data,
    demo,
    directions,
    distill,
    doctor,
    export,
    generate,
    recipe,
    teacher,
    ui,
    weights,
    world,
)
from fada.cli.failures import STOPPED, report

app = typer.Typer(
    name="fada",
    help="Distils talking-avatar diffusion teachers into six-step, single-pass students.",
    epilog="Start with: fada demo, and fada doctor for what is installed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.add_typer(world.app, name="world")
app.add_typer(data.app, name="data")
app.add_typer(teacher.app, name="teacher")
app.command("distill")(distill.distill)
app.command("generate")(generate.generate)
app.command("directions")(directions.directions)
app.add_typer(bench_compare.app, name="bench")
app.command("ablate")(ablate.ablate)
app.command("export")(export.export)
app.add_typer(recipe.app, name="recipe")
app.add_typer(weights.app, name="weights")
app.command("ui")(ui.ui)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fada {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors (also FADA_DEBUG=1).")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every verb; ``run`` reads --debug itself, so that it works behind a verb too."""


def _is_aside(argument: str) -> bool:
    """What is not for the verbs: --debug is read here, and DeepSpeed's launcher adds the rank that it also exports."""
    return argument == "--debug" or argument.startswith(("--local_rank=", "--local-rank="))


@functools.cache
def _command() -> Any:
    """All verbs with their options, made once: each call of `app` would make them again."""
    return typer.main.get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code: 0 done, 2 wrong input, 130 stopped by Ctrl-C, else a fault."""
    debug = "--debug" in arguments or os.environ.get("FADA_DEBUG", "") not in ("", "0")
    try:
        _command()(args=[argument for argument in arguments if not _is_aside(argument)], prog_name="fada")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        return STOPPED
    except Exception as error:
        if debug:
            raise
        from fada.engine.signals import STARTED_HERE

        code = report(error)
        # Whoever started this process asked it to stop: to torch's launcher anything but 0 is a failure.
        return 0 if code == STOPPED and STARTED_HERE in os.environ else code
    return 0


def main() -> None:
    """The console script."""
    # Read when torch is loaded, which no verb has done yet. By default its threads spin while they wait for each other:
    # beside other work they take the processors from the very thread they wait for, and all is many times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(run(sys.argv[1:]))
