"""``fada recipe``: finding, reading and checking recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fada.cli.options import Overrides, RecipePath
from fada.cli.say import say

app = typer.Typer(help="Find, read and check recipes.", no_args_is_help=True)


@app.command("list")
def list_recipes() -> None:
    """The recipes that come with fada, and what each is for."""
    from rich.table import Table

    from fada.recipe.shipped import purpose, shipped_recipes
    from fada.terminal import SafeConsole

    table = Table("recipe", "purpose", box=None, pad_edge=False)
    for name, path in shipped_recipes().items():
        table.add_row(name, purpose(path))
    SafeConsole().print(table)


@app.command()
def show(
    recipe: RecipePath,
    overrides: Overrides = None,
    source: Annotated[bool, typer.Option("--source", help="The file as it stands, with its comments.")] = False,
) -> None:
    """The resolved recipe: every field, defaults and overrides included.

    Examples:

      fada recipe show tiny/demo
      fada recipe show tiny/demo engine.precision=fp32 > mine.yaml
      fada recipe show tiny/demo --source > mine.yaml
    """
    from fada.recipe import dump_recipe, load_recipe
    from fada.recipe.shipped import find_recipe

    if source and overrides:
        raise typer.BadParameter("overrides change the resolved recipe only; leave out --source or the overrides")
    say(
        find_recipe(recipe).read_text(encoding="utf-8")
        if source
        else dump_recipe(load_recipe(recipe, overrides or ())),
        nl=False,
    )


@app.command()
def check(
    recipes: Annotated[list[str], typer.Argument(metavar="RECIPE...", help="Files or names of shipped recipes.")],
) -> None:
    """Check recipes: keys, values, and whether the sections fit together.

    Exit code 2 if any recipe has a fault; every fault is printed.

    Example:

      fada recipe check recipes/*/*.yaml
    """
    from rich.text import Text

    from fada.recipe import RecipeError, load_recipe
    from fada.terminal import SafeConsole

    failed = 0
    for recipe in recipes:
        try:
            load_recipe(recipe)
        except RecipeError as error:
            failed += 1
            SafeConsole(stderr=True, soft_wrap=True).print(Text(str(error), style="red"))
        else:
            say(f"{recipe}: good")
    if failed:
        raise typer.Exit(2)


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option("--out", help="Write it here instead of printing it.")] = None,
) -> None:
    """JSON Schema of recipes, for editors that complete and check YAML.

    Example:

      fada recipe schema --out recipe.schema.json
    """
    from fada.recipe import recipe_json_schema

    text = json.dumps(recipe_json_schema(), indent=2) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
