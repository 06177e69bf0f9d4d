"""``fada world``: the drawn talking-face world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fada.cli.say import say

app = typer.Typer(help="Draw talking faces whose truth is known.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps ``make`` a verb of its own while it is the only one."""


@app.command()
def make(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the clips.")],
    clips: Annotated[int, typer.Option(min=1, help="Training clips.")] = 16,
    seed: Annotated[int, typer.Option(help="The same seed draws the same world.")] = 0,
    size: Annotated[int, typer.Option(min=16, help="Side of the square picture, in pixels.")] = 64,
    frames: Annotated[int, typer.Option(min=1, help="Frames per clip, at 25 per second.")] = 50,
    flawed: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of clips of moderate quality (set B); the flaw is recorded.")
    ] = 0.0,
    flaw: Annotated[
        list[str] | None,
        typer.Option(help="Give flawed clips one flaw each, of these kinds in turn (repeatable; `all`: every kind)."),
    ] = None,
    test_clips: Annotated[
        int, typer.Option(min=0, help="Clips of held-out identities and speech beside them, all clean.")
    ] = 0,
    version: Annotated[
        int,
        typer.Option(
            min=1, max=2, help="2: head, gaze, blinks, brows and expression are undecided by the sound, as in footage."
        ),
    ] = 1,
    beyond: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of clips with what set A then leaves out: loud speech, far postures, some looks.",
        ),
    ] = 0.0,
    emotion: Annotated[
        bool,
        typer.Option("--emotion", help="Every person feels one of seven emotions, which face and voice show."),
    ] = False,
    from_rest: Annotated[
        bool,
        typer.Option("--from-rest", help="With --emotion: faces are at rest at first, and what is felt comes up."),
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Draw talking faces as mp4 + wav + truth (json).

    25 frames per second, 16 kHz mono, anti-aliased, deterministic from the seed. The same command again
    draws what is missing.

    Examples:

      fada world make data/world --clips 64 --test-clips 8 --seed 7
      fada world make data/flawed --clips 64 --flawed 1.0 --size 128
      fada world make data/open --clips 64 --version 2
      fada world make data/left-out --clips 90 --version 2 --flawed 0.33 --beyond 0.33
      fada world make data/felt --clips 64 --version 2 --emotion
      fada world make data/known --clips 200 --flawed 0.5 --flaw all --size 192 --frames 75
    """
    from fada.cli.progress import progress_bar
    from fada.data.world import FLAW_KINDS, make_world

    kinds = FLAW_KINDS if flaw == ["all"] else tuple(flaw or ())
    unknown = sorted(set(kinds) - set(FLAW_KINDS))
    if unknown:
        raise typer.BadParameter(f"--flaw: no flaw {', '.join(unknown)}; choose from {', '.join(FLAW_KINDS)}, all")
    if beyond and (version == 1 or beyond + flawed > 1.0):
        raise typer.BadParameter(
            f"--beyond: needs --version 2, and at most 1 together with --flawed; got {beyond:g}, version {version}, "
            f"--flawed {flawed:g}"
        )
    with progress_bar("drawing") as progress:
        world = make_world(
            out,
            clips=clips,
            seed=seed,
            size=size,
            frames=frames,
            flawed_share=flawed,
            workers=workers,
            test_clips=test_clips,
            kinds=kinds,
            version=version,
            beyond_share=beyond,
            emotion=emotion,
            from_rest=from_rest,
            progress=progress,
        )
    say(f"{out}: {world.made} clips drawn, {world.kept} were there")
