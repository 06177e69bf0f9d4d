"""``fada demo``: the main job in small, from nothing but the package."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fada.cli.distill import distill
from fada.cli.options import DryRun, Overrides

if TYPE_CHECKING:
    from fada.recipe import Recipe

_SEED = 99
"""Of the face and the voice to try a student on: no shipped recipe draws its world with it."""


def demo(
    overrides: Overrides = None,
    from_scratch: Annotated[
        bool,
        typer.Option("--from-scratch", help="Train the teacher and its VAE too, in place of the package's."),
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """See it work: draws talking faces, distils a teacher into two students, writes a report with videos.

    About 6 minutes on two cores, 13 from scratch; no downloads. It is fada distill tiny/demo, and ends with a drawn
    face and voice that no model has seen, and the command that makes them talk. The same command again resumes.

    Examples:

      fada demo
      fada demo --from-scratch
      fada demo output=runs/again
    """
    from fada.cli.say import say
    from fada.recipe import load_recipe

    name = "tiny/demo-from-scratch" if from_scratch else "tiny/demo"
    distill(name, overrides, dry_run=dry_run)
    if not dry_run:
        recipe = load_recipe(name, overrides or ())
        say(_what_next(recipe.output, *_face_and_voice(recipe)))


def _face_and_voice(recipe: Recipe) -> tuple[Path, Path]:
    """A portrait and a speech to try a student on, in the run's folder; files that are there stay."""
    from fada.data.world import make_clip
    from fada.media.audio import write_wav
    from fada.media.image import write_png

    portrait, speech = recipe.output / "portrait.png", recipe.output / "speech.wav"
    world = recipe.data.world
    clip: Any = make_clip(_SEED, 0, split="test", size=recipe.clip.size, version=world.version if world else 2)
    if not portrait.exists():
        write_png(portrait, clip.frames[0])
    if not speech.exists():
        write_wav(speech, clip.audio)
    return portrait, speech


def _what_next(run: Path, portrait: Path, speech: Path) -> str:
    """What to look at, and the command for what comes next."""
    command = ["fada", "generate", "--model", str(run), "--image", str(portrait), "--audio", str(speech)]
    return "\n".join(
        [
            "",
            f"look at   {run / 'report' / 'index.html'}   teacher and students side by side, as videos",
            f"read      {run / 'report' / 'report.md'}   quality, evaluations, latency",
            "",
            "next, with your own portrait and voice in place of these (it knows drawn faces, and warns of others):",
            f"  {shlex.join(command)} --out talking.mp4",
        ]
    )
