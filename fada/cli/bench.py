"""``fada bench``: the report of a run, or the speed of a recipe's networks."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from fada.cli.bench_processes import measure_run
from fada.cli.options import Overrides, RecipePath


class Device(StrEnum):
    """Where speed is measured."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Part(StrEnum):
    """What else is timed beside passes."""

    STEPS = "steps"
    ENDPOINTS = "endpoints"
    CLIPS = "clips"


class Dtype(StrEnum):
    """What networks compute in."""

    FP32 = "fp32"
    BF16 = "bf16"


def bench(
    context: typer.Context,
    recipe: RecipePath,
    overrides: Overrides = None,
    processes: Annotated[
        int, typer.Option("--processes", min=1, help="Processes that share the clips; one of them times.")
    ] = 1,
    speed: Annotated[
        bool, typer.Option("--speed", help="Time passes, training steps and clips; no finished run is needed.")
    ] = False,
    device: Annotated[Device, typer.Option("--device", help="With --speed.")] = Device.AUTO,
    dtype: Annotated[Dtype | None, typer.Option("--dtype", help="With --speed; default: engine.precision.")] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", metavar="DIR", help="With --speed: a trained teacher; its window ends are measured too."
        ),
    ] = None,
    only: Annotated[
        list[Part] | None, typer.Option("--only", help="With --speed: passes and these parts; default: all.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="With --speed: repetitions, taking turns.")] = 5,
    compiled: Annotated[
        bool, typer.Option("--compile", help="With --speed: a step with a compiled teacher too (minutes on a CPU).")
    ] = False,
    fine_steps: Annotated[
        int, typer.Option("--fine-steps", min=1, help="With --model: DDIM steps to a window's true end.")
    ] = 125,
    samples: Annotated[int, typer.Option("--samples", min=1, help="With --model: clips whose windows are solved.")] = 2,
    once: Annotated[
        bool, typer.Option("--once", help="With --speed: one pass and one full training step, once, and their memory.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="With --speed: write the figures as JSON.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="With --out: replace the figures of an earlier call.")
    ] = False,
) -> None:
    """Measure a finished run (evaluations, quality, latency, memory), or with --speed what its networks cost.

    The report compares the guided teacher, undistilled shortcuts at equal cost, and the students on held-out clips, and
    writes report.md, results.json, plots, contact sheets and an HTML page with the videos side by side. The same
    command again goes on where it stopped.

    --speed needs no run: networks of the recipe's shape get random weights. It times a training step the public way and
    the recipe's, a pass, and a clip by many evaluations and by few, all in turns in one process.

    Examples:

      fada bench recipes/tiny/demo.yaml
      fada bench recipes/tiny/demo.yaml bench.clips=4 bench.scales.audio=3
      fada bench recipes/sd15/fast.yaml --processes 8
      fada bench recipes/bench/mid.yaml --speed --out speed.json
      fada bench recipes/bench/tiny.yaml --speed --model runs/full
      fada bench recipes/bench/mid.yaml --speed --only clips --rounds 2 clip.size=256
      fada bench recipes/sd15/fast.yaml --speed --once --dtype bf16 clip.size=64 clip.frames=4
    """
    from fada.recipe import load_recipe
    from fada.terminal import SafeConsole

    console = SafeConsole()
    loaded = load_recipe(recipe, overrides or ())
    _refuse_what_does_not_go_together(context, speed)
    if not speed:
        measure_run(loaded, console, processes, ["bench", "run", recipe, *(overrides or ())])
        return
    from fada.files.output_file import check_output
    from fada.studies.speed import SpeedOptions, measure_once, measure_speed

    if out is not None:
        check_output(out, Path(recipe), overwrite=overwrite)

    parts: Any = tuple(part.value for part in only or Part)
    options = SpeedOptions(device.value, dtype and dtype.value, model, rounds, compiled, fine_steps, samples, parts)
    measured = measure_once(loaded, options) if once else measure_speed(loaded, options, console)
    measured.print(console)
    if out is not None:
        measured.save(out)
        console.print(f"figures: {out}")


def _refuse_what_does_not_go_together(context: typer.Context, speed: bool) -> None:
    """Options of the one measurement are refused with the other, instead of being read past."""
    given = [name for name in context.params if str(context.get_parameter_source(name)).endswith("COMMANDLINE")]
    of_runs, of_both = ("processes",), ("recipe", "overrides", "speed")
    others = [name for name in given if (name in of_runs) == speed and name not in of_both]
    if others:
        named = ", ".join(f"--{'compile' if name == 'compiled' else name.replace('_', '-')}" for name in others)
        raise typer.BadParameter(f"{named}: only {'without' if speed else 'with'} --speed")
