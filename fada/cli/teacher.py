"""``fada teacher``: making teachers."""

from __future__ import annotations

import typer

from fada.cli.import_float import import_float
from fada.cli.import_hallo import import_hallo
from fada.cli.import_sd15 import import_sd15
from fada.cli.import_v_express import import_v_express
from fada.cli.options import DryRun, Overrides, RecipePath
from fada.cli.running import run_training

app = typer.Typer(help="Make a teacher: train one, or start from released weights.", no_args_is_help=True)
imports = typer.Typer(help="Released weights as a folder that recipes name.", no_args_is_help=True)
app.add_typer(imports, name="import")
imports.command("sd15")(import_sd15)
imports.command("hallo")(import_hallo)
imports.command("v-express")(import_v_express)
imports.command("float")(import_float)


@app.command()
def train(recipe: RecipePath, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Train the recipe's teacher, stage by stage.

    Trains the VAE first where the recipe names none. The same command again resumes.

    Examples:

      fada teacher train recipes/tiny/teacher.yaml
      fada teacher train recipes/tiny/full.yaml teacher.stages.clips.steps=8000
    """
    from fada import jobs
    from fada.recipe import load_recipe
    from fada.terminal import SafeConsole

    console = SafeConsole()
    loaded = load_recipe(recipe, overrides or ())
    if dry_run:
        jobs.dry_run(loaded).print(console)
    else:
        command = ["teacher", "train", recipe, *(overrides or ())]
        run_training(loaded, console, lambda: jobs.train_teacher(loaded, console), command)
