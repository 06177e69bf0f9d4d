"""``fada recipe``: finding, reading and checking recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fada.cli.options import Overrides, Overwrite, RecipePath
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
    from fada.recipe.loading import read_text
    from fada.recipe.shipped import find_recipe

    if source and overrides:
        raise typer.BadParameter("overrides change the resolved recipe only; leave out --source or the overrides")
    say(read_text(find_recipe(recipe)) if source else dump_recipe(load_recipe(recipe, overrides or ())), nl=False)


@app.command()
def check(
    recipes: Annotated[list[str], typer.Argument(metavar="RECIPE...", help="Files or names of shipped recipes.")],
) -> None:
    """Check recipes: keys, values, and whether the sections fit together.

    Exit code 2 if any recipe has a fault; every fault is printed. Files and folders that a recipe names and that are
    not on this machine are named too, and are no fault: recipes are often checked where they do not run.

    Example:

      fada recipe check recipes/*/*.yaml
    """
    from rich.text import Text

    from fada.recipe import RecipeError, load_recipe
    from fada.recipe.errors import shown
    from fada.recipe.paths import missing_paths
    from fada.terminal import SafeConsole

    console = SafeConsole(stderr=True, soft_wrap=True)
    failed = 0
    for recipe in recipes:
        try:
            loaded = load_recipe(recipe)
        except RecipeError as error:
            failed += 1
            console.print(Text(str(error), style="red"))
        else:
            say(f"{recipe}: good")
            for key, path in missing_paths(loaded).items():
                console.print(Text(f"{recipe}: {key}: {shown(path)} is not on this machine", style="yellow"))
    if failed:
        raise typer.Exit(2)


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option("--out", help="Write it here instead of printing it.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """JSON Schema of recipes, for editors that complete and check YAML.

    Example:

      fada recipe schema --out recipe.schema.json
    """
    from fada.files.output_file import check_output
    from fada.files.whole import write_text
    from fada.recipe import recipe_json_schema

    text = json.dumps(recipe_json_schema(), indent=2) + "\n"
    if out is None:
        say(text, nl=False)
    else:
        check_output(out, overwrite=overwrite)
        write_text(out, text)
